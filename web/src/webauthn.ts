/**
 * Passkeys: WebAuthn's JSON forms to and from what the browser takes.
 *
 * Browsers of 2025 read and write the JSON themselves (WebAuthn Level 3, 5.1.8 to 5.1.10); for older
 * ones the few fields that are bytes are converted here.
 */

import { Problem } from "./api/problem";

type Json = Record<string, unknown>;

/** Base64url without padding, as WebAuthn writes bytes. */
export function toBase64url(bytes: ArrayBuffer): string {
  const text = String.fromCharCode(...new Uint8Array(bytes));
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

export function fromBase64url(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
}

const withBytes = (value: unknown): Json[] =>
  Array.isArray(value) ? (value as Json[]).map((item) => ({ ...item, id: fromBase64url(String(item["id"])) })) : [];

export function creationOptions(json: Json): PublicKeyCredentialCreationOptions {
  const user = json["user"] as Json;
  return {
    ...json,
    challenge: fromBase64url(String(json["challenge"])),
    user: { ...user, id: fromBase64url(String(user["id"])) },
    excludeCredentials: withBytes(json["excludeCredentials"]),
  } as unknown as PublicKeyCredentialCreationOptions;
}

export function requestOptions(json: Json): PublicKeyCredentialRequestOptions {
  return {
    ...json,
    challenge: fromBase64url(String(json["challenge"])),
    allowCredentials: withBytes(json["allowCredentials"]),
  } as unknown as PublicKeyCredentialRequestOptions;
}

const RESPONSE_BYTES = ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"] as const;

export function credentialJson(credential: PublicKeyCredential): Json {
  if (typeof credential.toJSON === "function") return credential.toJSON() as Json;
  const response: Json = {};
  for (const name of RESPONSE_BYTES) {
    const value = (credential.response as unknown as Record<string, ArrayBuffer | null | undefined>)[name];
    if (value) response[name] = toBase64url(value);
  }
  const transports = (credential.response as AuthenticatorAttestationResponse).getTransports?.();
  if (transports) response["transports"] = transports;
  return {
    id: credential.id,
    rawId: toBase64url(credential.rawId),
    type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment,
    clientExtensionResults: credential.getClientExtensionResults(),
    response,
  };
}

/** Why passkeys cannot work on this page, as sentences; `null` where they can. */
export function passkeyObstacle(where: Pick<Location, "hostname"> = location, secure = isSecureContext): string | null {
  if (!secure) return "Passkeys need HTTPS, or an address of this machine such as localhost.";
  if (typeof PublicKeyCredential === "undefined") return "This browser has no passkeys.";
  if (/^[\d.]+$/.test(where.hostname) || where.hostname.startsWith("[")) {
    return "Passkeys need a host name: open this server by its name, or as localhost, not by a number.";
  }
  return null;
}

/** Make a passkey on this device or on a security key. @throws Problem */
export async function makePasskey(options: Json): Promise<Json> {
  return ask(async () => {
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON
      ? PublicKeyCredential.parseCreationOptionsFromJSON(options as unknown as PublicKeyCredentialCreationOptionsJSON)
      : creationOptions(options);
    return navigator.credentials.create({ publicKey });
  });
}

/** Sign a challenge with a passkey. @throws Problem */
export async function usePasskey(options: Json): Promise<Json> {
  return ask(async () => {
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON
      ? PublicKeyCredential.parseRequestOptionsFromJSON(options as unknown as PublicKeyCredentialRequestOptionsJSON)
      : requestOptions(options);
    return navigator.credentials.get({ publicKey });
  });
}

async function ask(call: () => Promise<Credential | null>): Promise<Json> {
  const obstacle = passkeyObstacle();
  if (obstacle !== null) throw new Problem(0, "no-passkeys", obstacle, "");
  try {
    const credential = await call();
    if (credential === null) throw new DOMException("", "NotAllowedError");
    return credentialJson(credential as PublicKeyCredential);
  } catch (error) {
    throw passkeyProblem(error);
  }
}

/** What the browser's refusal means. It does not say whether somebody cancelled or nothing fitted. */
export function passkeyProblem(error: unknown): Problem {
  const name = error instanceof DOMException ? error.name : "";
  switch (name) {
    case "NotAllowedError":
    case "AbortError":
      return new Problem(0, "passkey-cancelled", "No passkey was used.", "It was cancelled, or took too long, or none fits. Try again.");
    case "InvalidStateError":
      return new Problem(0, "passkey-known", "This device already has a passkey for your account.", "Use another device or security key.");
    case "SecurityError":
      return new Problem(
        0,
        "passkey-origin",
        "The browser does not allow passkeys at this address.",
        "Open the server at the address in its settings.",
      );
    case "NotSupportedError":
      return new Problem(0, "passkey-unsupported", "This device cannot make such a passkey.", "Use another device or security key.");
    default:
      return new Problem(0, "passkey-failed", error instanceof Error && error.message ? error.message : "The passkey did not work.", "Try again.");
  }
}
