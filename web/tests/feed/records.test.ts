import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { type FeedEvent, FeedFormatError, HEADER_BYTES, Kind, decodeRecords } from "../../src/feed/records";

interface Raw {
  seq: number;
  ts: number;
  kind: number;
  data: Uint8Array;
}

const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

/** An encoder of its own, after the layout in docs/protocols/feed.md. */
function encode(records: readonly Raw[]): ArrayBuffer {
  const total = records.reduce((bytes, record) => bytes + HEADER_BYTES + record.data.length, 0);
  const view = new DataView(new ArrayBuffer(total));
  let at = 0;
  for (const record of records) {
    view.setBigUint64(at, BigInt(record.seq));
    view.setBigUint64(at + 8, BigInt(record.ts));
    view.setUint8(at + 16, record.kind);
    view.setUint32(at + 17, record.data.length);
    new Uint8Array(view.buffer, at + HEADER_BYTES).set(record.data);
    at += HEADER_BYTES + record.data.length;
  }
  return view.buffer;
}

const output = (seq: number, text: string): Raw => ({ seq, ts: 1000 + seq, kind: Kind.output, data: new TextEncoder().encode(text) });
const textOf = (event: FeedEvent | undefined): string => (event?.kind === "output" ? new TextDecoder().decode(event.data) : "");

const outputs = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 1000 }), fc.uint8Array({ maxLength: 64 })), { maxLength: 20 })
  .map((steps) => {
    let seq = 0;
    return steps.map(([step, data]): Raw => ({ seq: (seq += step), ts: seq * 7, kind: Kind.output, data }));
  });

describe("decodeRecords", () => {
  it("reads an empty message as nothing", () => {
    expect(decodeRecords(new ArrayBuffer(0))).toEqual({ events: [], lastSeq: 0, bytes: 0 });
  });

  it("reads several records of one message in order", () => {
    const { events, lastSeq } = decodeRecords(encode([output(4, "one"), output(5, "two")]));
    expect(events.map(textOf)).toEqual(["one", "two"]);
    expect(events[0]).toMatchObject({ kind: "output", seq: 4, ts: 1004 });
    expect(lastSeq).toBe(5);
  });

  it.each([
    [Kind.started, { agent: "claude", argv: ["claude"], pid: 7, folder: "/w", cols: 80, rows: 24 }, { kind: "started", agent: "claude", cols: 80, rows: 24 }],
    [Kind.resized, { cols: 120, rows: 40 }, { kind: "resized", cols: 120, rows: 40 }],
    [Kind.prompted, { text: "hi", by: "mira", commandId: "c" }, { kind: "prompted", text: "hi", by: "mira" }],
    [Kind.interrupted, { by: "mira", commandId: "c" }, { kind: "interrupted", by: "mira" }],
    [Kind.stopping, { by: "mira", how: "kill", commandId: "c" }, { kind: "stopping", how: "kill" }],
    [Kind.exited, { exitCode: 3, signal: null }, { kind: "exited", exitCode: 3, signal: null }],
    [Kind.failed, { code: "x", detail: "d", remedy: null }, { kind: "failed", detail: "d", remedy: "" }],
    [Kind.gap, { firstSeq: 3, lastSeq: 9, bytes: 100, reason: "spool full" }, { kind: "gap", firstSeq: 3, bytes: 100 }],
  ])("reads kind %i", (kind, data, expected) => {
    const { events } = decodeRecords(encode([{ seq: 9, ts: 1, kind, data: json(data) }]));
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({ seq: 9, ...expected });
  });

  it("skips a kind it does not know, and moves the cursor over it", () => {
    const { events, lastSeq } = decodeRecords(encode([output(1, "a"), { seq: 2, ts: 0, kind: 77, data: json(0) }]));
    expect(events).toHaveLength(1);
    expect(lastSeq).toBe(2);
  });

  it.each([
    ["data that is not JSON", { seq: 1, ts: 0, kind: Kind.resized, data: new Uint8Array([0xff, 0x00]) }],
    ["JSON that is not an object", { seq: 1, ts: 0, kind: Kind.resized, data: json([1]) }],
    ["a field that is missing", { seq: 1, ts: 0, kind: Kind.resized, data: json({ cols: 80 }) }],
    ["a field of another type", { seq: 1, ts: 0, kind: Kind.prompted, data: json({ text: 5 }) }],
    ["a fraction where a count belongs", { seq: 1, ts: 0, kind: Kind.resized, data: json({ cols: 1.5, rows: 2 }) }],
  ])("refuses %s", (_what, record) => {
    expect(() => decodeRecords(encode([record]))).toThrow(FeedFormatError);
  });

  it("refuses numbers that JavaScript cannot hold", () => {
    const message = encode([output(1, "")]);
    new DataView(message).setBigUint64(0, 2n ** 60n);
    expect(() => decodeRecords(message)).toThrow(FeedFormatError);
  });

  it("refuses records that go backwards", () => {
    expect(() => decodeRecords(encode([output(2, ""), output(2, "")]))).toThrow(FeedFormatError);
  });

  it("gives back what was encoded", () => {
    fc.assert(
      fc.property(outputs, (records) => {
        const { events, lastSeq } = decodeRecords(encode(records));
        expect(events.map((event) => [event.seq, event.ts, event.kind === "output" && [...event.data]])).toEqual(
          records.map((record) => [record.seq, record.ts, [...record.data]]),
        );
        expect(lastSeq).toBe(records.at(-1)?.seq ?? 0);
      }),
    );
  });

  it("notices every cut that is not between two records", () => {
    fc.assert(
      fc.property(outputs.filter((records) => records.length > 0), fc.nat(), (records, at) => {
        const whole = encode(records);
        const cut = at % whole.byteLength;
        const borders = records.reduce<number[]>((sums, record) => [...sums, (sums.at(-1) ?? 0) + HEADER_BYTES + record.data.length], [0]);
        const decode = (): unknown => decodeRecords(whole.slice(0, cut));
        if (borders.includes(cut)) expect(decode).not.toThrow();
        else expect(decode).toThrow(FeedFormatError);
      }),
    );
  });

  it("answers random bytes with events or FeedFormatError, nothing else", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          decodeRecords(bytes.slice().buffer);
        } catch (error) {
          expect(error).toBeInstanceOf(FeedFormatError);
        }
      }),
    );
  });
});
