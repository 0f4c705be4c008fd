/** Names that files may have on the runner's machine; the server has the last word. */

const MAX_BYTES = 200;
const utf8 = new TextEncoder();

/** A name close to the one that the file has here. */
export function fineName(name: string): string {
  const cleaned = name
    .normalize("NFC")
    .replaceAll(/[\\/]/g, "_")
    .replaceAll(/[\p{Cc}\p{Cs}\p{Co}\p{Zl}\p{Zp}\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]/gu, "")
    .trim();
  const [stem, ending] = parted(cleaned === "" || cleaned === "." || cleaned === ".." ? "file" : cleaned);
  let room = MAX_BYTES - utf8.encode(ending).length;
  let kept = "";
  for (const character of stem) {
    room -= utf8.encode(character).length;
    if (room < 0) break;
    kept += character;
  }
  return (kept + ending).trim();
}

/** The name with a number that none of `taken` has. */
export function freeName(name: string, taken: ReadonlySet<string>): string {
  const [stem, ending] = parted(name);
  for (let number = 2; ; number += 1) {
    const other = fineName(`${stem} (${number})${ending}`);
    if (!taken.has(other)) return other;
  }
}

function parted(name: string): [string, string] {
  const dot = name.lastIndexOf(".");
  return dot > 0 && name.length - dot <= 12 ? [name.slice(0, dot), name.slice(dot)] : [name, ""];
}
