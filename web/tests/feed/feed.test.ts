import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { Backoff } from "../../src/feed/backoff";
import { Feed, type FeedHandlers } from "../../src/feed/feed";
import { SILENCE_MS, STEADY_MS } from "../../src/feed/link";
import { CommandRefused } from "../../src/feed/outbox";
import { FakeSocket } from "./fake-socket";

class Viewer implements FeedHandlers {
  readonly seen: number[] = [];
  readonly acks: (() => void)[] = [];
  readonly states: string[] = [];
  resets = 0;
  lives = 0;
  leads: boolean[] = [];
  refusals: string[] = [];
  stillSignedIn = true;

  readonly events: FeedHandlers["events"] = (events, done) => {
    this.seen.push(...events.map((event) => event.seq));
    this.acks.push(done);
  };
  readonly live = (): void => void (this.lives += 1);
  readonly session = (): void => {};
  readonly roles: string[] = [];
  readonly permitted = (role: string, canControl: boolean): void => void this.roles.push(`${role}${canControl ? " types" : ""}`);
  readonly lead = (you: boolean): void => void this.leads.push(you);
  readonly refused = (error: CommandRefused): void => void this.refusals.push(error.code);
  readonly reset = (): void => {
    this.resets += 1;
    this.seen.length = 0;
  };
  readonly changed: FeedHandlers["changed"] = (status) => void this.states.push(status.state);
  readonly signedIn = (): Promise<boolean> => Promise.resolve(this.stillSignedIn);
}

const policy = { firstMs: 100, factor: 2, maxMs: 1000 };

function watch(): { viewer: Viewer; feed: Feed } {
  const viewer = new Viewer();
  const feed = new Feed("s 1", viewer, {
    backoff: new Backoff(policy, () => 1),
    openSocket: (url, protocol) => new FakeSocket(url, protocol) as unknown as WebSocket,
  });
  feed.start();
  return { viewer, feed };
}

it("tells the role at first and whenever it changes", () => {
  const { viewer } = watch();
  FakeSocket.last.open();
  FakeSocket.last.say({ type: "hello", session: { id: "s 1" }, firstSeq: 1, lastSeq: 0, role: "controller", canControl: true });
  FakeSocket.last.say({ type: "role", role: "viewer", canControl: false });
  expect(viewer.roles).toEqual(["controller types", "viewer"]);
});

function greet(lastSeq: number): void {
  FakeSocket.last.open();
  FakeSocket.last.say({ type: "hello", session: { id: "s 1" }, firstSeq: 1, lastSeq, canControl: true });
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

describe("watching", () => {
  it("asks from its cursor, with the subprotocol and a window", () => {
    watch();
    const url = new URL(FakeSocket.last.url);
    expect(url.pathname).toBe("/api/v1/sessions/s%201/feed");
    expect(url.searchParams.get("after")).toBe("0");
    expect(Number(url.searchParams.get("window"))).toBeGreaterThanOrEqual(64 * 1024);
    expect(FakeSocket.last.protocol).toBe("earthshine.feed.v1");
  });

  it("goes live after the replay, and tells how far it is", () => {
    const { viewer, feed } = watch();
    greet(4);
    FakeSocket.last.deliver(1, 2);
    expect(feed.status.state).toBe("replaying");
    FakeSocket.last.deliver(3, 4);
    FakeSocket.last.say({ type: "live", seq: 4 });
    expect(feed.status.state).toBe("live");
    expect(viewer.lives).toBe(1);
    expect(viewer.seen).toEqual([1, 2, 3, 4]);
  });

  it("acknowledges only what was drawn", () => {
    const { viewer } = watch();
    greet(3);
    FakeSocket.last.deliver(1, 3);
    expect(FakeSocket.last.said("ack")).toEqual([]);
    viewer.acks[0]?.();
    expect(FakeSocket.last.said("ack")).toEqual([{ type: "ack", seq: 3 }]);
  });

  it("resumes behind what it has, and drops repetitions", () => {
    const { viewer } = watch();
    greet(5);
    FakeSocket.last.deliver(1, 3);
    FakeSocket.last.drop();
    vi.advanceTimersByTime(100);
    expect(new URL(FakeSocket.last.url).searchParams.get("after")).toBe("3");
    greet(5);
    FakeSocket.last.deliver(2, 5);
    expect(viewer.seen).toEqual([1, 2, 3, 4, 5]);
  });

  it("sees every event once and in order, however often the connection breaks", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(6), fc.nat(3)), { minLength: 1, maxLength: 12 }), (breaks) => {
        FakeSocket.opened.length = 0;
        const { viewer, feed } = watch();
        let log = 0;
        for (const [grown, overlap] of breaks) {
          log += grown;
          greet(log);
          const after = Number(new URL(FakeSocket.last.url).searchParams.get("after"));
          const first = Math.max(1, after + 1 - overlap);
          if (first <= log) FakeSocket.last.deliver(first, log);
          FakeSocket.last.drop();
          vi.advanceTimersByTime(2000);
        }
        expect(viewer.seen).toEqual(Array.from({ length: log }, (_, index) => index + 1));
        feed.stop();
      }),
      { numRuns: 40 },
    );
  });

  it("starts over when the log is shorter than its cursor", () => {
    const { viewer } = watch();
    greet(3);
    FakeSocket.last.deliver(1, 3);
    FakeSocket.last.drop(4010);
    expect(viewer.resets).toBe(1);
    vi.advanceTimersByTime(100);
    expect(new URL(FakeSocket.last.url).searchParams.get("after")).toBe("0");
  });

  it("ends on a refusal and says why", () => {
    const { feed } = watch();
    FakeSocket.last.open();
    FakeSocket.last.drop(4004);
    vi.advanceTimersByTime(60_000);
    expect(FakeSocket.opened).toHaveLength(1);
    expect(feed.status).toMatchObject({ state: "ended", end: { code: "not-found" } });
  });

  it("reconnects when something unreadable comes", () => {
    const { feed } = watch();
    greet(0);
    FakeSocket.last.onmessage?.({ data: new ArrayBuffer(3) });
    expect(feed.status.state).toBe("waiting");
    expect(feed.status.why).toContain("unreadable");
  });

  it("asks after the sign-in when it is refused without a word", async () => {
    const { viewer, feed } = watch();
    viewer.stillSignedIn = false;
    FakeSocket.last.drop();
    vi.advanceTimersByTime(100);
    FakeSocket.last.drop();
    await vi.advanceTimersByTimeAsync(0);
    expect(feed.status).toMatchObject({ state: "ended", end: { code: "signed-out" } });
  });
});

