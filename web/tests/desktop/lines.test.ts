import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { desktopVerdictOn, guacamoleVerdictOn, isOfTheWay, rdpVerdictOn, tunnelEnding } from "../../src/desktop/endings";
import { HeldKeys, Mouse, Notches } from "../../src/desktop/lines/buttons";
import { guacamolePath } from "../../src/desktop/lines/guacamole";
import { PING_EVERY_MS, SILENCE_MS, guacamoleTunnel, instruction } from "../../src/desktop/lines/guacamole-tunnel";
import { type RdpKey, RdpKeys, scancodeOf } from "../../src/desktop/lines/rdp-keys";
import { keysymOf } from "../../src/desktop/keysyms";
import { FakeSocket } from "../feed/fake-socket";

describe("the end of a desktop's connection", () => {
  it("is for another way where a part is missing, and only there", () => {
    expect(desktopVerdictOn(4013)).toMatchObject({ then: "end", code: "part-missing" });
    for (const code of [4009, 4013]) {
      const verdict = desktopVerdictOn(code);
      expect(verdict.then === "end" && isOfTheWay(verdict.code)).toBe(true);
    }
    for (const code of [4001, 4003, 4004]) {
      const verdict = desktopVerdictOn(code);
      expect(verdict.then === "end" && !isOfTheWay(verdict.code)).toBe(true);
    }
  });

  it.each([1000, 1006, 1011, 1012, 1013, 4008, 4011])("%i means: come again", (code) => {
    expect(desktopVerdictOn(code).then).toBe("retry");
  });

  it("always has words, and a remedy where trying again cannot help", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1000, max: 4999 }), fc.string(), (code, reason) => {
        const { verdict } = tunnelEnding(code, reason);
        expect(verdict.why).not.toBe("");
        if (verdict.then === "end") expect(verdict.remedy).not.toBe("");
      }),
    );
  });

  it("by Guacamole's statuses, with which a reason begins", () => {
    expect(tunnelEnding(1011, "519").verdict.why).toContain("could not reach the desktop");
    expect(guacamoleVerdictOn(600)?.why).toContain("600");
    expect(guacamoleVerdictOn(200)).toBeNull();
    const missing = tunnelEnding(4013, "519 guacd is not there. Install it.");
    expect(missing).toMatchObject({ verdict: { code: "part-missing" }, words: "guacd is not there. Install it." });
    expect(tunnelEnding(4011, "it broke")).toMatchObject({ verdict: { why: "the line to the machine broke" }, words: "it broke" });
  });

  it("by the HTTP status that a gateway for RDP gives", () => {
    expect(rdpVerdictOn(401, "")).toMatchObject({ then: "end", code: "signed-out" });
    expect(rdpVerdictOn(403, "")).toMatchObject({ then: "end", code: "not-allowed" });
    expect(rdpVerdictOn(503, "")).toMatchObject({ then: "end", code: "part-missing" });
    expect(rdpVerdictOn(502, "")).toMatchObject({ then: "retry", why: "the RDP server did not let the page in" });
    expect(rdpVerdictOn(undefined, "it refused")).toMatchObject({ then: "retry", why: "it refused" });
  });
});

describe("a mouse for protocols that say states", () => {
  it("stays on the desktop, from places and from distances", () => {
    const mouse = new Mouse(() => ({ width: 100, height: 50 }));
    mouse.to(99.6, -3, 1);
    expect([mouse.x, mouse.y, mouse.buttons]).toEqual([99, 0, 1]);
    mouse.by(-10, 200, 0);
    expect([mouse.x, mouse.y, mouse.buttons]).toEqual([89, 49, 0]);
  });

  it("turns its wheel in whole notches without losing parts", () => {
    const notches = new Notches();
    expect(notches.turn(0, 100)).toEqual({ right: 0, down: 0 });
    expect(notches.turn(0, 40)).toEqual({ right: 0, down: 1 });
    expect(notches.turn(-240, 0)).toEqual({ right: -2, down: 0 });
    expect(notches.turn(0, 1_000_000).down).toBe(20);
  });

  it("lets go of every key that is down, once", () => {
    const said: string[] = [];
    const held = new HeldKeys((down, keysym) => said.push(`${down ? "+" : "-"}${keysym.toString(16)}`));
    held.key(true, 0xffe1, "ShiftLeft");
    held.key(true, 0x41, "KeyA");
    held.key(false, 0x41, "KeyA");
    held.releaseAll();
    held.releaseAll();
    expect(said).toEqual(["+ffe1", "+41", "-41", "-ffe1"]);
  });
});

