/** What the records of the audit log say, in words. */

import { size } from "../format";
import type { AuditKind, AuditRecord } from "../../api/types";

/** People's names by id, as far as they are known here. */
export type Names = ReadonlyMap<string, string>;

type Say = (record: AuditRecord, names: Names) => string;

interface Words {
  /** In the filter. */
  readonly label: string;
  /** To read after the name of who did it. */
  readonly say: Say;
}

/** Characters of a prompt in a line; the record opens to show all. */
const MAX_QUOTED = 90;

const methods: Record<string, string> = {
  link: "by a one-time link",
  password: "by password",
  passkey: "by passkey",
  oidc: "by single sign-on",
  device: "from a command line",
};

function detail(record: AuditRecord, name: string): string {
  const value = record.details[name];
  return value === null || value === undefined ? "" : String(value);
}

/** An id says nothing to people. */
const isId = (text: string): boolean => /^[0-9a-f-]{8,}$/i.test(text);

/** What it was done to, where it has a name. */
function named(record: AuditRecord): string {
  return detail(record, "name") || (isId(record.subject) ? "" : record.subject);
}

function quoted(record: AuditRecord, otherwise: string): string {
  const name = named(record);
  return name ? `“${name}”` : otherwise;
}

/** Whom it was done to. */
function whom(record: AuditRecord, names: Names): string {
  return names.get(record.subject) ?? (named(record) || "somebody");
}

const by: Say = (record) => {
  const method = detail(record, "method");
  return method ? ` ${methods[method] ?? `by ${method}`}` : "";
};

const own = (record: AuditRecord): boolean => record.subject === "" || record.subject === record.personId;

const as = (record: AuditRecord, word = "as"): string => (detail(record, "role") ? ` ${word} ${detail(record, "role")}` : "");

function shortened(text: string): string {
  const line = text.replaceAll(/\s+/g, " ").trim();
  return line.length > MAX_QUOTED ? `${line.slice(0, MAX_QUOTED)}…` : line;
}

function ended(record: AuditRecord, names: Names): string {
  const count = record.details["sign_ins"];
  if (own(record)) return typeof count === "number" ? `ended ${count} other ${count === 1 ? "sign-in" : "sign-ins"}` : "ended a sign-in";
  return names.has(record.subject) ? `ended all sign-ins of ${whom(record, names)}` : "ended a sign-in";
}

function passwordChanged(record: AuditRecord): string {
  return detail(record, "to") === "none" ? "removed the password" : "changed the password";
}

function fileSize(record: AuditRecord): string {
  const bytes = record.details["size"];
  return typeof bytes === "number" ? ` (${size(bytes)})` : "";
}