describe("the reconnect budget", () => {
  it("is not given back by a hello", () => {
    const { feed } = watch();
    for (let i = 0; i < 4; i += 1) {
      greet(0);
      FakeSocket.last.drop();
      vi.advanceTimersByTime(1000);
    }
    expect(feed.status.attempts).toBe(4);
  });

  it("is given back by content", () => {
    const { feed } = watch();
    greet(0);
    FakeSocket.last.drop();
    vi.advanceTimersByTime(1000);
    greet(1);
    FakeSocket.last.deliver(1, 1);
    expect(feed.status.attempts).toBe(0);
  });

  it("is given back by a long quiet connection that answers", () => {
    const { feed } = watch();
    FakeSocket.last.drop();
    vi.advanceTimersByTime(1000);
    greet(0);
    FakeSocket.last.say({ type: "live", seq: 0 });
    for (let t = 0; t < STEADY_MS + 20_000; t += 5_000) {
      vi.advanceTimersByTime(5_000);
      FakeSocket.last.say({ type: "pong", ts: 0 });
    }
    expect(feed.status).toMatchObject({ state: "live", attempts: 0 });
  });
});

describe("a silent line", () => {
  it("counts as lost", () => {
    const { feed } = watch();
    greet(0);
    FakeSocket.last.say({ type: "live", seq: 0 });
    vi.advanceTimersByTime(SILENCE_MS + 15_000);
    expect(FakeSocket.opened.length).toBeGreaterThan(1);
    expect(feed.status.why).toBe("the line went silent");
  });

  it("is found out soon after the person comes back", () => {
    const { feed } = watch();
    greet(0);
    FakeSocket.last.say({ type: "live", seq: 0 });
    vi.advanceTimersByTime(1_000);
    feed.nudge();
    expect(FakeSocket.last.said("ping")).toHaveLength(1);
    vi.advanceTimersByTime(4_500);
    expect(feed.status.state).not.toBe("live");
  });
});

describe("commands", () => {
  it("are resolved by the server's word", async () => {
    const { feed } = watch();
    greet(0);
    const outcome = feed.command({ type: "prompt", commandId: "c1", text: "go" });
    FakeSocket.last.say({ type: "accepted", commandId: "c1" });
    await expect(outcome).resolves.toBeUndefined();
  });

  it("are sent again, with the same id, after a break", () => {
    const { feed } = watch();
    greet(0);
    void feed.command({ type: "prompt", commandId: "c1", text: "go" });
    FakeSocket.last.drop();
    vi.advanceTimersByTime(100);
    greet(0);
    expect(FakeSocket.last.said("prompt")).toEqual([{ type: "prompt", commandId: "c1", text: "go" }]);
  });

  it("fail with the server's reason", async () => {
    const { feed, viewer } = watch();
    greet(0);
    const outcome = feed.command({ type: "interrupt", commandId: "c1" });
    FakeSocket.last.say({ type: "error", code: "not-running", detail: "It has ended.", commandId: "c1" });
    await expect(outcome).rejects.toMatchObject({ code: "not-running", message: "It has ended." });
    expect(viewer.refusals).toEqual([]);
  });

  it("fail when the connection ends for good", async () => {
    const { feed } = watch();
    greet(0);
    const outcome = feed.command({ type: "interrupt", commandId: "c1" });
    FakeSocket.last.drop(4001);
    await expect(outcome).rejects.toMatchObject({ code: "signed-out" });
  });

  it("do not pile up without limit", async () => {
    const { feed } = watch();
    const outcomes = Array.from({ length: 40 }, (_, i) => feed.command({ type: "interrupt", commandId: `c${i}` }));
    const last = outcomes.at(-1);
    for (const outcome of outcomes) outcome.catch(() => {});
    await expect(last).rejects.toMatchObject({ code: "too-many" });
    feed.stop();
  });
});

describe("typing", () => {
  it("goes out in messages of at most 64 KiB, and only while live", () => {
    const { feed } = watch();
    greet(0);
    expect(feed.type(new Uint8Array(1))).toBe(false);
    FakeSocket.last.say({ type: "live", seq: 0 });
    expect(feed.type(new Uint8Array(150_000))).toBe(true);
    expect(FakeSocket.last.sent.filter((message) => typeof message !== "string").map((message) => message.length)).toEqual([65536, 65536, 18928]);
  });
});
