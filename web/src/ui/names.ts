/** Names for what sign-ins come from, what tokens may do, and what people are. */

import type { Role, Scope, SignIn } from "../api/types";

const browsers: readonly (readonly [RegExp, string])[] = [
  [/\bEdg(?:A|iOS)?\//, "Edge"],
  [/\bOPR\//, "Opera"],
  [/\bSamsungBrowser\//, "Samsung Internet"],
  [/\b(?:Firefox|FxiOS)\//, "Firefox"],
  [/\b(?:HeadlessChrome|Chrome|CriOS|Chromium)\//, "Chrome"],
  [/\bSafari\//, "Safari"],
];
const systems: readonly (readonly [RegExp, string])[] = [
  [/iPhone/, "iPhone"],
  [/iPad/, "iPad"],
  [/Android/, "Android"],
  [/Windows/, "Windows"],
  [/Mac OS X|Macintosh/, "Mac"],
  [/CrOS/, "ChromeOS"],
  [/Linux|X11/, "Linux"],
];

/** `Firefox on Linux`; programs that name themselves keep their name. */
export function deviceOf(userAgent: string): string {
  const browser = browsers.find(([pattern]) => pattern.test(userAgent))?.[1];
  const system = systems.find(([pattern]) => pattern.test(userAgent))?.[1];
  if (browser) return system ? `${browser} on ${system}` : browser;
  return userAgent.split(/[\s/(]/)[0] || "Unknown device";
}

export const signInKinds: Record<SignIn["kind"], string> = {
  browser: "Browser",
  token: "API token",
  device: "Command line",
};

export const scopeWords: Record<Scope, string> = {
  read: "See sessions, runners and logs",
  control: "Start, steer and share sessions",
  runners: "Pair and revoke machines",
  account: "Change your sign-ins, tokens, passkeys and secrets",
  admin: "Whatever only admins may do: people, the audit log, other people's sessions",
};
export const scopes = Object.keys(scopeWords) as Scope[];

export const roleNames: Record<Role, string> = { admin: "Admin", member: "Member", guest: "Guest" };
export const roleWords: Record<Role, string> = {
  admin: "Everything a member may, and people, the audit log, everybody's sessions and machines",
  member: "Starts sessions, pairs machines of their own, shares",
  guest: "Only the sessions that were shared with them",
};

/**
 * Groups that two people can compare by reading aloud: `a1b2 c3d4 …`.
 *
 * What has groups already stays as it is: the other side shows the same ones.
 */
export function inGroups(text: string): string {
  if (/[\s:-]/.test(text)) return text;
  return text.match(/.{1,4}/gu)?.join(" ") ?? "";
}
