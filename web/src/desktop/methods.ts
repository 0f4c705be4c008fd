/** By which way a desktop is shown: the best one that works, and the next when it does not. */

import type { ConnectionMethod } from "../api/types";

export type MethodName = ConnectionMethod["name"];

/** The best way that this page can show and that has not failed; `null`: there is none. */
export function chooseMethod(
  methods: readonly ConnectionMethod[],
  shown: ReadonlySet<MethodName>,
  failed: ReadonlySet<MethodName> = new Set(),
): ConnectionMethod | null {
  return methods.find((method) => method.available && shown.has(method.name) && !failed.has(method.name)) ?? null;
}

/** Why a way cannot be taken, for the menu; empty when it can. */
export function obstacle(method: ConnectionMethod, shown: ReadonlySet<MethodName>, failed: ReadonlySet<MethodName>): string {
  if (!method.available) return method.detail ?? "Not available.";
  if (!shown.has(method.name)) return "This page cannot show it.";
  return failed.has(method.name) ? "It did not work." : "";
}
