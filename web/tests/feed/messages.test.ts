import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { parseServerMessage, roleIn } from "../../src/feed/messages";
import { FeedFormatError } from "../../src/feed/records";
import { parseUpdate } from "../../src/store/messages";

describe("parseServerMessage", () => {
  it("reads what the server says", () => {
    expect(parseServerMessage('{"type":"live","seq":12}')).toEqual({ type: "live", seq: 12 });
    expect(parseServerMessage('{"type":"lead","you":true,"name":null}')).toMatchObject({ you: true });
    expect(parseServerMessage('{"type":"role","role":"viewer","canControl":false}')).toMatchObject({ role: "viewer" });
  });

  it("ignores types of a later version", () => {
    expect(parseServerMessage('{"type":"fanfare"}')).toBeNull();
    expect(parseServerMessage('{"type":"constructor"}')).toBeNull();
  });

  it.each(["", "null", "[]", '"live"', "{}", '{"type":5}', '{"type":"live"}', '{"type":"live","seq":"1"}', '{"type":"hello","session":null}'])(
    "refuses %s",
    (text) => {
      expect(() => parseServerMessage(text)).toThrow(FeedFormatError);
    },
  );
});

describe("roleIn", () => {
  it("is what the server says, else what follows from the right to type", () => {
    expect(roleIn({ role: "approver", canControl: false })).toBe("approver");
    expect(roleIn({ canControl: true })).toBe("owner");
    expect(roleIn({ role: "emperor", canControl: false })).toBe("viewer");
  });
});

describe("parseUpdate", () => {
  it("reads a snapshot and a removal", () => {
    expect(parseUpdate('{"type":"snapshot","sessions":[],"runners":[]}')).toMatchObject({ type: "snapshot" });
    expect(parseUpdate('{"type":"session-removed","id":"s1"}')).toEqual({ type: "session-removed", id: "s1" });
    expect(parseUpdate('{"type":"runner-removed","id":"r1"}')).toEqual({ type: "runner-removed", id: "r1" });
    expect(parseUpdate('{"type":"weather"}')).toBeNull();
  });

  it.each(["x", "{}", '{"type":"snapshot","sessions":[]}', '{"type":"session","session":null}', '{"type":"runner-removed"}'])("refuses %s", (text) => {
    expect(() => parseUpdate(text)).toThrow(FeedFormatError);
  });
});

it("answers any text with a message, nothing or FeedFormatError", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      for (const parse of [parseServerMessage, parseUpdate]) {
        try {
          parse(text);
        } catch (error) {
          expect(error).toBeInstanceOf(FeedFormatError);
        }
      }
    }),
  );
});
