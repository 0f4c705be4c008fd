/**
 * Keys as RDP wants them: scancodes of a US keyboard, which is what the gateway says that we have
 * ([MS-RDPBCGR] 2.2.8.1.2.2.1). A character that our keyboard has elsewhere is typed where a US one has it; one that a US
 * keyboard lacks goes as Unicode.
 */

import { inputCodeOf, keysymOfCharacter } from "../keysyms";

export type RdpKey = { readonly down: boolean } & ({ readonly scancode: number } | { readonly character: string });

/** Linux input codes and PC scancodes, set 1, agree up to here. */
const SAME_UNTIL = 88;
const extended: Record<number, number> = {
  96: 0xe01c, // keypad Enter
  97: 0xe01d, // right Control
  98: 0xe035, // keypad /
  99: 0xe037, // Print Screen
  100: 0xe038, // AltGr
  102: 0xe047, // Home
  103: 0xe048, // up
  104: 0xe049, // Page Up
  105: 0xe04b, // left
  106: 0xe04d, // right
  107: 0xe04f, // End
  108: 0xe050, // down
  109: 0xe051, // Page Down
  110: 0xe052, // Insert
  111: 0xe053, // Delete
  125: 0xe05b, // left Super
  126: 0xe05c, // right Super
  127: 0xe05d, // menu
};
const SHIFT = 0x2a;
const modifiers: Record<number, "shift" | "other" | "level3"> = {
  [SHIFT]: "shift",
  0x36: "shift",
  0x1d: "other",
  0xe01d: "other",
  0x38: "other",
  0xe038: "level3",
  0xe05b: "other",
  0xe05c: "other",
};

/** The scancode of a place on the keyboard; 0 where there is none. */
export function scancodeOf(code: string): number {
  const input = inputCodeOf(code);
  return input <= SAME_UNTIL ? input : (extended[input] ?? 0);
}

/** Where a US keyboard has its characters: by code, plain and with Shift. */
const us: readonly (readonly [string, string, string])[] = [
  ...[..."abcdefghijklmnopqrstuvwxyz"].map((letter) => [`Key${letter.toUpperCase()}`, letter, letter.toUpperCase()] as const),
  ...[...")!@#$%^&*("].map((sign, digit) => [`Digit${digit}`, String(digit), sign] as const),
  ["Space", " ", " "],
  ["Minus", "-", "_"],
  ["Equal", "=", "+"],
  ["BracketLeft", "[", "{"],
  ["BracketRight", "]", "}"],
  ["Backslash", "\\", "|"],
  ["Semicolon", ";", ":"],
  ["Quote", "'", '"'],
  ["Backquote", "`", "~"],
  ["Comma", ",", "<"],
  ["Period", ".", ">"],
  ["Slash", "/", "?"],
];
const places = new Map<string, { code: string; shift: boolean }>();
for (const [code, plain, shifted] of us) {
  places.set(shifted, { code, shift: true });
  places.set(plain, { code, shift: false });
}

function characterOf(keysym: number): string {
  if (keysym >= 0x20 && keysym <= 0xff) return String.fromCodePoint(keysym);
  return keysym >= 0x01000000 && keysym <= 0x0110ffff ? String.fromCodePoint(keysym & 0x00ffffff) : "";
}

export class RdpKeys {
  /** Scancodes that are down. */
  private readonly down = new Set<number>();

  constructor(private readonly send: (keys: readonly RdpKey[]) => void) {}

  key(down: boolean, keysym: number, code: string): void {
    const own = scancodeOf(code);
    if (!down) {
      if (this.down.delete(own)) this.send([{ scancode: own, down: false }]);
      return;
    }
    const character = characterOf(keysym);
    const place = character ? places.get(character) : undefined;
    const inPlace = own !== 0 && (!character || (place !== undefined && place.code === code && place.shift === this.shifted));
    // Pressed with Control and the like, a character is a command: the key as it lies, if need be.
    const command = [...this.down].some((held) => modifiers[held] === "other");
    if (inPlace || (own !== 0 && command && !place)) {
      this.down.add(own);
      this.send([{ scancode: own, down: true }]);
    } else if (place) {
      this.send(this.with(place.shift, scancodeOf(place.code)));
    } else if (character) {
      this.send([
        { character, down: true },
        { character, down: false },
      ]);
    }
  }

  text(typed: string): void {
    for (const character of typed) {
      if (character === "\n") this.send(this.with(false, scancodeOf("Enter")));
      else this.key(true, keysymOfCharacter(character), "");
    }
  }

  /** The session lets go of everything itself. */
  forget(): void {
    this.down.clear();
  }

  private get shifted(): boolean {
    return [...this.down].some((code) => modifiers[code] === "shift");
  }

  /** A key with or without Shift, whatever is held: held modifiers that are in the way go up meanwhile. */
  private with(shift: boolean, scancode: number): RdpKey[] {
    const held = [...this.down];
    const away = held.filter((code) => modifiers[code] === "level3" || (modifiers[code] === "shift" && !shift));
    const add = shift && !this.shifted;
    return [
      ...away.map((code) => ({ scancode: code, down: false })),
      ...(add ? [{ scancode: SHIFT, down: true }] : []),
      { scancode, down: true },
      { scancode, down: false },
      ...(add ? [{ scancode: SHIFT, down: false }] : []),
      ...away.map((code) => ({ scancode: code, down: true })),
    ];
  }
}
