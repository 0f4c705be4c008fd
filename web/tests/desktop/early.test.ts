import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { begin, rememberShown, spotOf, take, wasShown } from "../../src/desktop/early";
import { DesktopStream } from "../../src/desktop/stream";
import { FakeSocket } from "../feed/fake-socket";

const URL_OF_ONE = "ws://localhost/api/v1/sessions/s1/desktop";
const open = (url: string, protocol: string): WebSocket => new FakeSocket(url, protocol) as unknown as WebSocket;

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("WebSocket", { OPEN: 1 });
  FakeSocket.opened.length = 0;
});

afterEach(() => {
  vi.runAllTimers();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("what a tab showed", () => {
  afterEach(() => {
    sessionStorage.clear();
    localStorage.clear();
  });

  it("is known after a refresh, with its place in a window of the same size", () => {
    const spot = { x: 1, y: 2, width: 3, height: 4, crisp: true, window: { width: innerWidth, height: innerHeight } };
    expect([wasShown("s1"), spotOf("s1")]).toEqual([false, null]);
    rememberShown("s1");
    expect([wasShown("s1"), wasShown("s2"), spotOf("s1")]).toEqual([true, false, null]);
    rememberShown("s1", spot);
    expect([spotOf("s1"), spotOf("s2")]).toEqual([spot, null]);
    rememberShown("s1", { ...spot, window: { width: 1, height: 1 } });
    expect(spotOf("s1")).toBeNull();
  });

  it("is known in another tab", () => {
    rememberShown("s1");
    sessionStorage.clear();
    expect(wasShown("s1")).toBe(true);
    rememberShown("s2");
    expect([wasShown("s1"), wasShown("s2")]).toEqual([false, true]);
  });

  it("is forgotten where storage holds something else", () => {
    for (const store of [sessionStorage, localStorage]) store.setItem("earthshine.desktop", "s1");
    expect(wasShown("s1")).toBe(false);
  });
});

describe("a line that was begun with the page", () => {
  it("is taken as it is when it has not opened yet", () => {
    begin(URL_OF_ONE, "p", { open });
    const opened = vi.fn();
    take(URL_OF_ONE)!.onopen = opened;
    FakeSocket.last.open();
    expect(opened).toHaveBeenCalledOnce();
    expect(FakeSocket.opened).toHaveLength(1);
  });

  it("opens anew for whoever takes it, with what has come", async () => {
    begin(URL_OF_ONE, "p", { open });
    FakeSocket.last.open();
    FakeSocket.last.say({ n: 1 });
    const socket = take(URL_OF_ONE)!;
    const told: unknown[] = [];
    socket.onopen = () => told.push("open");
    socket.onmessage = (event) => told.push(event.data);
    await Promise.resolve();
    FakeSocket.last.say({ n: 2 });
    expect(told).toEqual(["open", '{"n":1}', '{"n":2}']);
  });

  it("is there once, and for its own place only", () => {
    begin(URL_OF_ONE, "p", { open });
    expect(take("ws://localhost/elsewhere")).toBeNull();
    expect(take(URL_OF_ONE)).not.toBeNull();
    expect(take(URL_OF_ONE)).toBeNull();
  });

  it("is given up when nobody takes it, when it ends, and when it says too much", () => {
    begin(URL_OF_ONE, "p", { open });
    vi.advanceTimersByTime(8_000);
    expect(take(URL_OF_ONE)).toBeNull();
    expect(FakeSocket.last.closedWith).toBe(1000);

    begin(URL_OF_ONE, "p", { open });
    FakeSocket.last.drop(4003);
    expect(take(URL_OF_ONE)).toBeNull();

    begin(URL_OF_ONE, "p", { open });
    FakeSocket.last.open();
    for (let count = 0; count < 257; count += 1) FakeSocket.last.say({});
    expect(take(URL_OF_ONE)).toBeNull();
  });

  it("asks for pictures at once, where the browser can decode them", () => {
    vi.stubGlobal("isSecureContext", true);
    vi.stubGlobal("VideoDecoder", class {});
    void begin(URL_OF_ONE, "p", { open });
    FakeSocket.last.open();
    expect(FakeSocket.last.sent).toHaveLength(1);
    expect(take(URL_OF_ONE)).not.toBeNull();
  });

  it("holds the page up for its picture, but not for long", async () => {
    vi.stubGlobal("isSecureContext", true);
    vi.stubGlobal("VideoDecoder", class {});
    const spot = { x: 0, y: 0, width: 10, height: 10, crisp: false, window: { width: innerWidth, height: innerHeight } };
    const told: string[] = [];
    void begin(URL_OF_ONE, "p", { open }).then(() => told.push("without a place"));
    await vi.advanceTimersByTimeAsync(1);
    void begin(URL_OF_ONE, "p", { open, spot }).then(() => told.push("no picture"));
    await vi.advanceTimersByTimeAsync(100);
    expect(told).toEqual(["without a place"]);
    await vi.advanceTimersByTimeAsync(200);
    expect(told).toEqual(["without a place", "no picture"]);
    void begin(URL_OF_ONE, "p", { open, spot }).then(() => told.push("the line ended"));
    FakeSocket.last.drop(4003);
    await vi.advanceTimersByTimeAsync(0);
    expect(told.at(-1)).toBe("the line ended");
  });

  it("is the stream's first line; the second is one of its own", () => {
    const url = new URL("/api/v1/sessions/s1/desktop", location.href);
    url.protocol = "ws:";
    begin(url.href, "p", { open });
    const early = FakeSocket.last;
    const hooks = { opened: vi.fn(), message: vi.fn(), changed: vi.fn(), signedIn: () => Promise.resolve(true) };
    const stream = new DesktopStream("s1", hooks);
    stream.start();
    early.open();
    expect(hooks.opened).toHaveBeenCalledOnce();
    stream.stop();
  });
});