const words = {
  "set-up": { label: "Set up", say: () => "set this server up" },
  "signed-in": { label: "Signed in", say: (r, n) => `signed in${by(r, n)}` },
  "sign-in-refused": {
    label: "Sign-in refused",
    say: (r, n) => `was refused a sign-in${by(r, n)}${r.subject ? `, as ${whom(r, n)}` : ""}`,
  },
  "signed-out": { label: "Signed out", say: () => "signed out" },
  "sign-in-ended": { label: "Sign-in ended", say: ended },
  "sign-in-link-made": {
    label: "One-time link made",
    say: (r, n) => `made a one-time link${own(r) ? "" : ` for ${whom(r, n)}`}`,
  },
  "person-added": { label: "Person added", say: (r, n) => `added ${whom(r, n)}${as(r)}` },
  "person-removed": { label: "Person removed", say: (r, n) => `removed ${whom(r, n)}` },
  "person-disabled": { label: "Person shut out", say: (r, n) => `shut out ${whom(r, n)}` },
  "person-enabled": { label: "Person let in again", say: (r, n) => `let ${whom(r, n)} in again` },
  "role-changed": { label: "Role changed", say: (r, n) => `changed the role of ${whom(r, n)}${as(r, "to")}` },
  "password-changed": { label: "Password changed", say: passwordChanged },
  "second-factor-changed": {
    label: "Second factor changed",
    say: (r) => (r.details["required"] === false ? "made the password enough again" : "made a passkey needed after the password"),
  },
  "passkey-added": { label: "Passkey added", say: (r) => `added ${quoted(r, "a passkey")} as a passkey` },
  "passkey-removed": { label: "Passkey removed", say: () => "removed a passkey" },
  "provider-linked": { label: "Single sign-on linked", say: () => "linked an account for single sign-on" },
  "provider-unlinked": { label: "Single sign-on unlinked", say: () => "unlinked the account for single sign-on" },
  renamed: { label: "Renamed", say: (r) => `took another name${detail(r, "now") ? `: ${detail(r, "now")}` : ""}` },
  "token-made": { label: "API token made", say: (r) => `made ${named(r) ? `the API token “${named(r)}”` : "an API token"}` },
  "token-ended": { label: "API token ended", say: (r) => `ended ${named(r) ? `the API token “${named(r)}”` : "an API token"}` },
  "device-approved": { label: "Command line let in", say: (r) => `let ${quoted(r, "a command line")} in` },

  "pairing-started": { label: "Pairing started", say: () => "made a code to add a machine" },
  "pairing-presented": { label: "Pairing code used", say: (r) => `used a pairing code${named(r) ? `, calling itself ${named(r)}` : ""}` },
  "pairing-refused": { label: "Pairing refused", say: (r) => `${r.personId ? "refused to add" : "was not added:"} ${named(r) || "a machine"}` },
  "pairing-confirmed": { label: "Pairing confirmed", say: (r) => `confirmed the fingerprint of ${named(r) || "a machine"}` },
  "runner-paired": { label: "Machine added", say: (r) => `${r.personId ? "added the machine" : "fetched its credential:"} ${named(r)}` },
  "runner-shared": {
    label: "Machine shared or taken back",
    say: (r) => (r.details["shared"] === false ? `took ${named(r) || "a machine"} back from the members` : `shared ${named(r) || "a machine"} with all members`),
  },
  "runner-revoked": { label: "Machine revoked", say: (r) => `revoked ${named(r) || "a machine"}` },
  "runner-refused": { label: "Machine turned away", say: (r) => `was turned away${named(r) ? `, as ${named(r)}` : ""}` },
  "token-reused": {
    label: "Credential used twice",
    say: (r) => `used an old credential of ${named(r) || "a machine"} again: it may have been copied, and is revoked`,
  },

  "session-started": { label: "Session started", say: (r) => `started ${quoted(r, "a session")}` },
  "session-deleted": { label: "Session deleted", say: (r) => `deleted ${quoted(r, "a session")}` },
  prompted: { label: "Prompted", say: (r) => `prompted${detail(r, "text") ? `: ${shortened(detail(r, "text"))}` : ""}` },
  interrupted: { label: "Interrupted", say: () => "interrupted the agent" },
  stopped: { label: "Stopped", say: (r) => (detail(r, "how") === "kill" ? "killed the agent" : "stopped the agent") },
  typed: {
    label: "Typed",
    say: (r) => {
      const bytes = r.details["bytes"];
      return typeof bytes === "number" ? `typed ${bytes.toLocaleString()} ${bytes === 1 ? "byte" : "bytes"}` : "typed";
    },
  },
  "guacamole-offered": {
    label: "Opened in Guacamole",
    say: (r) => `got a Guacamole connection to the desktop${r.details["view-only"] === true ? ", to watch" : ""}`,
  },
  approved: { label: "Approved", say: () => "answered what the agent asked" },
  "preview-opened": { label: "Preview opened", say: (r) => `opened a preview${detail(r, "port") ? ` of port ${detail(r, "port")}` : ""}` },
  "preview-closed": { label: "Preview closed", say: (r) => `closed a preview${detail(r, "port") ? ` of port ${detail(r, "port")}` : ""}` },
  "recording-started": { label: "Recording begun", say: () => "began to record the desktop" },
  "recording-ended": { label: "Recording ended", say: () => "ended the recording of the desktop" },
  "recording-deleted": { label: "Recording deleted", say: () => "deleted a recording of the desktop" },
  "file-uploaded": { label: "File sent", say: (r) => `sent the file ${quoted(r, "")}${fileSize(r)}` },
  "file-downloaded": { label: "File fetched", say: (r) => `fetched the file ${quoted(r, "")}${fileSize(r)}` },
  "desktop-controlled": { label: "Desktop controlled", say: () => "took control of the desktop" },
  "rdp-offered": {
    label: "RDP login given",
    say: (r) => `got a login for RDP to ${detail(r, "of") === "machine" ? `the machine ${named(r)}`.trim() : "the desktop"}`,
  },

  "session-shared": { label: "Session shared", say: (r, n) => `shared it with ${whom(r, n)}${as(r)}` },
  "share-changed": { label: "Share changed", say: (r, n) => `changed how it is shared with ${whom(r, n)}${as(r, "to")}` },
  "share-ended": { label: "Share ended", say: (r, n) => `took it back from ${whom(r, n)}` },
  "link-made": { label: "Link made", say: (r) => `made a link${as(r, "for a")}` },
  "link-followed": { label: "Link followed", say: (r) => `came by a link${as(r)}` },
  "link-ended": { label: "Link ended", say: () => "ended a link" },

  "secret-stored": { label: "Key stored", say: (r) => `stored the key ${named(r)}` },
  "secret-removed": { label: "Key removed", say: (r) => `removed the key ${named(r)}` },
  "secret-used": { label: "Key used", say: (r) => `had ${named(r) || "keys"} given to an agent` },
} satisfies Record<string, Words>;

