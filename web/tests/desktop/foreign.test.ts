import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { FIRST_PICTURE_MS, ForeignViewer } from "../../src/desktop/foreign";
import type { Line, LineHooks, LineOptions, OpenLine } from "../../src/desktop/lines/line";
import { desktopVerdictOn } from "../../src/desktop/endings";
import { Backoff } from "../../src/feed/backoff";
import { FakeSocket } from "../feed/fake-socket";

/** A line that a test connects, paints and breaks. */
class FakeLine implements Line {
  static opened: FakeLine[] = [];
  readonly surface = null;
  readonly said: string[] = [];
  closed = false;
  readonly input = {
    key: (down: boolean, keysym: number) => void this.said.push(`${down ? "+" : "-"}${keysym.toString(16)}`),
    text: (typed: string) => void this.said.push(typed),
    pointer: () => void this.said.push("pointer"),
    pointerBy: () => {},
    wheel: () => {},
    releaseAll: () => void this.said.push("release all"),
  };

  constructor(
    readonly hooks: LineHooks,
    readonly options: LineOptions,
  ) {
    FakeLine.opened.push(this);
  }

  static get last(): FakeLine {
    const line = FakeLine.opened.at(-1);
    if (!line) throw new Error("no line was opened");
    return line;
  }

  fit(): void {}
  resize({ width }: { width: number }): void {
    this.said.push(`resize ${width}`);
  }
  paste(text: string): void {
    this.said.push(`paste ${text}`);
  }
  picture(): null {
    return null;
  }
  close(): void {
    this.closed = true;
  }

  show(): void {
    this.hooks.connected();
    this.hooks.sized({ width: 800, height: 600 });
    this.hooks.painted();
  }
}

const open: OpenLine = (_place, hooks, options) => new FakeLine(hooks, options);
const settled = async (): Promise<void> => void (await vi.advanceTimersByTimeAsync(0));

async function watch(control = true) {
  const news: string[] = [];
  const viewer = new ForeignViewer(
    {
      sessionId: "s1",
      way: { name: "vnc", control },
      path: "/api/v1/sessions/s1/desktop/vnc",
      place: document.createElement("div"),
      load: () => Promise.resolve(open),
      backoff: new Backoff({ firstMs: 100, factor: 2, maxMs: 1_000 }, () => 1),
    },
    {
      news: (text) => news.push(text),
      offered: () => {},
      copied: () => {},
      refused: () => {},
      signedIn: () => Promise.resolve(true),
      sharesClipboard: () => false,
    },
  );
  viewer.start();
  await settled();
  return { viewer, news };
}

beforeEach(() => {
  vi.useFakeTimers();
  FakeLine.opened = [];
  FakeSocket.opened.length = 0;
  vi.stubGlobal("WebSocket", Object.assign(FakeSocket, { OPEN: 1 }));
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("a desktop by another protocol", () => {
  it("is live with its first picture", async () => {
    const { viewer } = await watch();
    expect(viewer.status.state).toBe("greeting");
    expect(FakeLine.last.options.path).toBe("/api/v1/sessions/s1/desktop/vnc");
    FakeLine.last.show();
    expect(viewer.status.state).toBe("live");
    expect(viewer).toMatchObject({ current: true, everDrawn: true, size: { width: 800, height: 600 } });
  });

  it("comes again after a break, and has then worked before", async () => {
    const { viewer } = await watch();
    FakeLine.last.show();
    FakeLine.last.hooks.lost(desktopVerdictOn(4011), "the runner went away");
    expect(viewer.status).toMatchObject({ state: "waiting", attempts: 1 });
    expect(viewer).toMatchObject({ current: false, everDrawn: true, reason: "the runner went away" });
    expect(FakeLine.last.closed).toBe(true);
    await vi.advanceTimersByTimeAsync(100);
    expect(FakeLine.opened).toHaveLength(2);
    FakeLine.last.show();
    expect(viewer).toMatchObject({ current: true, reason: "" });
    await vi.advanceTimersByTimeAsync(20_000);
    expect(viewer.status.attempts).toBe(0);
  });

  it("ends where a part is missing, and can be tried again", async () => {
    const { viewer } = await watch();
    FakeLine.last.hooks.lost(desktopVerdictOn(4013), "There is no guacd.");
    expect(viewer.status).toMatchObject({ state: "ended", end: { code: "part-missing" } });
    viewer.retry();
    await settled();
    expect(FakeLine.opened).toHaveLength(2);
  });

  it("does not listen to a line that is over", async () => {
    const { viewer } = await watch();
    const first = FakeLine.last;
    viewer.reconnect();
    await settled();
    first.hooks.lost(desktopVerdictOn(4013), "late");
    first.show();
    expect(viewer.status.state).toBe("greeting");
    expect(viewer.everDrawn).toBe(false);
  });

  it("gives up a line that shows nothing", async () => {
    const { viewer } = await watch();
    await vi.advanceTimersByTimeAsync(FIRST_PICTURE_MS);
    expect(viewer.status).toMatchObject({ state: "waiting", why: "no picture came" });
  });

  it("sends input only while it is live", async () => {
    const { viewer } = await watch();
    viewer.input.key(true, 0x61, "KeyA");
    FakeLine.last.show();
    viewer.input.key(true, 0x62, "KeyB");
    expect(FakeLine.last.said).toEqual(["+62"]);
    const { said } = FakeLine.last;
    FakeLine.last.hooks.lost(desktopVerdictOn(1006), "");
    viewer.input.key(false, 0x62, "KeyB");
    expect(said).toEqual(["+62"]);
  });

  it("says what may be done without the built-in way, and resizes by its own", async () => {
    const steering = (await watch(true)).viewer;
    expect(steering.control).toMatchObject({ shared: true, mayControl: true, typing: true });
    FakeLine.last.show();
    steering.wish({ type: "resize", width: 1024, height: 700 });
    expect(FakeLine.last.said).toEqual(["resize 1024"]);
    expect((await watch(false)).viewer.control).toMatchObject({ shared: true, mayControl: false, typing: false });
  });

  it("takes no pictures from the clipboard, and says so", async () => {
    const { viewer, news } = await watch();
    FakeLine.last.show();
    const text = { files: [], getData: () => "grüße" } as unknown as DataTransfer;
    await viewer.clipboard.paste(text);
    expect(FakeLine.last.said).toEqual(["paste grüße"]);
    const picture = new File([new Uint8Array([1])], "a.png", { type: "image/png" });
    await viewer.clipboard.paste({ files: [picture], getData: () => "" } as unknown as DataTransfer);
    expect(news).toEqual(["Only text can be pasted this way."]);
  });

  it("leaves nothing behind", async () => {
    const { viewer } = await watch();
    FakeLine.last.show();
    viewer.close();
    expect(FakeLine.last.closed).toBe(true);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(FakeLine.opened).toHaveLength(1);
  });
});
