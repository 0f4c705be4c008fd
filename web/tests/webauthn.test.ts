import fc from "fast-check";
import { describe, expect, it } from "vitest";

import {
  creationOptions,
  credentialJson,
  fromBase64url,
  passkeyObstacle,
  passkeyProblem,
  requestOptions,
  toBase64url,
} from "../src/webauthn";

const bytes = (...values: number[]): ArrayBuffer => new Uint8Array(values).buffer;

describe("base64url", () => {
  it("is read back as it was written, without padding", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (data) => {
        const text = toBase64url(data.slice().buffer);
        expect(text).toMatch(/^[\w-]*$/);
        expect([...fromBase64url(text)]).toEqual([...data]);
      }),
    );
  });
});

describe("where a browser does not read the JSON itself", () => {
  it("options get bytes where WebAuthn wants them", () => {
    const options = creationOptions({
      challenge: "AQID",
      user: { id: "BAU", name: "mira", displayName: "Mira" },
      rp: { id: "localhost", name: "Earthshine" },
      excludeCredentials: [{ type: "public-key", id: "Bg" }],
    });
    expect(new Uint8Array(options.challenge as ArrayBuffer)).toEqual(new Uint8Array([1, 2, 3]));
    expect(new Uint8Array(options.user.id as ArrayBuffer)).toEqual(new Uint8Array([4, 5]));
    expect(options.user.name).toBe("mira");
    expect(options.excludeCredentials).toEqual([{ type: "public-key", id: new Uint8Array([6]) }]);
  });

  it("a sign-in without a list of credentials lets the device choose", () => {
    expect(requestOptions({ challenge: "AQ", rpId: "localhost" })).toMatchObject({ rpId: "localhost", allowCredentials: [] });
  });

  it("a credential becomes JSON", () => {
    const credential = {
      id: "AQ",
      rawId: bytes(1),
      type: "public-key",
      authenticatorAttachment: "platform",
      getClientExtensionResults: () => ({ credProps: { rk: true } }),
      response: { clientDataJSON: bytes(2), signature: bytes(3), authenticatorData: bytes(4), userHandle: null },
    } as unknown as PublicKeyCredential;
    expect(credentialJson(credential)).toEqual({
      id: "AQ",
      rawId: "AQ",
      type: "public-key",
      authenticatorAttachment: "platform",
      clientExtensionResults: { credProps: { rk: true } },
      response: { clientDataJSON: "Ag", signature: "Aw", authenticatorData: "BA" },
    });
  });

  it("the browser's own JSON is preferred", () => {
    const credential = { toJSON: () => ({ id: "own" }) } as unknown as PublicKeyCredential;
    expect(credentialJson(credential)).toEqual({ id: "own" });
  });
});

describe("what stands in the way of passkeys", () => {
  it.each([
    ["127.0.0.1", true, "host name"],
    ["[::1]", true, "host name"],
    ["earthshine.example", false, "HTTPS"],
  ])("at %s", (hostname, secure, why) => {
    globalThis.PublicKeyCredential ??= class {} as unknown as typeof PublicKeyCredential;
    expect(passkeyObstacle({ hostname }, secure)).toContain(why);
  });

  it("nothing, at a name", () => {
    globalThis.PublicKeyCredential ??= class {} as unknown as typeof PublicKeyCredential;
    expect(passkeyObstacle({ hostname: "localhost" }, true)).toBeNull();
  });

  it.each(["NotAllowedError", "InvalidStateError", "SecurityError", "NotSupportedError", "UnknownError"])("%s has words and a way on", (name) => {
    const problem = passkeyProblem(new DOMException("", name));
    expect(problem.message).not.toBe("");
    expect(problem.remedy).not.toBe("");
  });
});