describe("keys for RDP", () => {
  function keys() {
    const said: string[] = [];
    const word = (key: RdpKey): string => `${key.down ? "+" : "-"}${"scancode" in key ? key.scancode.toString(16) : key.character}`;
    const rdp = new RdpKeys((all) => said.push(...all.map(word)));
    const press = (key: string, code: string): void => {
      rdp.key(true, keysymOf(key, 0), code);
      rdp.key(false, keysymOf(key, 0), code);
    };
    return { said, rdp, press };
  }

  it("are the places of a US keyboard", () => {
    expect(scancodeOf("KeyA")).toBe(0x1e);
    expect(scancodeOf("ArrowUp")).toBe(0xe048);
    expect(scancodeOf("MetaLeft")).toBe(0xe05b);
    expect(scancodeOf("AudioVolumeMute")).toBe(0);
    const { said, press } = keys();
    press("a", "KeyA");
    press("Enter", "Enter");
    press("Delete", "Delete");
    expect(said.join(" ")).toBe("+1e -1e +1c -1c +e053 -e053");
  });

  it("keep Shift with what it shifts", () => {
    const { said, rdp, press } = keys();
    rdp.key(true, 0xffe1, "ShiftLeft");
    press("A", "KeyA");
    rdp.key(false, 0xffe1, "ShiftLeft");
    expect(said.join(" ")).toBe("+2a +1e -1e -2a");
  });

  it("find characters that another keyboard has elsewhere", () => {
    const { said, rdp, press } = keys();
    press("z", "KeyY");
    expect(said.join(" ")).toBe("+2c -2c");
    said.length = 0;
    rdp.key(true, 0xffe1, "ShiftLeft");
    press("/", "Digit7");
    expect(said.join(" ")).toBe("+2a -2a +35 -35 +2a");
    said.length = 0;
    rdp.key(false, 0xffe1, "ShiftLeft");
    rdp.key(true, 0xfe03, "AltRight");
    press("@", "KeyQ");
    expect(said.join(" ")).toBe("-2a +e038 -e038 +2a +3 -3 -2a +e038");
  });

  it("type capitals under Caps Lock", () => {
    const { said, press } = keys();
    press("A", "KeyA");
    expect(said.join(" ")).toBe("+2a +1e -1e -2a");
  });

  it("that no US keyboard has go as characters", () => {
    const { said, rdp, press } = keys();
    press("ß", "Minus");
    rdp.text("é😀!\n");
    expect(said.join(" ")).toBe("+ß -ß +é -é +😀 -😀 +2a +2 -2 -2a +1c -1c");
  });

  it("with Control are commands of the character", () => {
    const { said, rdp, press } = keys();
    rdp.key(true, 0xffe3, "ControlLeft");
    press("z", "KeyY");
    rdp.key(false, 0xffe3, "ControlLeft");
    expect(said.join(" ")).toBe("+1d +2c -2c -1d");
  });

  it("are never left down, whatever is pressed", () => {
    const strokes = fc.array(fc.tuple(fc.boolean(), fc.constantFrom("a", "A", "ß", "@", "Shift", "Control", "AltGraph", "F5"), fc.constantFrom("KeyA", "KeyQ", "ShiftLeft", "AltRight", "F5", "")));
    fc.assert(
      fc.property(strokes, (all) => {
        const down = new Map<string, number>();
        const rdp = new RdpKeys((sent) => {
          for (const key of sent) {
            const id = "scancode" in key ? String(key.scancode) : key.character;
            down.set(id, key.down ? 1 : 0);
          }
        });
        for (const [pressed, key, code] of all) rdp.key(pressed, keysymOf(key, 0), code);
        for (const [, key, code] of all) rdp.key(false, keysymOf(key, 0), code);
        expect([...down.values()].every((it) => it === 0)).toBe(true);
      }),
    );
  });
});

describe("Guacamole's tunnel", () => {
  beforeEach(() => {
    vi.useFakeTimers();
    FakeSocket.opened.length = 0;
    vi.stubGlobal("WebSocket", Object.assign(FakeSocket, { OPEN: 1 }));
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  function tunnel() {
    const seen = { opened: 0, lost: [] as string[], instructions: [] as string[] };
    const it = guacamoleTunnel("ws://here/guac", {
      opened: () => (seen.opened += 1),
      lost: (verdict, reason) => seen.lost.push(`${verdict.then}: ${verdict.why}${reason && ` (${reason})`}`),
    });
    it.oninstruction = (opcode, parameters) => seen.instructions.push([opcode, ...parameters].join(" "));
    it.connect("");
    FakeSocket.last.readyState = 1;
    return { seen, it, hear: (text: string) => FakeSocket.last.onmessage?.({ data: text }) };
  }

  it("opens with the first instruction, and hands on all but its own", () => {
    const { seen, hear } = tunnel();
    expect(FakeSocket.last.protocol).toBe("guacamole");
    hear(instruction("", "an-id"));
    expect(seen.opened).toBe(1);
    hear(`${instruction("size", 0, 800, 600)}${instruction("", "ping", 1)}${instruction("sync", "ä🛰")}`);
    expect(seen.instructions).toEqual(["size 0 800 600", "sync ä🛰"]);
  });

  it("keeps why the server closed it", () => {
    const { seen, hear } = tunnel();
    hear(instruction("", "an-id"));
    FakeSocket.last.drop(4013, "520 guacd is not there: install it");
    expect(seen.lost).toEqual(["end: Something that this way needs is missing. (guacd is not there: install it)"]);
    FakeSocket.last.drop(1006);
    expect(seen.lost).toHaveLength(1);
  });

  it("asks whether the line still works", () => {
    const { seen, hear } = tunnel();
    hear(instruction("", "an-id"));
    vi.advanceTimersByTime(PING_EVERY_MS);
    expect(String(FakeSocket.last.sent[0])).toMatch(/^0\.,4\.ping,/);
    vi.advanceTimersByTime(SILENCE_MS + PING_EVERY_MS);
    expect(seen.lost).toEqual(["retry: the line went silent"]);
  });

  it("counts as guacamole-common-js does", () => {
    expect(instruction("name", "🛰")).toBe("4.name,2.🛰;");
  });

  it("is asked for with what guacd wants to know", () => {
    const path = guacamolePath("/api/v1/sessions/s/guac/proxy?join=%24a", { width: 800, height: 600 }, "Europe/Vienna");
    const { pathname, searchParams } = new URL(path, "http://here");
    expect(pathname).toBe("/api/v1/sessions/s/guac/proxy");
    expect(Object.fromEntries(searchParams)).toMatchObject({ protocol: "vnc", join: "$a", width: "800", height: "600", timezone: "Europe/Vienna" });
  });
});
