import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { readOffer } from "../../src/terminal/clipboard";
import { bytesOf, withCtrl } from "../../src/terminal/keys";
import { destinationOf } from "../../src/terminal/links";
import { needsLead, reportIn } from "../../src/terminal/reports";
import { MIN_FONT, cellsIn, fontFor, letterSpacing } from "../../src/terminal/sizing";

describe("reports that xterm.js makes by itself", () => {
  it.each([
    ["\x1b[I", "focus"],
    ["\x1b[O", "focus"],
    ["\x1b[<35;10;10M", "mouse-move"],
    ["\x1b[<64;10;10M", "mouse-wheel"],
    ["\x1b[<0;10;10M", "mouse-button"],
    ["\x1b[<0;10;10m", "mouse-button"],
    ["\x1b[M !!", "mouse-button"],
    ["\x1b[?997;1n", "colour-scheme"],
    ["\x1b[12;40R", "cursor"],
    ["a", null],
    ["\x1b[A", null],
    ["\x1b[13;2u", null],
    ["\x1b", null],
  ])("%j is %s", (data, expected) => {
    expect(reportIn(data)).toBe(expected);
  });

  it("do not take the lead, except a click", () => {
    expect(needsLead("mouse-move")).toBe(true);
    expect(needsLead("focus")).toBe(true);
    expect(needsLead("mouse-button")).toBe(false);
    expect(needsLead(null)).toBe(false);
  });
});

describe("OSC 52", () => {
  it("reads an offer", () => {
    expect(readOffer(`c;${btoa("hello")}`)).toBe("hello");
    expect(readOffer(`;${btoa("\xc3\xa9")}`)).toBe("é");
  });

  it.each(["c;?", "c;", "c", "c;***", `c;${btoa("\xff\xfe")}`, `c;${"A".repeat(1024 * 1024 + 4)}`])("ignores %.20s", (data) => {
    expect(readOffer(data)).toBeNull();
  });
});

describe("links", () => {
  it("tells the web from the runner's own ports", () => {
    expect(destinationOf("https://example.org/a")).toEqual({ kind: "web", url: "https://example.org/a" });
    expect(destinationOf("http://localhost:5173/x")).toMatchObject({ kind: "runner-port", port: 5173 });
    expect(destinationOf("http://127.0.0.1/")).toMatchObject({ kind: "runner-port", port: 80 });
    expect(destinationOf("http://[::1]:8080/")).toMatchObject({ kind: "runner-port", port: 8080 });
  });

  it.each(["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "not a link", "vbscript:x"])("does not follow %s", (uri) => {
    expect(destinationOf(uri)).toBeNull();
  });
});

describe("extra keys", () => {
  it("follow the cursor key mode", () => {
    expect(bytesOf("Up", false)).toBe("\x1b[A");
    expect(bytesOf("Up", true)).toBe("\x1bOA");
    expect(bytesOf("Ctrl", false)).toBeNull();
  });

  it.each([
    ["c", "\x03"],
    ["C", "\x03"],
    ["[", "\x1b"],
    [" ", "\0"],
    ["1", "1"],
    ["ab", "ab"],
  ])("Ctrl with %j", (char, expected) => {
    expect(withCtrl(char)).toBe(expected);
  });
});

describe("sizes", () => {
  it("fills a box with whole cells, within the server's limits", () => {
    expect(cellsIn({ width: 805, height: 410 }, { width: 8, height: 17 })).toEqual({ cols: 100, rows: 24 });
    expect(cellsIn({ width: 0, height: 410 }, { width: 8, height: 17 })).toBeNull();
    expect(cellsIn({ width: 90_000, height: 5 }, { width: 8, height: 17 })).toEqual({ cols: 1000, rows: 1 });
  });

  it("makes another's terminal fit, never larger than wanted and never unreadably small", () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 400 }), fc.integer({ min: 1, max: 200 }), fc.integer({ min: 50, max: 3000 }), (cols, rows, side) => {
        const font = fontFor({ cols, rows }, { width: side, height: side }, { width: 0.6, height: 1.3 }, 13);
        expect(font).toBeLessThanOrEqual(13);
        expect(font).toBeGreaterThanOrEqual(MIN_FONT);
        if (font > MIN_FONT) expect(cols * 0.6 * font).toBeLessThanOrEqual(side + 1e-6);
      }),
    );
  });

  it("gives letters back what rounding took", () => {
    expect(letterSpacing(7.8, 1)).toBe(1);
    expect(letterSpacing(7.2, 1)).toBe(0);
    expect(letterSpacing(7.8, 2)).toBe(1);
    expect(letterSpacing(8, 1)).toBe(0);
  });
});
