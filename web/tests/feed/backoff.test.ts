import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { Backoff, watchedPolicy } from "../../src/feed/backoff";

const policy = { firstMs: 100, factor: 2, maxMs: 1000 };

describe("Backoff", () => {
  it("doubles up to its limit", () => {
    const backoff = new Backoff(policy, () => 1);
    expect([1, 2, 3, 4, 5, 6].map(() => backoff.next())).toEqual([100, 200, 400, 800, 1000, 1000]);
  });

  it("spreads attempts over half of each step", () => {
    expect(new Backoff(policy, () => 0).next()).toBe(50);
    expect(new Backoff(policy, () => 0.5).next()).toBe(75);
  });

  it("is eager for what somebody looks at, and then as patient as for the rest", () => {
    const backoff = new Backoff({ ...policy, eager: { attempts: 4, maxMs: 200 } }, () => 1);
    expect([1, 2, 3, 4, 5, 6, 7, 8, 9].map(() => backoff.next())).toEqual([100, 200, 200, 200, 200, 400, 800, 1000, 1000]);
    const watched = new Backoff(watchedPolicy, () => 1);
    const waits = Array.from({ length: 100 }, () => watched.next());
    expect(Math.max(...waits.slice(0, 60))).toBeLessThanOrEqual(500);
    expect(waits[99]).toBe(30_000);
  });

  it("gives the budget back only for content", () => {
    const backoff = new Backoff(policy, () => 1);
    backoff.next();
    backoff.next();
    expect(backoff.attempts).toBe(2);
    backoff.contentDelivered();
    expect(backoff.attempts).toBe(0);
    expect(backoff.next()).toBe(100);
  });

  it("never waits longer than its limit, however often it fails", () => {
    fc.assert(
      fc.property(fc.nat({ max: 5000 }), fc.double({ min: 0, max: 0.999, noNaN: true }), (failures, random) => {
        const backoff = new Backoff(policy, () => random);
        let last = 0;
        for (let i = 0; i <= failures; i += 1) last = backoff.next();
        expect(last).toBeGreaterThanOrEqual(50);
        expect(last).toBeLessThanOrEqual(1000);
      }),
      { numRuns: 30 },
    );
  });
});
