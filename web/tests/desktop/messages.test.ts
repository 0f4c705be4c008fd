import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { MAX_TEXT, ViewerFormatError, type Wish, decode, encode } from "../../src/desktop/messages";
import vectors from "./viewer-vectors.json";

const bytesOf = (hex: string): Uint8Array<ArrayBuffer> => Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const hexOf = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

type Value = string | number | boolean | { hex: string } | object;
type Fields = Record<string, Value>;
const binary = (fields: Fields, name = "data"): string => (fields[name] as { hex: string }).hex;

/** The server's fields as this codec names them. */
const expected: Record<string, (fields: Fields) => object> = {
  Video: ({ flags, ...f }) => {
    const unit = binary(f as Fields);
    const damaged = ((flags as number) & 2) !== 0;
    return {
      ...f,
      type: "video",
      key: ((flags as number) & 1) !== 0,
      damage: damaged ? [{ x: 1, y: 2, width: 300, height: 40 }] : null,
      data: damaged ? unit.slice(2 + 16) : unit,
    };
  },
  Exact: ({ format, ...f }) => ({ ...f, type: "exact", mime: ["image/png", "image/jpeg"][format as number], data: binary(f as Fields) }),
  Still: ({ format, ...f }) => ({ ...f, type: "still", mime: ["image/png", "image/jpeg"][format as number], data: binary(f as Fields) }),
  Audio: (f) => ({ ...f, type: "audio", data: binary(f) }),
  CursorShape: (f) => ({ type: "cursor", hotX: f["hot_x"], hotY: f["hot_y"], data: binary(f) }),
  PointerAt: (f) => ({ ...f, type: "pointer-at" }),
  Pong: (f) => ({ ...f, type: "pong" }),
  Clipboard: (f) => ({ type: "clipboard", kind: ["text", "png"][f["kind"] as number], data: binary(f) }),
  DesktopIs: (f) => ({ ...f, type: "desktop" }),
  Viewers: (f) => ({ ...f, type: "viewers" }),
  Statistics: (f) => ({ ...f, type: "statistics" }),
  Problem: (f) => ({ ...f, type: "problem" }),
};

const number = (fields: Fields, name: string): number => fields[name] as number;
const wish = (type: string, fields: Fields): Uint8Array => encode.note({ type, ...fields } as Wish);
const encoders: Record<string, (f: Fields) => Uint8Array> = {
  Key: (f) => encode.key(f["down"] === 1, number(f, "keysym"), number(f, "key")),
  Text: (f) => encode.text(new TextDecoder().decode(bytesOf(binary(f))))[0] as Uint8Array,
  Pointer: (f) => encode.pointer(number(f, "x"), number(f, "y"), number(f, "buttons")),
  PointerBy: (f) => encode.pointerBy(number(f, "dx"), number(f, "dy"), number(f, "buttons")),
  Wheel: (f) => encode.wheel(number(f, "dx"), number(f, "dy")),
  Touch: (f) => encode.touch(number(f, "finger"), number(f, "phase") as 0, number(f, "x"), number(f, "y")),
  ReleaseAll: () => encode.releaseAll(),
  Seen: (f) => encode.seen(number(f, "frame"), number(f, "took") / 1000),
  KeyFrameWanted: () => encode.keyFrameWanted(),
  Ping: (f) => encode.ping(number(f, "sent")),
  Clipboard: (f) => encode.clipboard(f["kind"] === 1 ? "png" : "text", bytesOf(binary(f))),
  Watch: (f) => wish("watch", f),
  TakeControl: (f) => wish("take-control", f),
  AskForControl: (f) => wish("ask-for-control", f),
  GiveControl: (f) => wish("give-control", f),
  Resize: (f) => wish("resize", f),
  SetPreset: (f) => wish("preset", f),
};

describe("both codecs hold the same truth", () => {
  it.each(vectors.fromDesktop.map((vector) => [vector.kind, vector] as const))("%s from the desktop", (kind, vector) => {
    const read = decode(bytesOf(vector.bytes).buffer) as object as Record<string, unknown>;
    const plain = read["data"] instanceof Uint8Array ? { ...read, data: hexOf(read["data"]) } : read;
    expect(plain).toEqual(expected[kind]?.(vector.fields as unknown as Fields));
  });

  it.each(vectors.fromViewer.map((vector) => [vector.kind, vector] as const))("%s from a viewer", (kind, vector) => {
    const written = encoders[kind]?.(vector.fields as unknown as Fields) as Uint8Array;
    if (written[0] !== 0) expect(hexOf(written)).toBe(vector.bytes);
    else {
      const json = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes.subarray(1)));
      expect(json(written)).toEqual(json(bytesOf(vector.bytes)));
    }
  });
});

describe("what comes from the network", () => {
  it("ends in a message or a ViewerFormatError", () => {
    const starts = vectors.fromDesktop.map((vector) => bytesOf(vector.bytes));
    const mutated = fc.tuple(fc.constantFrom(...starts), fc.nat(), fc.nat(255), fc.nat()).map(([start, at, byte, cut]) => {
      const bytes = start.slice(0, cut % (start.length + 1));
      if (bytes.length) bytes[at % bytes.length] = byte;
      return bytes;
    });
    fc.assert(
      fc.property(fc.oneof(mutated, fc.uint8Array()), (bytes) => {
        try {
          decode(new Uint8Array(bytes).buffer);
        } catch (error) {
          expect(error).toBeInstanceOf(ViewerFormatError);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it("of a kind we do not know is passed over", () => {
    expect(decode(new Uint8Array([0x7f, 1, 2]).buffer)).toBeNull();
    expect(decode(encode.note({ type: "moon-phase" } as unknown as Wish).buffer)).toBeNull();
  });
});

describe("what is sent", () => {
  it("cuts long text between characters", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "binary" }), { maxLength: 4 }), fc.nat(40), (parts, times) => {
        const typed = (parts.join("") + "€😀").repeat(times) + parts.join("");
        const messages = encode.text(typed);
        for (const message of messages) expect(message.length - 1).toBeLessThanOrEqual(MAX_TEXT);
        expect(messages.map((message) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(message.subarray(1))).join("")).toBe(typed);
      }),
      { numRuns: 25 },
    );
  });

  it("clamps what does not fit", () => {
    expect(hexOf(encode.pointer(-3, 70_000, 1))).toBe("430000ffff0001");
    expect(hexOf(encode.wheel(-40_000, 40_000))).toBe("4580007fff");
  });
});