type Kind = keyof typeof words;
/** A kind of the server's without words does not compile. */
const said: Record<AuditKind | Kind, Words> = words;

/** The kinds as the filter lists them. */
export const auditGroups: readonly (readonly [string, readonly Kind[]])[] = [
  [
    "People",
    [
      "set-up",
      "signed-in",
      "sign-in-refused",
      "signed-out",
      "sign-in-ended",
      "sign-in-link-made",
      "person-added",
      "person-removed",
      "person-disabled",
      "person-enabled",
      "role-changed",
      "renamed",
      "password-changed",
      "second-factor-changed",
      "passkey-added",
      "passkey-removed",
      "provider-linked",
      "provider-unlinked",
      "token-made",
      "token-ended",
      "device-approved",
    ],
  ],
  [
    "Machines",
    [
      "pairing-started",
      "pairing-presented",
      "pairing-refused",
      "pairing-confirmed",
      "runner-paired",
      "runner-shared",
      "runner-revoked",
      "runner-refused",
      "token-reused",
    ],
  ],
  [
    "Sessions",
    [
      "session-started",
      "session-deleted",
      "prompted",
      "interrupted",
      "stopped",
      "typed",
      "guacamole-offered",
      "approved",
      "preview-opened",
      "preview-closed",
      "desktop-controlled",
      "rdp-offered",
      "recording-started",
      "recording-ended",
      "recording-deleted",
      "file-uploaded",
      "file-downloaded",
    ],
  ],
  ["Sharing", ["session-shared", "share-changed", "share-ended", "link-made", "link-followed", "link-ended"]],
  ["Keys", ["secret-stored", "secret-removed", "secret-used"]],
];

/** Every kind that this page has words for. */
export const auditKinds = Object.keys(words) as Kind[];

export function auditLabel(kind: Kind): string {
  return said[kind].label;
}

/** What was done, to read after who did it. A later version's kind is its own word. */
export function auditWords(record: AuditRecord, names: Names = new Map()): string {
  if (Object.hasOwn(said, record.kind)) return said[record.kind as Kind].say(record, names).trim();
  return [record.kind.replaceAll("-", " "), named(record)].filter(Boolean).join(" ");
}

const alarming: ReadonlySet<string> = new Set<Kind>(["sign-in-refused", "token-reused", "runner-refused", "pairing-refused"]);

/** What deserves a second look. */
export function isAlarming(record: AuditRecord): boolean {
  return alarming.has(record.kind);
}

/** Who did it; machines have no person. */
export function actorOf(record: AuditRecord): string {
  if (record.personName) return record.personName;
  return /^(runner|pairing|token)-/.test(record.kind) ? "A machine" : "Somebody";
}

/** A detail's value as people read it. */
export function detailText(value: unknown): string {
  if (value === null || value === undefined) return "–";
  if (Array.isArray(value)) return value.map(detailText).join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
