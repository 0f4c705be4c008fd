/** What the records of the audit log say, in words. */

import type { AuditRecord } from "../../api/types";

type Say = (record: AuditRecord) => string;

const detail = (record: AuditRecord, name: string): string => {
  const value = record.details[name];
  return value === null || value === undefined ? "" : String(value);
};

const methods: Record<string, string> = {
  link: "by a one-time link",
  code: "by a one-time link",
  password: "by password",
  passkey: "by passkey",
  oidc: "by single sign-on",
  "share-link": "by a share link",
  device: "from a command line",
  token: "by token",
};

const by: Say = (record) => {
  const method = detail(record, "method");
  return method ? ` ${methods[method] ?? `by ${method}`}` : "";
};
const of: Say = (record) => (record.subject ? ` of ${record.subject}` : "");
const quoted: Say = (record) => (record.subject ? ` “${record.subject}”` : "");
const plain: Say = (record) => (record.subject ? ` ${record.subject}` : "");
const asRole: Say = (record) => (detail(record, "role") ? ` as ${detail(record, "role")}` : "");

function amount(record: AuditRecord, name: string, unit: string): string {
  const value = record.details[name];
  return typeof value === "number" ? ` ${value.toLocaleString()} ${value === 1 ? unit.replace(/s$/, "") : unit}` : "";
}

/** Kinds by subject, as the filter lists them; the words read after the person's name. */
export const auditGroups: readonly (readonly [string, Record<string, { readonly label: string; readonly say: Say }>])[] = [
  [
    "People",
    {
      "set-up": { label: "Set up", say: () => "set this server up" },
      "signed-in": { label: "Signed in", say: (r) => `signed in${by(r)}` },
      "sign-in-refused": { label: "Sign-in refused", say: (r) => `was refused a sign-in${by(r)}${r.subject ? `, as ${r.subject}` : ""}` },
      "signed-out": { label: "Signed out", say: () => "signed out" },
      "sign-in-ended": { label: "Sign-in ended", say: (r) => `ended a sign-in${of(r)}` },
      "sign-in-link-made": { label: "One-time link made", say: (r) => `made a one-time link${r.subject ? ` for ${r.subject}` : ""}` },
      "person-added": { label: "Person added", say: (r) => `added${plain(r)}${asRole(r)}` },
      "person-removed": { label: "Person removed", say: (r) => `removed${plain(r)}` },
      "person-disabled": { label: "Person shut out", say: (r) => `shut out${plain(r)}` },
      "person-enabled": { label: "Person let in again", say: (r) => `let in again${plain(r)}` },
      "role-changed": { label: "Role changed", say: (r) => `changed the role${of(r)}${detail(r, "role") ? ` to ${detail(r, "role")}` : ""}` },
      "password-changed": { label: "Password changed", say: () => "changed the password" },
      "passkey-added": { label: "Passkey added", say: (r) => `added the passkey${quoted(r)}` },
      "passkey-removed": { label: "Passkey removed", say: (r) => `removed the passkey${quoted(r)}` },
      "token-made": { label: "API token made", say: (r) => `made the API token${quoted(r)}` },
      "token-ended": { label: "API token ended", say: (r) => `ended the API token${quoted(r)}` },
      "device-approved": { label: "Command line let in", say: (r) => `let a command line in${r.subject ? `:${plain(r)}` : ""}` },
    },
  ],
  [
    "Machines",
    {
      "pairing-started": { label: "Pairing started", say: () => "made a code to add a machine" },
      "pairing-presented": { label: "Pairing code used", say: (r) => `used a pairing code${r.subject ? `, calling itself ${r.subject}` : ""}` },
      "pairing-refused": { label: "Pairing refused", say: (r) => `refused to add${plain(r) || " a machine"}` },
      "pairing-confirmed": { label: "Pairing confirmed", say: (r) => `confirmed the fingerprint${of(r)}` },
      "runner-paired": { label: "Machine added", say: (r) => `added the machine${plain(r)}` },
      "runner-shared": { label: "Machine shared or taken back", say: (r) => `changed who may use${plain(r) || " a machine"}` },
      "runner-revoked": { label: "Machine revoked", say: (r) => `revoked${plain(r) || " a machine"}` },
      "runner-refused": { label: "Machine turned away", say: (r) => `was turned away${r.subject ? `, as ${r.subject}` : ""}` },
      "token-reused": {
        label: "Credential used twice",
        say: (r) => `used an old credential again${of(r)}: it may have been copied, and is revoked`,
      },
    },
  ],
  [
    "Sessions",
    {
      "session-started": { label: "Session started", say: (r) => `started${quoted(r) || " a session"}` },
      "session-deleted": { label: "Session deleted", say: (r) => `deleted${quoted(r) || " a session"}` },
      prompted: { label: "Prompted", say: (r) => `prompted${amount(r, "characters", "characters") || amount(r, "bytes", "bytes")}` },
      interrupted: { label: "Interrupted", say: () => "interrupted the agent" },
      stopped: { label: "Stopped", say: (r) => (detail(r, "how") === "kill" ? "killed the agent" : "stopped the agent") },
      typed: { label: "Typed", say: (r) => `typed${amount(r, "bytes", "bytes")}` },
      approved: { label: "Approved", say: (r) => `answered what the agent asked${quoted(r)}` },
      "preview-opened": {
        label: "Preview opened",
        say: (r) => `opened a preview${detail(r, "port") ? ` of port ${detail(r, "port")}` : quoted(r)}`,
      },
      "preview-closed": { label: "Preview closed", say: (r) => `closed a preview${detail(r, "port") ? ` of port ${detail(r, "port")}` : ""}` },
      "desktop-controlled": { label: "Desktop controlled", say: () => "took control of the desktop" },
    },
  ],
  [
    "Sharing",
    {
      "session-shared": { label: "Session shared", say: (r) => `shared it with${plain(r) || " somebody"}${asRole(r)}` },
      "share-changed": { label: "Share changed", say: (r) => `changed how it is shared with${plain(r) || " somebody"}${asRole(r).replace(" as", ", now")}` },
      "share-ended": { label: "Share ended", say: (r) => `took it back from${plain(r) || " somebody"}` },
      "link-made": { label: "Link made", say: (r) => `made a link${asRole(r).replace(" as", " for a")}` },
      "link-followed": { label: "Link followed", say: (r) => `came by a link${asRole(r)}` },
      "link-ended": { label: "Link ended", say: () => "ended a link" },
    },
  ],
  [
    "Keys",
    {
      "secret-stored": { label: "Key stored", say: (r) => `stored the key${plain(r)}` },
      "secret-removed": { label: "Key removed", say: (r) => `removed the key${plain(r)}` },
      "secret-used": { label: "Key used", say: (r) => `had the key${plain(r)} given to an agent` },
    },
  ],
];

const known = new Map(auditGroups.flatMap(([, kinds]) => Object.entries(kinds)));

/** Kinds that this page has words for. */
export const auditKinds: ReadonlySet<string> = new Set(known.keys());

/** What was done, to read after who did it. A later version's kind is its own word. */
export function auditWords(record: AuditRecord): string {
  return known.get(record.kind)?.say(record) ?? `${record.kind.replaceAll("-", " ")}${plain(record)}`;
}

/** What deserves a second look. */
export function isAlarming(record: AuditRecord): boolean {
  return ["sign-in-refused", "token-reused", "runner-refused", "pairing-refused"].includes(record.kind);
}

/** A detail's value as people read it. */
export function detailText(value: unknown): string {
  if (value === null || value === undefined) return "–";
  if (Array.isArray(value)) return value.map(detailText).join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
