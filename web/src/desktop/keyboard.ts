/**
 * From key events to keys of the desktop.
 *
 * A key goes up as what it went down as, whatever Shift has become meanwhile. Keys whose going up
 * never comes (another window took it) are let go as soon as an event says that they are not down.
 */

import type { DesktopInput } from "./input";
import { inputCodeOf, keysymOf } from "./keysyms";

/** What is used of a KeyboardEvent. */
export type KeyStroke = Pick<
  KeyboardEvent,
  "key" | "code" | "location" | "repeat" | "isComposing" | "keyCode" | "timeStamp" | "ctrlKey" | "shiftKey" | "altKey" | "metaKey"
>;
export type Modifiers = Pick<KeyStroke, "ctrlKey" | "shiftKey" | "altKey" | "metaKey">;

interface Held {
  readonly keysym: number;
  /** The place on the keyboard that it stands for. */
  readonly code: string;
  /** The key's name, to find modifiers. */
  readonly name: string;
  readonly at: number;
}

/** Keys that can be down at once. */
const MAX_HELD = 32;
/** Windows puts a Control before AltGr, in the same moment. */
const ALT_GR_MS = 50;
/** `keyCode` of keys that an input method keeps for itself. */
const PROCESSING = 229;
const CONTROL = 0xffe3;
const LEVEL3 = 0xfe03;

export const isMac = (): boolean => /Mac|iPhone|iPad/.test(navigator.platform);

const modifierNames: readonly (readonly [string, keyof Modifiers])[] = [
  ["Shift", "shiftKey"],
  ["Control", "ctrlKey"],
  ["Alt", "altKey"],
  ["Meta", "metaKey"],
];

export class Keyboard {
  private readonly held = new Map<string, Held>();

  constructor(
    private readonly input: Pick<DesktopInput, "key" | "text" | "releaseAll">,
    private readonly mac: boolean = isMac(),
  ) {}

  get heldKeys(): number {
    return this.held.size;
  }

  /** True when it was for the desktop: the page must not act on it. False: an input method has it. */
  down(stroke: KeyStroke): boolean {
    if (stroke.isComposing || stroke.keyCode === PROCESSING || stroke.key === "Process" || stroke.key === "Unidentified") return false;
    if (stroke.key === "Dead") return false;
    const { keysym, code } = this.meaning(stroke);
    if (keysym === 0 && inputCodeOf(code) === 0) return true;
    if (keysym === 0 && stroke.key.length > 1) return true;
    if (keysym === LEVEL3 && !this.mac) this.forgetFalseControl(stroke.timeStamp);
    const id = stroke.code || stroke.key;
    const before = this.held.get(id);
    if (before && before.keysym !== keysym) this.let(id, before);
    if (this.held.size >= MAX_HELD && !this.held.has(id)) this.releaseAll();
    this.held.set(id, { keysym, code, name: stroke.key, at: stroke.timeStamp });
    this.input.key(true, keysym, code);
    // A Mac does not say that a key went up while Command is down.
    if (this.mac && stroke.metaKey && stroke.key !== "Meta") this.up(stroke);
    return true;
  }

  up(stroke: Pick<KeyStroke, "key" | "code">): void {
    const id = stroke.code || stroke.key;
    const held = this.held.get(id);
    if (held) this.let(id, held);
    // While Command was down, others went up unsaid.
    if (this.mac && stroke.key === "Meta") for (const [other, it] of [...this.held]) this.let(other, it);
  }

  /** Let go of modifiers that this event says are up. */
  agree(event: Modifiers): void {
    for (const [name, flag] of modifierNames) {
      if (event[flag]) continue;
      for (const [id, held] of [...this.held]) if (held.name === name) this.let(id, held);
    }
  }

  /** A key without an event of its own: of the rows for phones, or to be sent by name. */
  tap(key: string, code: string): void {
    const keysym = keysymOf(key, 0);
    this.input.key(true, keysym, code);
    this.input.key(false, keysym, code);
  }

  /** Hold or let go of a modifier that a button stands for. */
  hold(key: "Control" | "Alt" | "Shift" | "Meta", down: boolean): void {
    const code = `${key}Left`;
    if (down) this.down({ key, code, location: 1, repeat: false, isComposing: false, keyCode: 0, timeStamp: -Infinity, ctrlKey: false, shiftKey: false, altKey: false, metaKey: false });
    else this.up({ key, code });
  }

  type(text: string): void {
    this.input.text(text);
  }

  /** The window lost the focus: nothing is down any more. */
  releaseAll(): void {
    this.held.clear();
    this.input.releaseAll();
  }

  private meaning(stroke: KeyStroke): { keysym: number; code: string } {
    const keysym = keysymOf(stroke.key, stroke.location);
    const { code } = stroke;
    if (!this.mac) return { keysym, code };
    // On a Mac, Option makes characters as AltGr does elsewhere, and Command does what Control does there.
    if (stroke.key === "Alt") return { keysym: LEVEL3, code: "AltRight" };
    if (stroke.key === "Meta") return { keysym: CONTROL, code: "ControlLeft" };
    return { keysym, code };
  }

  private forgetFalseControl(now: number): void {
    const control = this.held.get("ControlLeft");
    if (control && now - control.at <= ALT_GR_MS) this.let("ControlLeft", control);
  }

  private let(id: string, held: Held): void {
    this.held.delete(id);
    this.input.key(false, held.keysym, held.code);
  }
}
