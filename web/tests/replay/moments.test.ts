import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { Recording } from "../../src/api/types";
import type { FeedEvent } from "../../src/feed/records";
import { clock, countUntil, lineOf, markFrom, marksIn, shownAt, skipFrom, spanAt, spansOf } from "../../src/replay/moments";

const T = Date.parse("2026-11-20T12:00:00Z");

function recording(id: string, from: number, duration: number, index: Recording["index"] = []): Recording {
  return { id, startedAt: new Date(T + from).toISOString(), duration, size: 1, pieces: 1, width: 640, height: 480, audio: false, codecs: "avc1", index };
}

function output(seq: number, at: number): FeedEvent {
  return { kind: "output", seq, ts: T + at, data: new Uint8Array() };
}

const prompt = (seq: number, at: number): FeedEvent => ({ kind: "prompted", seq, ts: T + at, text: "go", by: "mia", commandId: "c" });

describe("the line", () => {
  it("spans the log and all recordings", () => {
    const line = lineOf([recording("b", 60_000, 5_000), recording("a", 10_000, 20_000)], [output(1, 0), output(2, 30_000)]);
    expect(line).toMatchObject({ from: T, to: T + 65_000 });
    expect(line?.spans.map((span) => span.recording.id)).toEqual(["a", "b"]);
  });

  it("is there with either alone, and not without both", () => {
    expect(lineOf([], [])).toBeNull();
    expect(lineOf([], [output(1, 0)])).toMatchObject({ from: T, to: T + 1_000 });
    expect(lineOf([recording("a", 0, 5_000)], [])).toMatchObject({ from: T, to: T + 5_000 });
  });

  it("knows what is recorded when; the later where two meet", () => {
    const spans = spansOf([recording("a", 0, 1_000), recording("b", 1_000, 1_000), recording("c", 5_000, 1_000)]);
    expect(spanAt(spans, T + 999)?.recording.id).toBe("a");
    expect(spanAt(spans, T + 1_000)?.recording.id).toBe("b");
    expect(spanAt(spans, T + 2_000)).toBeNull();
    expect(spanAt(spans, T + 5_500)?.recording.id).toBe("c");
  });
});

describe("what is shown at a time", () => {
  const events = [output(1, 0), output(2, 1_000), output(3, 2_000), output(4, 9_000)];

  it("is what has happened", () => {
    expect([-1, 0, 1_500, 9_000].map((at) => shownAt(events, [], T + at))).toEqual([0, 1, 2, 4]);
  });

  it("keeps to the recording's index where the clock was set meanwhile", () => {
    // The log's clock says 9 s, but the recording knows: after its first second the log was at 4.
    const spans = spansOf([recording("a", 0, 5_000, [{ at: 0, seq: 1 }, { at: 1_000, seq: 4 }])]);
    expect(shownAt(events, spans, T + 1_200)).toBe(4);
    const late = spansOf([recording("a", 0, 5_000, [{ at: 0, seq: 1 }, { at: 4_000, seq: 2 }])]);
    expect(shownAt(events, late, T + 3_000)).toBe(2);
  });

  it("never goes back as time goes on", () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(5_000), { maxLength: 30 }),
        fc.array(fc.nat(5_000), { maxLength: 8 }),
        fc.array(fc.nat(6_000), { minLength: 2, maxLength: 10 }),
        (times, ticks, positions) => {
          const log = times.sort((a, b) => a - b).map((at, n) => output(n + 1, at));
          const index = [...new Set(ticks)].sort((a, b) => a - b).map((at) => ({ at, seq: Math.max(1, countUntil(log, T + at)) }));
          const spans = spansOf([recording("a", 0, 5_000, index)]);
          const shown = positions.sort((a, b) => a - b).map((at) => shownAt(log, spans, T + at));
          expect(shown).toEqual([...shown].sort((a, b) => a - b));
          expect(shown.every((count) => count >= 0 && count <= log.length)).toBe(true);
        },
      ),
    );
  });
});

it("skips what holds nothing for long, and no recording", () => {
  const events = [output(1, 0), output(2, 100_000)];
  const line = lineOf([recording("a", 50_000, 5_000)], events)!;
  expect(skipFrom(line, events, T + 1_000, 3_000)).toBe(T + 50_000);
  expect(skipFrom(line, events, T + 52_000, 3_000)).toBeNull();
  expect(skipFrom(line, events, T + 60_000, 3_000)).toBe(T + 100_000);
  expect(skipFrom(line, events, T + 98_000, 3_000)).toBeNull();
  expect(skipFrom(line, events, T + 100_000, 3_000)).toBeNull();
});

it("finds the mark before and behind", () => {
  const marks = marksIn([output(1, 0), prompt(2, 1_000), prompt(3, 5_000)]);
  expect(marks.map((mark) => mark.seq)).toEqual([2, 3]);
  expect(markFrom(marks, T, 1)?.seq).toBe(2);
  expect(markFrom(marks, T + 1_000, 1)?.seq).toBe(3);
  expect(markFrom(marks, T + 5_200, -1)?.seq).toBe(2);
  expect(markFrom(marks, T + 6_000, -1)?.seq).toBe(3);
  expect(markFrom(marks, T + 900, -1)).toBeNull();
});

it("tells times as players do", () => {
  expect([0, 7_900, 754_000, 3_723_000].map(clock)).toEqual(["0:00", "0:07", "12:34", "1:02:03"]);
});
