/** What roles in a session are called, and what they allow. */

import type { ShareRole } from "../../api/types";
import type { SessionRole } from "../../feed/messages";

export const shareRoles: readonly ShareRole[] = ["controller", "approver", "viewer"];

export const sessionRoleNames: Record<SessionRole, string> = {
  owner: "Owner",
  controller: "May steer",
  approver: "May approve",
  viewer: "May watch",
};

export const shareRoleWords: Record<ShareRole, string> = {
  controller: "Sees everything, types and prompts, stops the agent, opens previews. As good as sitting there with your rights on that machine.",
  approver: "Sees everything and answers what the agent asks permission for. Cannot type.",
  viewer: "Sees everything that is shown. Cannot type or answer.",
};

/** What a page that cannot steer says about it. */
export const watchingWords: Record<"approver" | "viewer", string> = {
  viewer: "You are watching.",
  approver: "You are watching, and may answer what the agent asks.",
};

/** Seconds; `null` is until it is taken back. */
export const shareTimes: readonly (readonly [number | null, string])[] = [
  [null, "until taken back"],
  [3_600, "for an hour"],
  [8 * 3_600, "for 8 hours"],
  [86_400, "for a day"],
  [7 * 86_400, "for a week"],
];

export const linkTimes: readonly (readonly [number, string])[] = [
  [3_600, "an hour"],
  [8 * 3_600, "8 hours"],
  [86_400, "a day"],
  [7 * 86_400, "a week"],
  [30 * 86_400, "30 days"],
];
