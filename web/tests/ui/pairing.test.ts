import type { ReactiveControllerHost } from "lit";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { PairingWatch } from "../../src/ui/runners/pairing";

const host = { addController: () => {}, requestUpdate: () => {} } as unknown as ReactiveControllerHost;
const machine = { name: "atlas", hostname: "atlas", platform: "Linux", address: "192.0.2.9", fingerprint: "aa11" };

let pairing: Record<string, unknown>;
let asked: { what: string; body: unknown }[];
let failing: number | null;

beforeEach(() => {
  vi.useFakeTimers({ now: Date.parse("2026-06-01T12:00:00Z") });
  pairing = { id: "x", state: "waiting", shared: false, expiresAt: "2026-06-01T12:05:00Z", machine: null, runnerId: null };
  asked = [];
  failing = null;
  vi.stubGlobal("fetch", async (request: Request) => {
    const what = `${request.method} ${new URL(request.url).pathname}`;
    const text = await request.text();
    asked.push({ what, body: text ? JSON.parse(text) : null });
    if (failing === 0) throw new TypeError("no network");
    if (failing) return new Response(JSON.stringify({ detail: "Gone." }), { status: failing });
    if (what.endsWith("/refuse")) pairing["state"] = "refused";
    if (what.endsWith("/confirm")) pairing["state"] = "confirmed";
    const first = what === "POST /api/v1/pairings" ? { code: "K7WQ-3M9D", command: "run me", qr: "<svg/>" } : {};
    return new Response(JSON.stringify({ ...pairing, ...first }), { headers: { "content-type": "application/json" } });
  });
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("a pairing", () => {
  it("is asked after until the machine is there, and keeps the code that came once", async () => {
    const over = vi.fn();
    const watch = new PairingWatch(host, over);
    await watch.start();
    expect(watch.pairing).toMatchObject({ state: "waiting", code: "K7WQ-3M9D" });
    expect(watch.left()).toBe(300_000);
    await vi.advanceTimersByTimeAsync(3_100);
    expect(asked.filter(({ what }) => what === "GET /api/v1/pairings/x")).toHaveLength(3);
    expect(watch.pairing).toMatchObject({ code: "K7WQ-3M9D" });

    pairing = { ...pairing, state: "presented", machine };
    await vi.advanceTimersByTimeAsync(1_000);
    await watch.confirm();
    expect(asked.at(-1)).toEqual({ what: "POST /api/v1/pairings/x/confirm", body: { fingerprint: "aa11" } });

    pairing = { ...pairing, state: "paired", runnerId: "r9" };
    await vi.advanceTimersByTimeAsync(1_000);
    expect(over).toHaveBeenCalledTimes(1);
    const before = asked.length;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(asked).toHaveLength(before);
  });

  it("goes on after the server was away", async () => {
    const watch = new PairingWatch(host, () => {});
    await watch.start();
    failing = 0;
    await vi.advanceTimersByTimeAsync(2_000);
    expect(watch.away).toBe(true);
    failing = null;
    await vi.advanceTimersByTimeAsync(1_000);
    expect(watch.away).toBe(false);
  });

  it("that the server does not know any more is over", async () => {
    const watch = new PairingWatch(host, () => {});
    await watch.start();
    failing = 404;
    await vi.advanceTimersByTimeAsync(1_000);
    expect(watch.problem?.message).toBe("Gone.");
    const before = asked.length;
    await vi.advanceTimersByTimeAsync(5_000);
    expect(asked).toHaveLength(before);
  });

  it("is void when it is left before a machine came, and not after", async () => {
    const watch = new PairingWatch(host, () => {});
    await watch.start();
    watch.leave();
    await vi.advanceTimersByTimeAsync(0);
    expect(asked.at(-1)?.what).toBe("POST /api/v1/pairings/x/refuse");

    pairing["state"] = "waiting";
    await watch.start();
    pairing = { ...pairing, state: "presented", machine };
    await vi.advanceTimersByTimeAsync(1_000);
    const before = asked.length;
    watch.leave();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(asked).toHaveLength(before);
  });

  it("confirms the fingerprint that was seen, not one that came since", async () => {
    const watch = new PairingWatch(host, () => {});
    await watch.start();
    pairing = { ...pairing, state: "presented", machine };
    await vi.advanceTimersByTimeAsync(1_000);
    pairing = { ...pairing, machine: { ...machine, fingerprint: "bb22" } };
    await watch.confirm();
    expect(asked.at(-1)?.body).toEqual({ fingerprint: "aa11" });
  });
});
