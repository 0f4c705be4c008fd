/** Keys that a phone's keyboard lacks, as the bytes a terminal sends for them. */

export const extraKeys = ["Esc", "Tab", "Ctrl", "Up", "Down", "Left", "Right", "Ctrl-C", "/"] as const;
export type ExtraKey = (typeof extraKeys)[number];

const arrows: Partial<Record<ExtraKey, string>> = { Up: "A", Down: "B", Right: "C", Left: "D" };
const fixed: Partial<Record<ExtraKey, string>> = { Esc: "\x1b", Tab: "\t", "Ctrl-C": "\x03", "/": "/" };

/** `null` for Ctrl, which only changes the next key. */
export function bytesOf(key: ExtraKey, applicationCursor: boolean): string | null {
  const arrow = arrows[key];
  if (arrow) return `\x1b${applicationCursor ? "O" : "["}${arrow}`;
  return fixed[key] ?? null;
}

/** What Ctrl makes of one character; the character itself where it makes nothing. */
export function withCtrl(char: string): string {
  if (char.length !== 1) return char;
  if (char === " ") return "\0";
  if (char === "?") return "\x7f";
  const code = char.toUpperCase().charCodeAt(0);
  return code >= 0x40 && code <= 0x5f ? String.fromCharCode(code & 0x1f) : char;
}
