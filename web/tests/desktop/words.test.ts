import { describe, expect, it } from "vitest";

import { type Control, controlNews, controlOf, controlWords, nobody } from "../../src/desktop/control";
import { cursorOf, pngSize } from "../../src/desktop/cursor";
import type { DesktopIs, ViewerIs } from "../../src/desktop/messages";
import { Statistics } from "../../src/desktop/statistics";
import type { Status } from "../../src/feed/link";
import { verdictOn } from "../../src/feed/close-codes";
import { desktopShortcutOf } from "../../src/ui/desktop-shortcuts";
import { desktopWords } from "../../src/ui/desktop-words";
import { nextView, viewFor } from "../../src/ui/view-switch";

const anna: ViewerIs = { number: 1, name: "Anna", role: "owner", you: true, asks: false };
const ola: ViewerIs = { number: 2, name: "Ola", role: "controller", you: false, asks: false };
const said = (control: number, ...viewers: ViewerIs[]): Control => controlOf({ type: "viewers", viewers, control });

describe("control", () => {
  it("belongs to nobody at first: whoever types takes it", () => {
    const control = said(0, anna, ola);
    expect(control).toMatchObject({ mine: false, typing: true, holder: null });
    expect(controlWords(control)).toBe("Type or click to take control");
    expect(controlWords(nobody)).toBe("");
  });

  it("of another stops what is typed here", () => {
    const control = said(2, anna, ola);
    expect(control.typing).toBe(false);
    expect(controlWords(control)).toBe("Ola has control");
  });

  it("is not for those who watch", () => {
    const control = said(0, { ...anna, role: "viewer" });
    expect(control).toMatchObject({ typing: false, mayControl: false });
    expect(controlWords(control)).toBe("You are watching");
  });

  it("is asked for, and the one who has it hears of it once", () => {
    const before = said(1, anna, ola);
    const asked = said(1, anna, { ...ola, asks: true });
    expect(asked.asking.map((viewer) => viewer.name)).toEqual(["Ola"]);
    expect(controlNews(before, asked)).toBe("Ola asks for control.");
    expect(controlNews(asked, asked)).toBeNull();
  });

  it("that goes or comes is news", () => {
    expect(controlNews(said(1, anna, ola), said(2, anna, ola))).toBe("Ola has taken control.");
    expect(controlNews(said(2, anna, ola), said(1, anna, ola))).toBe("You have control now.");
    expect(controlNews(said(0, anna, ola), said(1, anna, ola))).toBeNull();
    expect(controlNews(said(1, anna, ola), said(0, anna, ola))).toBeNull();
    expect(controlNews(nobody, said(1, anna))).toBeNull();
  });
});

describe("the cursor", () => {
  const png = (width: number, height: number): Uint8Array<ArrayBuffer> => {
    const data = new Uint8Array(33);
    data.set([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, 0x49, 0x48, 0x44, 0x52]);
    const view = new DataView(data.buffer);
    view.setUint32(16, width);
    view.setUint32(20, height);
    return data;
  };

  it("is the picture with its hot spot, which lies inside", () => {
    expect(pngSize(png(24, 32))).toEqual({ width: 24, height: 32 });
    expect(cursorOf({ hotX: 3, hotY: 99, data: png(24, 32) })).toMatch(/^url\(data:image\/png;base64,.+\) 3 31, default$/);
  });

  it("is hidden, or the usual one where it cannot be shown", () => {
    expect(cursorOf({ hotX: 0, hotY: 0, data: new Uint8Array() })).toBe("none");
    expect(cursorOf({ hotX: 0, hotY: 0, data: png(256, 256) })).toBe("default");
    expect(cursorOf({ hotX: 0, hotY: 0, data: new Uint8Array([1, 2, 3]) })).toBe("default");
  });
});

describe("statistics", () => {
  it("speak of the last second", () => {
    const statistics = new Statistics();
    statistics.answered(1_000_000, 9_010_000, 1_020);
    for (let at = 1_100; at <= 3_000; at += 100) {
      statistics.arrived(1_000, at);
      statistics.painted(5, at * 1000 + 8_000_000 - 30_000, at);
    }
    const figures = statistics.figures(3_050);
    expect(figures).toMatchObject({ framesPerSecond: 10, kilobytesPerSecond: 10, decodeMs: 5, networkMs: 20, quietMs: 50 });
    expect(figures.ageMs).toBeCloseTo(30);
    expect(statistics.figures(60_000)).toMatchObject({ framesPerSecond: 0, ageMs: null });
  });

  it("say nothing of age before the clocks are known", () => {
    const statistics = new Statistics();
    statistics.painted(5, 0, 10);
    expect(statistics.figures(20)).toMatchObject({ ageMs: null, networkMs: null, framesPerSecond: 1 });
  });
});

describe("what is said over the picture", () => {
  const status = (change: Partial<Status>): Status => ({ state: "live", why: "", retryAt: null, attempts: 0, end: null, ...change });
  const desktop = (state: DesktopIs["state"], detail = "", remedy = ""): DesktopIs => ({
    type: "desktop",
    state,
    detail,
    remedy,
    width: 1,
    height: 1,
    codec: "",
    rate: 0,
    preset: "text",
    audio: false,
    layout: "",
  });
  const words = (change: Partial<Status>, is: DesktopIs | null = null, current = false, reason = "") =>
    desktopWords({ status: status(change), reason, desktop: is, current, now: 1_000 });

  it("is nothing while all is well", () => {
    expect(words({}, desktop("ready"), true)).toBeNull();
    expect(words({}, desktop("paused"), true)).toBeNull();
  });

  it("says why and when it tries again, in the server's words where they help", () => {
    expect(words({ state: "waiting", retryAt: 3_500, attempts: 1, why: "the connection was lost" })).toMatchObject({
      text: "Reconnecting in 3 s",
      detail: "the connection was lost",
      tone: "plain",
    });
    expect(words({ state: "waiting", retryAt: 3_500, attempts: 3, why: "x" }, null, false, "The runner is away.")).toMatchObject({
      detail: "The runner is away.",
      tone: "bad",
      action: "retry",
    });
  });

  it("says what failed and what to do", () => {
    expect(words({}, desktop("failed", "No X server.", "Install one."), true)).toMatchObject({ tone: "bad", detail: "No X server. Install one." });
    const end = verdictOn(4004);
    expect(words({ state: "ended", end: end.then === "end" ? end : null })).toMatchObject({ tone: "bad", text: "There is no such session." });
  });
});

describe("views of a session", () => {
  it("are both where there is room", () => {
    expect(viewFor("split", true, false)).toBe("split");
    expect(viewFor("split", true, true)).toBe("desktop");
    expect(viewFor("desktop", false, false)).toBe("terminal");
    expect(viewFor("nonsense", true, false)).toBe("split");
    expect([nextView("terminal", false), nextView("desktop", false), nextView("split", false)]).toEqual(["desktop", "split", "terminal"]);
    expect(nextView("desktop", true)).toBe("terminal");
  });

  it("change by a key that the desktop does not get", () => {
    const plain = { ctrlKey: false, altKey: false, shiftKey: false, metaKey: false };
    expect(desktopShortcutOf({ ...plain, key: "F6", ctrlKey: true }, true)).toBe("switch-view");
    expect(desktopShortcutOf({ ...plain, key: "F11" }, false)).toBe("browser");
    expect(desktopShortcutOf({ ...plain, key: "F11" }, true)).toBeNull();
    expect(desktopShortcutOf({ ...plain, key: "w", ctrlKey: true }, false)).toBeNull();
  });
});
