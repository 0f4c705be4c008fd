/** A stretch of days, as two date fields give it. */

export interface TimeRange {
  /** Milliseconds since 1970; included. */
  readonly from: number | null;
  /** Milliseconds since 1970; not included. */
  readonly until: number | null;
}

/** The start of a day in this browser's time zone. */
function midnight(date: string, daysLater = 0): number | null {
  const [year, month, day] = date.split("-").map(Number);
  if (!year || !month || !day) return null;
  return new Date(year, month - 1, day + daysLater).getTime();
}

/** From the first day's start to the last day's end; an empty field leaves that side open. */
export function rangeOf(firstDay: string, lastDay: string): TimeRange {
  return { from: midnight(firstDay), until: midnight(lastDay, 1) };
}

export function within({ from, until }: TimeRange, time: string): boolean {
  const at = Date.parse(time);
  return (from === null || at >= from) && (until === null || at < until);
}
