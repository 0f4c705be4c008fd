import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { AuditKind, AuditRecord, Me } from "../../src/api/types";
import { actorOf, auditGroups, auditKinds, auditLabel, auditWords, detailText } from "../../src/ui/audit/audit-words";
import { rangeOf, within } from "../../src/ui/audit/time-range";
import { deviceOf, inGroups } from "../../src/ui/names";
import { places } from "../../src/ui/places";
import { pictureUrl } from "../../src/ui/runners/pairing";
import { userCodeIn } from "../../src/ui/sign-in/code-in-link";

describe("devices", () => {
  it.each([
    ["Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"],
    ["Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36 Edg/140.0", "Edge on Windows"],
    ["Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Version/18.5 Mobile/15E148 Safari/604.1", "Safari on iPhone"],
    ["Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36", "Chrome on Android"],
    ["curl/8.14.1", "curl"],
    ["", "Unknown device"],
  ])("%s", (userAgent, name) => {
    expect(deviceOf(userAgent)).toBe(name);
  });
});

describe("groups of four", () => {
  it("are made where there are none, and left where the other side shows the same", () => {
    expect(inGroups("7c1e9b40d2aa")).toBe("7c1e 9b40 d2aa");
    expect(inGroups("KTPT-MT9B-SXTW-C895")).toBe("KTPT-MT9B-SXTW-C895");
    expect(inGroups("")).toBe("");
  });
});

describe("device codes", () => {
  it.each([
    ["bcdf-ghjk", "BCDF-GHJK"],
    [" bcdf ghjk ", "BCDF-GHJK"],
    ["BCDFGHJK", "BCDF-GHJK"],
    ["https://earthshine.example/device?code=BCDF-GHJK", "BCDF-GHJK"],
    ["bcd", "BCD"],
    ["?code=%", ""],
  ])("%s", (typed, code) => {
    expect(userCodeIn(typed)).toBe(code);
  });
});

const record = (kind: string, change: Partial<AuditRecord> = {}): AuditRecord => ({
  seq: 1,
  at: "2026-06-01T12:00:00Z",
  kind,
  personId: "p1",
  personName: "mira",
  address: "192.0.2.1",
  subject: "",
  sessionId: null,
  runnerId: null,
  details: {},
  previous: "",
  hash: "",
  ...change,
});

describe("the audit log's words", () => {
  it("are there for every kind, and every kind is in the filter once", () => {
    const listed = auditGroups.flatMap(([, kinds]) => kinds);
    expect([...listed].sort()).toEqual([...auditKinds].sort());
    expect(new Set(auditKinds.map(auditLabel)).size).toBe(auditKinds.length);
  });

  it.each<[AuditKind, Partial<AuditRecord>, string]>([
    ["signed-in", { details: { method: "passkey" } }, "signed in by passkey"],
    ["person-added", { subject: "0123456789abcdef", details: { role: "member" } }, "added tomasz as member"],
    ["person-removed", { subject: "fedcba9876543210", details: { name: "Ada" } }, "removed Ada"],
    ["person-disabled", { subject: "fedcba9876543210" }, "shut out somebody"],
    ["token-made", { subject: "aabbccddeeff0011", details: { name: "Nightly" } }, "made the API token “Nightly”"],
    ["passkey-added", { details: { name: "Laptop" } }, "added “Laptop” as a passkey"],
    ["sign-in-ended", { subject: "p1", details: { sign_ins: 2 } }, "ended 2 other sign-ins"],
    ["password-changed", { subject: "p1", details: { to: "none" } }, "removed the password"],
    ["prompted", { subject: "The title", details: { text: "Do\n  it" } }, "prompted: Do it"],
    ["typed", { details: { bytes: 1 } }, "typed 1 byte"],
    ["stopped", { details: { how: "kill" } }, "killed the agent"],
    ["preview-opened", { details: { port: 3000 } }, "opened a preview of port 3000"],
    ["runner-shared", { subject: "atlas", details: { shared: false } }, "took atlas back from the members"],
  ])("%s", (kind, change, words) => {
    expect(auditWords(record(kind, change), new Map([["0123456789abcdef", "tomasz"]]))).toBe(words);
  });

  it("are made of any record, also of a later version", () => {
    expect(auditWords(record("moon-landed", { subject: "Eagle" }))).toBe("moon landed Eagle");
    fc.assert(
      fc.property(fc.oneof(fc.constantFrom(...auditKinds), fc.string()), fc.string(), fc.dictionary(fc.string(), fc.jsonValue()), (kind, subject, details) => {
        const made = record(kind, { subject, details: details as AuditRecord["details"] });
        expect(auditWords(made)).toBeTypeOf("string");
        for (const value of Object.values(details)) expect(detailText(value)).toBeTypeOf("string");
      }),
    );
  });

  it("name whoever did it", () => {
    expect(actorOf(record("prompted"))).toBe("mira");
    expect(actorOf(record("pairing-presented", { personName: "" }))).toBe("A machine");
    expect(actorOf(record("sign-in-refused", { personName: "" }))).toBe("Somebody");
  });
});

describe("a stretch of days", () => {
  it("has its first and last day in it", () => {
    const range = rangeOf("2026-06-01", "2026-06-02");
    const at = (month: number, day: number, hour: number): string => new Date(2026, month - 1, day, hour).toISOString();
    expect(within(range, at(6, 1, 0))).toBe(true);
    expect(within(range, at(6, 2, 23))).toBe(true);
    expect(within(range, at(6, 3, 0))).toBe(false);
    expect(within(range, at(5, 31, 23))).toBe(false);
  });

  it("may be open on both sides", () => {
    expect(within(rangeOf("", ""), "2026-06-01T12:00:00Z")).toBe(true);
  });
});

describe("places", () => {
  const paths = (role: Me["role"]): string[] => places({ role, isAdmin: role === "admin" } as Me).map(({ path }) => path);

  it("are those that somebody may go to", () => {
    expect(paths("guest")).toEqual(["/", "/settings"]);
    expect(paths("member")).not.toContain("/people");
    expect(paths("admin")).toEqual(expect.arrayContaining(["/people", "/audit", "/account"]));
    expect(places(null)).toEqual([]);
  });
});

it("a picture of a code is an address, whatever is in it", () => {
  const url = pictureUrl('<svg onload="alert(1)">#"</svg>');
  expect(url.startsWith("data:image/svg+xml")).toBe(true);
  expect(url).not.toMatch(/["<>#]/);
});
