/** Finds what somebody means by a few letters: they must appear in order; starts of words count most. */

/** How well `searched` fits; `null` when it does not. Higher is better. */
export function score(text: string, searched: string): number | null {
  const hay = text.toLowerCase();
  const needle = searched.toLowerCase().replace(/\s+/g, "");
  let total = 0;
  let from = 0;
  let previous = -2;
  for (const letter of needle) {
    const found = hay.indexOf(letter, from);
    if (found < 0) return null;
    const startsWord = found === 0 || !/[\p{L}\p{N}]/u.test(hay.charAt(found - 1));
    total += found === previous + 1 ? 6 : startsWord ? 5 : 1;
    previous = found;
    from = found + letter.length;
  }
  if (hay.includes(searched.toLowerCase())) total += needle.length * 4;
  return total - hay.length / 200;
}

/** Those that fit, best first; equals keep their order. */
export function rank<T>(items: readonly T[], searched: string, textOf: (item: T) => string): T[] {
  return items
    .map((item) => ({ item, points: score(textOf(item), searched) }))
    .filter((entry): entry is { item: T; points: number } => entry.points !== null)
    .sort((a, b) => b.points - a.points)
    .map((entry) => entry.item);
}
