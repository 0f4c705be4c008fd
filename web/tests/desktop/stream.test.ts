import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { encode } from "../../src/desktop/messages";
import { DesktopStream, MAX_UNSENT } from "../../src/desktop/stream";
import { Backoff } from "../../src/feed/backoff";
import { FakeSocket } from "../feed/fake-socket";
import vectors from "./viewer-vectors.json";

const bytesOf = (hex: string): ArrayBuffer => Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16)).buffer;

function watch() {
  const seen = { opened: 0, messages: [] as string[], states: [] as string[] };
  const stream = new DesktopStream(
    "s 1",
    {
      opened: () => {
        seen.opened += 1;
        stream.send(encode.note({ type: "watch", video: "h264", audio: false, statistics: false }));
      },
      message: (message) => seen.messages.push(message.type),
      changed: (status) => seen.states.push(status.state),
      signedIn: () => Promise.resolve(true),
    },
    {
      backoff: new Backoff({ firstMs: 100, factor: 2, maxMs: 1000 }, () => 1),
      openSocket: (url, protocol) => new FakeSocket(url, protocol) as unknown as WebSocket,
    },
  );
  stream.start();
  return { seen, stream };
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("WebSocket", { OPEN: 1 });
  FakeSocket.opened.length = 0;
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("the desktop's stream", () => {
  it("says what it wants as soon as the line is open, and on every new one", () => {
    const { seen } = watch();
    expect(new URL(FakeSocket.last.url).pathname).toBe("/api/v1/sessions/s%201/desktop");
    FakeSocket.last.open();
    expect(seen.opened).toBe(1);
    expect((FakeSocket.last.sent[0] as Uint8Array)[0]).toBe(0);
    FakeSocket.last.drop(4011);
    vi.advanceTimersByTime(100);
    FakeSocket.last.open();
    expect(seen.opened).toBe(2);
    expect(FakeSocket.last.sent).toHaveLength(1);
  });

  it("is live, and worth its attempts, once something is on the screen", () => {
    const { stream, seen } = watch();
    FakeSocket.last.drop();
    vi.advanceTimersByTime(100);
    FakeSocket.last.open();
    for (const vector of vectors.fromDesktop) FakeSocket.last.onmessage?.({ data: bytesOf(vector.bytes) });
    expect(seen.messages).toHaveLength(vectors.fromDesktop.length);
    expect(stream.status).toMatchObject({ state: "replaying", attempts: 1 });
    stream.shown();
    expect(stream.status).toMatchObject({ state: "live", attempts: 0 });
  });

  it("comes again after what it cannot read", () => {
    const { stream } = watch();
    FakeSocket.last.open();
    FakeSocket.last.onmessage?.({ data: new Uint8Array([1, 2]).buffer });
    expect(stream.status).toMatchObject({ state: "waiting" });
    expect(stream.status.why).toContain("cut short");
  });

  it("keeps no input for a line that is stuck or gone", () => {
    const { stream } = watch();
    FakeSocket.last.open();
    expect(stream.send(encode.key(true, 0x61, 30))).toBe(true);
    (FakeSocket.last as unknown as { bufferedAmount: number }).bufferedAmount = MAX_UNSENT + 1;
    expect(stream.send(encode.key(true, 0x61, 30))).toBe(false);
    FakeSocket.last.drop();
    expect(stream.send(encode.key(true, 0x61, 30))).toBe(false);
  });

  it("ends where trying again cannot help", () => {
    const { stream } = watch();
    FakeSocket.last.open();
    FakeSocket.last.drop(4003);
    expect(stream.status).toMatchObject({ state: "ended", end: { code: "not-allowed" } });
  });
});
