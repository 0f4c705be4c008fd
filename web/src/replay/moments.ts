/**
 * One time line for a session's log and the recordings of its desktop.
 *
 * Times are milliseconds since 1970 by the runner's clock, which both have. Pure.
 */

import type { Recording } from "../api/types";
import type { FeedEvent } from "../feed/records";

/** A recording on the time line. */
export interface Span {
  readonly recording: Recording;
  readonly from: number;
  readonly to: number;
}

export interface Line {
  readonly from: number;
  readonly to: number;
  readonly spans: readonly Span[];
}

/** A line has some length, so that positions on it can be told. */
const LEAST_MS = 1_000;

export function spansOf(recordings: readonly Recording[]): Span[] {
  return recordings
    .map((recording) => {
      const from = Date.parse(recording.startedAt);
      return { recording, from, to: from + recording.duration };
    })
    .sort((a, b) => a.from - b.from);
}

export function lineOf(recordings: readonly Recording[], events: readonly FeedEvent[]): Line | null {
  const spans = spansOf(recordings);
  const times = [...spans.flatMap(({ from, to }) => [from, to])];
  const first = events[0];
  const last = events.at(-1);
  if (first && last) times.push(first.ts, last.ts);
  if (times.length === 0) return null;
  const from = Math.min(...times);
  return { from, to: Math.max(from + LEAST_MS, ...times), spans };
}

/** What is recorded at this time; where two meet, the later. */
export function spanAt(spans: readonly Span[], at: number): Span | null {
  return spans.findLast((span) => span.from <= at && at < span.to) ?? null;
}

/** How many of the events have happened at a time. */
export function countUntil(events: readonly FeedEvent[], at: number): number {
  let low = 0;
  let high = events.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((events[middle]?.ts ?? 0) <= at) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** How many have a `seq` up to this one. */
export function countUpTo(events: readonly FeedEvent[], seq: number): number {
  let low = 0;
  let high = events.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((events[middle]?.seq ?? 0) <= seq) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * How many events belong to what is shown at a time.
 *
 * Inside a recording its index bounds the answer: it holds also where the machine's clock was set
 * while it recorded.
 */
export function shownAt(events: readonly FeedEvent[], spans: readonly Span[], at: number): number {
  const count = countUntil(events, at);
  const span = spanAt(spans, at);
  const index = span?.recording.index ?? [];
  if (!span || index.length === 0) return count;
  const into = at - span.from;
  const after = index.findIndex((place) => place.at > into);
  const before = index[(after < 0 ? index.length : after) - 1];
  const least = before ? countUpTo(events, before.seq) : 0;
  const next = after < 0 ? undefined : index[after];
  const most = next ? countUpTo(events, next.seq) : Math.max(count, least);
  return Math.max(least, Math.min(count, most));
}

/** Where playing goes on when nothing is to be seen for longer than `idle`: the next picture or output. */
export function skipFrom(line: Line, events: readonly FeedEvent[], at: number, idle: number): number | null {
  if (spanAt(line.spans, at)) return null;
  const recording = line.spans.find((span) => span.from > at)?.from ?? Infinity;
  const event = events[countUntil(events, at)]?.ts ?? Infinity;
  const next = Math.min(recording, event);
  return next !== Infinity && next - at > idle ? next : null;
}

/** What the time line marks: everything but output and sizes. */
export type Mark = Exclude<FeedEvent, { kind: "output" | "resized" }>;

export function marksIn(events: readonly FeedEvent[]): Mark[] {
  return events.filter((event): event is Mark => event.kind !== "output" && event.kind !== "resized");
}

/** The mark before or behind a time; `near` ms count as being there. */
export function markFrom(marks: readonly Mark[], at: number, direction: -1 | 1, near = 500): Mark | null {
  if (direction > 0) return marks.find((mark) => mark.ts > at + 1) ?? null;
  return marks.findLast((mark) => mark.ts < at - near) ?? null;
}

/** `0:07`, `12:34`, `1:02:03`. */
export function clock(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (value: number): string => String(value).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}
