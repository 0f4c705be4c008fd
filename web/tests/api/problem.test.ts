import { describe, expect, it } from "vitest";

import { problemFrom, retryTime } from "../../src/api/problem";

const NOW = Date.parse("2026-06-01T12:00:00Z");

describe("Retry-After", () => {
  it("comes in seconds or as a date", () => {
    expect(retryTime("30", NOW)).toBe(NOW + 30_000);
    expect(retryTime("Mon, 01 Jun 2026 12:01:00 GMT", NOW)).toBe(NOW + 60_000);
  });

  it("is not believed without bound, and not needed", () => {
    expect(retryTime("99999999", NOW)).toBe(NOW + 24 * 3600 * 1000);
    expect(retryTime(null, NOW)).toBeNull();
    expect(retryTime("", NOW)).toBeNull();
    expect(retryTime("soon", NOW)).toBeNull();
  });

  it("tells how long is left", () => {
    const problem = problemFrom(429, { code: "too-many", detail: "Too many attempts." }, "30");
    expect(problem.waitMs(problem.retryAt! - 5_000)).toBe(5_000);
    expect(problem.waitMs(problem.retryAt! + 1)).toBe(0);
    expect(problemFrom(403, {}).waitMs()).toBe(0);
  });
});

describe("problems", () => {
  it.each([null, "text", 7, [], { detail: 5 }])("are made of any body: %j", (body) => {
    const problem = problemFrom(500, body);
    expect(problem.message).toContain("500");
    expect(problem.remedy).not.toBe("");
  });
});
