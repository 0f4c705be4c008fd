import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { arrive, enterAsGuest, rememberPlace, rememberedPlace } from "../src/arrival";

const me = { personId: "p1", name: "mira", role: "member", isAdmin: false };

/** Answers by method and path; what is not listed is a lost connection. */
let answers: Record<string, [number, unknown]>;
let asked: string[];

beforeEach(() => {
  asked = [];
  vi.stubGlobal("fetch", async (request: Request) => {
    const what = `${request.method} ${new URL(request.url).pathname}`;
    asked.push(what);
    const answer = answers[what];
    if (!answer) throw new TypeError("no network");
    return new Response(JSON.stringify(answer[1]), { status: answer[0], headers: { "content-type": "application/json" } });
  });
});

afterEach(() => {
  vi.unstubAllGlobals();
  sessionStorage.clear();
});

const signedOut: [number, unknown] = [401, { code: "signed-out", detail: "You are not signed in." }];

describe("who comes", () => {
  it("with a cookie is signed in", async () => {
    answers = { "GET /api/v1/me": [200, me] };
    expect(await arrive(null, null)).toMatchObject({ kind: "signed-in", me: { name: "mira" }, path: null });
  });

  it("with nothing is asked to sign in, without a reproach", async () => {
    answers = { "GET /api/v1/me": signedOut };
    expect(await arrive(null, null)).toEqual({ kind: "signed-out", problem: null });
  });

  it("with a used link hears about it, unless signed in anyway", async () => {
    answers = { "POST /api/v1/sign-in": [401, { detail: "That link was used." }], "GET /api/v1/me": signedOut };
    expect(await arrive("worn", null)).toMatchObject({ kind: "signed-out", problem: { message: "That link was used." } });
    answers["GET /api/v1/me"] = [200, me];
    expect(await arrive("worn", null)).toMatchObject({ kind: "signed-in" });
  });

  it("to a server that is away hears that", async () => {
    answers = {};
    expect(await arrive(null, null)).toMatchObject({ kind: "unreachable", problem: { status: 0 } });
    expect(await arrive("code", null)).toMatchObject({ kind: "unreachable" });
  });
});

describe("a share link", () => {
  it("adds its session to who is signed in", async () => {
    answers = { "GET /api/v1/me": [200, me], "POST /api/v1/follow-link": [200, { sessionId: "s 1" }] };
    expect(await arrive(null, "share")).toMatchObject({ kind: "signed-in", path: "/sessions/s%201" });
  });

  it("that has expired leaves one where one is", async () => {
    answers = { "GET /api/v1/me": [200, me], "POST /api/v1/follow-link": [410, { detail: "This link has expired." }] };
    expect(await arrive(null, "share")).toMatchObject({ kind: "signed-in", path: null, problem: { message: "This link has expired." } });
  });

  it("asks a stranger for a name before it is used", async () => {
    answers = { "GET /api/v1/me": signedOut };
    expect(await arrive(null, "share")).toEqual({ kind: "invited", code: "share" });
    expect(asked).not.toContain("POST /api/v1/follow-link");
    answers = { "POST /api/v1/follow-link": [200, { sessionId: "s1" }], "GET /api/v1/me": [200, { ...me, role: "guest" }] };
    expect(await enterAsGuest("share", "Noor")).toMatchObject({ kind: "signed-in", path: "/sessions/s1", me: { role: "guest" } });
  });
});

describe("the page from before", () => {
  it("is there once, after the way to the identity provider", () => {
    history.replaceState(null, "", "/device?code=BCDF-GHJK");
    rememberPlace("share");
    expect(rememberedPlace()).toEqual({ path: "/device?code=BCDF-GHJK", shareCode: "share" });
    expect(rememberedPlace()).toBeNull();
  });

  it.each(["//evil.example", "https://evil.example", 5, null])("is never elsewhere: %j", (path) => {
    sessionStorage.setItem("earthshine.return", JSON.stringify({ path }));
    expect(rememberedPlace()).toBeNull();
  });
});
