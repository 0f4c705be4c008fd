/** The clients of other protocols, each loaded when somebody wants it. */

import type { MethodName } from "../methods";
import type { OpenLine } from "./line";

export const lines: Partial<Record<MethodName, () => Promise<OpenLine>>> = {
  vnc: async () => (await import("./vnc")).open,
  rdp: async () => (await import("./rdp")).open,
  guacamole: async () => (await import("./guacamole")).open,
};
