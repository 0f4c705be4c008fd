/** Which sessions a search means: every word must be found somewhere. */

import type { Session } from "../api/types";
import { statusOf, titleOf } from "./status";

export function matches(session: Session, searched: string): boolean {
  const words = searched.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const text = [
    titleOf(session),
    session.agent,
    session.prompt,
    session.folder,
    session.worktree?.repository ?? "",
    session.worktree?.branch ?? "",
    session.runnerName,
    session.ownerName,
    session.state,
    statusOf(session).label,
  ]
    .join("\n")
    .toLowerCase();
  return words.every((word) => text.includes(word));
}
