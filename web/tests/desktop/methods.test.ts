import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { ConnectionMethod } from "../../src/api/types";
import { Choosing, type MethodName, pathOf } from "../../src/desktop/methods";
import { wayWords } from "../../src/ui/desktop-ways";

const way = (name: MethodName, missing = ""): ConnectionMethod => ({ name, label: name.toUpperCase(), available: missing === "", detail: missing || null });
const all = [way("native"), way("webrtc", "Not built yet."), way("vnc"), way("rdp"), way("guacamole"), way("moonlight")];
const views = new Set<MethodName>(["native", "vnc", "rdp", "guacamole"]);

function choosing(methods = all, remembered: MethodName | null = null): Choosing {
  const it = new Choosing(views, remembered);
  it.learn(methods);
  return it;
}

describe("where to begin", () => {
  it("is the first way that this page can show", () => {
    expect(choosing().current).toBe("native");
    expect(choosing([way("moonlight"), way("native", "No encoder."), way("vnc")]).current).toBe("vnc");
  });

  it("is what the person last chose, where that is still there", () => {
    expect(choosing(all, "guacamole").current).toBe("guacamole");
    expect(choosing([way("native"), way("vnc", "No TigerVNC.")], "vnc").current).toBe("native");
    expect(choosing(all, "moonlight").current).toBe("native");
  });

  it("is the built-in way where none is there: it says best why not", () => {
    expect(choosing([way("native", "The runner is away."), way("vnc", "The runner is away.")]).current).toBe("native");
  });

  it("does not change when the list is asked for again", () => {
    const it = choosing();
    it.learn([way("vnc"), way("native")]);
    expect(it.current).toBe("native");
  });
});

describe("a way that fails", () => {
  it("makes room for the next, and is remembered with why", () => {
    const it = choosing();
    expect(it.fail("native", "No encoder.")).toEqual({ from: "native", to: "vnc", exhausted: false });
    expect(it.current).toBe("vnc");
    expect(it.failure("native")).toBe("No encoder.");
    expect(it.fail("vnc", "")).toEqual({ from: "vnc", to: "rdp", exhausted: false });
    expect(it.failure("vnc")).toBe("It did not work.");
  });

  it("means nothing when it is not the one that is taken", () => {
    const it = choosing();
    expect(it.fail("vnc", "late")).toBeNull();
    expect(it.current).toBe("native");
  });

  it("makes room for one that has worked before the others", () => {
    const it = choosing();
    it.choose("guacamole");
    it.worked("guacamole");
    it.choose("rdp");
    expect(it.fail("rdp", "xrdp is down.")?.to).toBe("guacamole");
  });

  it("ends where it began when nothing is left, and stays there", () => {
    const it = choosing([way("native"), way("vnc")]);
    it.fail("native", "a");
    expect(it.fail("vnc", "b")).toEqual({ from: "vnc", to: "native", exhausted: true });
    expect(it.fail("native", "again")).toBeNull();
    expect(it.current).toBe("native");
  });

  it("comes back when the person says so, or by its own success", () => {
    const it = choosing([way("native"), way("vnc")]);
    it.fail("native", "a");
    it.choose("native");
    expect(it.failure("native")).toBe("");
    expect(it.fail("native", "still")?.to).toBe("vnc");
    it.fail("vnc", "b");
    it.worked("native");
    expect(it.failure("native")).toBe("");
  });

  it("never makes it go to and fro, whatever fails when", () => {
    const names = fc.constantFrom<MethodName>("native", "vnc", "rdp", "guacamole");
    fc.assert(
      fc.property(fc.array(fc.tuple(names, fc.boolean()), { maxLength: 60 }), (happenings) => {
        const it = choosing();
        let moves = 0;
        for (const [name, whichever] of happenings) if (it.fail(whichever ? it.current : name, "why")) moves += 1;
        expect(moves).toBeLessThanOrEqual(views.size);
      }),
    );
  });
});

describe("what the list says", () => {
  it("of a way: what it is good for, why not, or what failed", () => {
    const it = choosing();
    expect(it.obstacle(way("vnc", "Install `tigervnc`."))).toBe("Install `tigervnc`.");
    expect(it.obstacle(way("webrtc"))).toBe("This page cannot show it.");
    expect(it.obstacle(way("vnc"))).toBe("");
    expect(wayWords({ name: "vnc", obstacle: "", failure: "" })).toBe("Plain and sturdy, no sound");
    expect(wayWords({ name: "vnc", obstacle: "Gone.", failure: "x" })).toBe("Gone.");
    expect(wayWords({ name: "vnc", obstacle: "", failure: "It hung up." })).toBe("It did not work: It hung up.");
  });
});

describe("the path of a way", () => {
  it("is what the server says, with or without the API's own path", () => {
    expect(pathOf({ name: "vnc", path: "/api/v1/sessions/a/desktop/vnc" }, "a")).toBe("/api/v1/sessions/a/desktop/vnc");
    expect(pathOf({ name: "vnc", path: "/sessions/a/desktop/vnc" }, "a")).toBe("/api/v1/sessions/a/desktop/vnc");
    expect(pathOf({ name: "guacamole", path: null }, "a b")).toBe("/api/v1/sessions/a%20b/guac/proxy");
    expect(pathOf({ name: "rdp" }, "a")).toBe("/api/v1/sessions/a/desktop/rdp");
  });
});
