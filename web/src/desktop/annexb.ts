/** What an H.264 stream says of itself (ITU-T H.264, Annex B and 7.3.2.1.1). */

const SPS = 7;

/** Bytes at the start of an access unit in which a sequence parameter set is looked for. */
const LOOK = 1024;

/** The stream's codec as WebCodecs names it, from a key frame; `null` when it has no parameter set. */
export function codecOf(unit: Uint8Array): string | null {
  const end = Math.min(unit.length - 6, LOOK);
  for (let at = 0; at < end; at += 1) {
    if (unit[at] !== 0 || unit[at + 1] !== 0 || unit[at + 2] !== 1) continue;
    if (((unit[at + 3] ?? 0) & 0x1f) !== SPS) continue;
    const hex = (offset: number): string => (unit[at + offset] ?? 0).toString(16).padStart(2, "0");
    return `avc1.${hex(4)}${hex(5)}${hex(6)}`;
  }
  return null;
}
