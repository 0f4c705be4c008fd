/** The pages that somebody can go to, by what they are here. */

import { store } from "../store/store";
import type { IconName } from "./icons";

export interface Place {
  readonly path: string;
  readonly name: string;
  readonly icon: IconName;
  /** The second key of `g` and this. */
  readonly key: string;
  /** Not in the sidebar's list: it is reached through the person's menu. */
  readonly aside?: boolean;
}

const sessions: Place = { path: "/", name: "Sessions", icon: "terminal", key: "s" };
const runners: Place = { path: "/runners", name: "Runners", icon: "server", key: "r" };
const people: Place = { path: "/people", name: "People", icon: "people", key: "p" };
const auditLog: Place = { path: "/audit", name: "Audit log", icon: "log", key: "l" };
const settings: Place = { path: "/settings", name: "Settings", icon: "settings", key: "e" };
const account: Place = { path: "/account", name: "Account", icon: "person", key: "a", aside: true };

export function places(me = store.me): Place[] {
  if (me === null) return [];
  if (me.role === "guest") return [sessions, settings];
  return [sessions, runners, ...(me.isAdmin ? [people, auditLog] : []), settings, account];
}
