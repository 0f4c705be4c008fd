import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { routeOf, sessionPath } from "../../src/router";
import { CommandLineError, joinCommand, splitCommand } from "../../src/ui/command-line";
import { duration, shortAge, shortFolder, size } from "../../src/ui/format";
import { rank } from "../../src/ui/fuzzy";
import { PromptHistory } from "../../src/ui/prompt-history";
import { shortcutOf } from "../../src/ui/session-shortcuts";
import { codeIn } from "../../src/ui/sign-in/code-in-link";

describe("splitCommand", () => {
  it.each([
    ["npm test -- --watch", ["npm", "test", "--", "--watch"]],
    ["  a   b ", ["a", "b"]],
    [`sh -c 'echo "hi there"'`, ["sh", "-c", 'echo "hi there"']],
    [`say "a \\"b\\" c" '' d\\ e`, ["say", 'a "b" c', "", "d e"]],
    ['"\\n"', ["\\n"]],
    ["", []],
  ])("%s", (line, words) => {
    expect(splitCommand(line)).toEqual(words);
  });

  it.each(["'open", '"open', "end\\"])("refuses %s", (line) => {
    expect(() => splitCommand(line)).toThrow(CommandLineError);
  });

  it("reads back what joinCommand wrote", () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (words) => {
        expect(splitCommand(joinCommand(words))).toEqual(words);
      }),
    );
  });
});

describe("routes", () => {
  it.each([
    ["/", { page: "sessions" }],
    ["/runners", { page: "runners" }],
    ["/settings", { page: "settings" }],
    ["/account", { page: "account" }],
    ["/people", { page: "people" }],
    ["/audit", { page: "audit" }],
    ["/device", { page: "device", code: "" }],
    ["/sessions/abc", { page: "session", id: "abc" }],
    ["/sessions", { page: "unknown" }],
    ["/sessions/%", { page: "unknown" }],
    ["/runners/x", { page: "unknown" }],
  ])("%s", (path, route) => {
    expect(routeOf(path)).toEqual(route);
  });

  it("take a device's code along", () => {
    expect(routeOf("/device", "?code=BCDF-GHJK")).toEqual({ page: "device", code: "BCDF-GHJK" });
  });

  it("finds every session by its path", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), (id) => {
        expect(routeOf(sessionPath(id))).toEqual({ page: "session", id });
      }),
    );
  });
});

describe("what people read", () => {
  it("ages and durations", () => {
    expect([0, 59_000, 61_000, 7_200_000, 200_000_000].map(shortAge)).toEqual(["0s", "59s", "1m", "2h", "2d"]);
    expect([4_000, 61_000, 3_660_000, 200_000_000].map(duration)).toEqual(["4 s", "1 min 1 s", "1 h 1 min", "2 days"]);
  });

  it("sizes", () => {
    expect([0, 999, 1000, 52_400_000, 2e12].map(size)).toEqual(["0 B", "999 B", "1.0 kB", "52.4 MB", "2.0 TB"]);
  });

  it("folders", () => {
    expect(shortFolder("/home/mira/x", "/home/mira")).toBe("~/x");
    expect(shortFolder("/home/miranda", "/home/mira")).toBe("/home/miranda");
    expect(shortFolder("/x", "/")).toBe("/x");
  });
});

describe("PromptHistory", () => {
  it("goes back and comes forward to what was being written", () => {
    const history = new PromptHistory();
    history.sent("one");
    history.sent("two");
    expect(history.older("draft")).toBe("two");
    expect(history.older("two")).toBe("one");
    expect(history.older("one")).toBeNull();
    expect(history.newer()).toBe("two");
    expect(history.newer()).toBe("draft");
    expect(history.newer()).toBeNull();
  });
});

describe("rank", () => {
  it("puts words before scattered letters, and leaves out what does not fit", () => {
    expect(rank(["go to runners", "rename", "green urns", "settings"], "run", (text) => text)).toEqual(["go to runners", "green urns"]);
  });
});

describe("shortcuts", () => {
  const press = (key: string, modifiers: Partial<KeyboardEvent> = {}): KeyboardEvent =>
    ({ key, ctrlKey: false, metaKey: false, shiftKey: false, altKey: false, ...modifiers }) as KeyboardEvent;

  it("leave the terminal its keys", () => {
    for (const key of ["c", "k", "r", "d", "z", "v"]) expect(shortcutOf(press(key, { ctrlKey: true }), true, false)).toBeNull();
  });

  it("work with Ctrl-Shift, or Cmd on a Mac", () => {
    expect(shortcutOf(press("C", { ctrlKey: true, shiftKey: true }), true, false)).toBe("copy");
    expect(shortcutOf(press("K", { ctrlKey: true, shiftKey: true }), true, false)).toBe("palette");
    expect(shortcutOf(press("k", { metaKey: true }), true, true)).toBe("palette");
    expect(shortcutOf(press("f", { ctrlKey: true }), true, false)).toBe("search");
    expect(shortcutOf(press("f", { ctrlKey: true }), true, true)).toBeNull();
    expect(shortcutOf(press("F6"), true, false)).toBe("switch-focus");
    for (const inTerminal of [true, false]) expect(shortcutOf(press("L", { ctrlKey: true, shiftKey: true }), inTerminal, false)).toBe("share");
    expect(shortcutOf(press("l", { ctrlKey: true }), true, false)).toBeNull();
  });
});

describe("sign-in codes", () => {
  it("are found in a pasted link", () => {
    expect(codeIn(" http://127.0.0.1:7180/#sign-in=ab%2Dc ")).toBe("ab-c");
    expect(codeIn(" abc ")).toBe("abc");
    expect(codeIn("#sign-in=%")).toBe("%");
  });
});
