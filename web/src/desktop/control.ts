/** Who has control: the one who types and moves the mouse. */

import type { ViewerIs, Viewers } from "./messages";

const steeringRoles: ReadonlySet<string> = new Set(["owner", "controller"]);

export interface Control {
  readonly me: ViewerIs | null;
  readonly others: readonly ViewerIs[];
  /** Who has control; `null`: nobody, and the first who types takes it. */
  readonly holder: ViewerIs | null;
  readonly mine: boolean;
  /** This person's role allows to steer at all. */
  readonly mayControl: boolean;
  /** What this person types reaches the desktop, now or by taking control with it. */
  readonly typing: boolean;
  /** Others who ask for control while this person has it. */
  readonly asking: readonly ViewerIs[];
  /** Nobody decides who has control: all who may steer can, at once. */
  readonly shared?: boolean;
}

export const nobody: Control = { me: null, others: [], holder: null, mine: false, mayControl: false, typing: false, asking: [] };

/** Where the desktop does not say who has control. */
export function shared(mayControl: boolean): Control {
  return { ...nobody, mayControl, typing: mayControl, shared: true };
}

export function controlOf(said: Viewers): Control {
  const me = said.viewers.find((viewer) => viewer.you) ?? null;
  const others = said.viewers.filter((viewer) => viewer !== me);
  const holder = said.viewers.find((viewer) => viewer.number === said.control) ?? null;
  const mine = me !== null && holder === me;
  const mayControl = me !== null && steeringRoles.has(me.role);
  return {
    me,
    others,
    holder,
    mine,
    mayControl,
    typing: mine || (mayControl && said.control === 0),
    asking: mine ? others.filter((viewer) => viewer.asks) : [],
  };
}

/** What the toolbar says about control. */
export function controlWords(control: Control): string {
  if (control.shared) return control.mayControl ? "You can type and click" : "You are watching";
  if (!control.me) return "";
  if (control.mine) return "You have control";
  if (control.holder) return `${control.holder.name} has control`;
  return control.mayControl ? "Type or click to take control" : "You are watching";
}

/** What the person should hear when control went from `before` to `after`; `null`: nothing. */
export function controlNews(before: Control, after: Control): string | null {
  if (!before.me || !after.me) return null;
  const was = before.holder?.number ?? 0;
  const is = after.holder?.number ?? 0;
  if (before.mine && !after.mine) return after.holder ? `${after.holder.name} has taken control.` : null;
  if (after.mine && was !== 0 && !before.mine) return "You have control now.";
  const asked = after.asking.find((viewer) => !before.asking.some((known) => known.number === viewer.number));
  if (asked && was === is) return `${asked.name} asks for control.`;
  return null;
}
