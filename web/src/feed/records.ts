/**
 * The binary half of the feed: whole events, back to back in one message.
 *
 * ```
 *  0        8        16   17       21
 *  +--------+--------+----+--------+----------------+
 *  | seq u64| ts u64 |kind|length  | data           |  ... next record
 *  +--------+--------+----+--------+----------------+
 * ```
 *
 * Big-endian; `ts` in milliseconds since 1970. See docs/protocols/feed.md.
 */

export const HEADER_BYTES = 21;

export const Kind = {
  output: 1,
  started: 2,
  resized: 3,
  prompted: 4,
  interrupted: 5,
  stopping: 6,
  exited: 7,
  failed: 8,
  gap: 9,
} as const;

interface At {
  readonly seq: number;
  readonly ts: number;
}

export type FeedEvent = At &
  (
    | { readonly kind: "output"; readonly data: Uint8Array }
    | {
        readonly kind: "started";
        readonly agent: string;
        readonly folder: string;
        readonly cols: number;
        readonly rows: number;
        readonly branch?: string;
      }
    | { readonly kind: "resized"; readonly cols: number; readonly rows: number }
    | { readonly kind: "prompted"; readonly text: string; readonly by: string; readonly commandId: string }
    | { readonly kind: "interrupted"; readonly by: string; readonly commandId: string }
    | { readonly kind: "stopping"; readonly by: string; readonly how: "stop" | "kill"; readonly commandId: string }
    | { readonly kind: "exited"; readonly exitCode: number | null; readonly signal: number | null }
    | { readonly kind: "failed"; readonly code: string; readonly detail: string; readonly remedy: string }
    | {
        readonly kind: "gap";
        readonly firstSeq: number;
        readonly lastSeq: number;
        readonly bytes: number;
        readonly reason: string;
      }
  );

/** The message is not a sequence of whole, well-formed records. */
export class FeedFormatError extends Error {
  override readonly name = "FeedFormatError";
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Read all events of one binary message.
 *
 * Kinds this reader does not know are passed on as `null` data through `skipped`, so that the cursor
 * still moves over them. The `data` of `output` is a view into `message`, not a copy.
 *
 * @throws FeedFormatError on a truncated record, a number beyond 2^53, or data that is not the JSON
 *   object its kind calls for.
 */
export function decodeRecords(message: ArrayBuffer): { events: FeedEvent[]; lastSeq: number; bytes: number } {
  const view = new DataView(message);
  const events: FeedEvent[] = [];
  let offset = 0;
  let lastSeq = 0;
  while (offset < message.byteLength) {
    if (message.byteLength - offset < HEADER_BYTES) throw new FeedFormatError("a record's header is cut off");
    const seq = safeNumber(view.getBigUint64(offset));
    const ts = safeNumber(view.getBigUint64(offset + 8));
    const kind = view.getUint8(offset + 16);
    const length = view.getUint32(offset + 17);
    offset += HEADER_BYTES;
    if (message.byteLength - offset < length) throw new FeedFormatError("a record's data is cut off");
    if (seq <= lastSeq) throw new FeedFormatError("records are out of order");
    const event = readEvent(kind, seq, ts, new Uint8Array(message, offset, length));
    if (event) events.push(event);
    lastSeq = seq;
    offset += length;
  }
  return { events, lastSeq, bytes: message.byteLength };
}

function safeNumber(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new FeedFormatError("a number is too large");
  return Number(value);
}

function readEvent(kind: number, seq: number, ts: number, data: Uint8Array): FeedEvent | null {
  if (kind === Kind.output) return { kind: "output", seq, ts, data };
  const read = readers[kind];
  if (!read) return null;
  return { seq, ts, ...read(new Fields(data)) } as FeedEvent;
}

const readers: Record<number, (fields: Fields) => object> = {
  [Kind.started]: (f) => ({
    kind: "started",
    agent: f.text("agent"),
    folder: f.text("folder"),
    cols: f.count("cols"),
    rows: f.count("rows"),
    branch: f.optionalText("branch"),
  }),
  [Kind.resized]: (f) => ({ kind: "resized", cols: f.count("cols"), rows: f.count("rows") }),
  [Kind.prompted]: (f) => ({ kind: "prompted", text: f.text("text"), ...f.command() }),
  [Kind.interrupted]: (f) => ({ kind: "interrupted", ...f.command() }),
  [Kind.stopping]: (f) => ({ kind: "stopping", how: f.text("how") === "kill" ? "kill" : "stop", ...f.command() }),
  [Kind.exited]: (f) => ({
    kind: "exited",
    exitCode: f.optionalCount("exitCode") ?? null,
    signal: f.optionalCount("signal") ?? null,
  }),
  [Kind.failed]: (f) => ({
    kind: "failed",
    code: f.text("code"),
    detail: f.text("detail"),
    remedy: f.optionalText("remedy") ?? "",
  }),
  [Kind.gap]: (f) => ({
    kind: "gap",
    firstSeq: f.count("firstSeq"),
    lastSeq: f.count("lastSeq"),
    bytes: f.count("bytes"),
    reason: f.optionalText("reason") ?? "",
  }),
};

/** The fields of a JSON object, read with a type in mind. */
class Fields {
  private readonly values: Record<string, unknown>;

  constructor(data: Uint8Array) {
    let value: unknown;
    try {
      value = JSON.parse(utf8.decode(data));
    } catch {
      throw new FeedFormatError("an event's data is not JSON");
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new FeedFormatError("an event's data is not an object");
    }
    this.values = value as Record<string, unknown>;
  }

  text(name: string): string {
    const value = this.values[name];
    if (typeof value !== "string") throw new FeedFormatError(`${name} is not text`);
    return value;
  }

  optionalText(name: string): string | undefined {
    return this.values[name] == null ? undefined : this.text(name);
  }

  count(name: string): number {
    const value = this.values[name];
    if (typeof value !== "number" || !Number.isSafeInteger(value)) throw new FeedFormatError(`${name} is not a whole number`);
    return value;
  }

  optionalCount(name: string): number | undefined {
    return this.values[name] == null ? undefined : this.count(name);
  }

  command(): { by: string; commandId: string } {
    return { by: this.optionalText("by") ?? "", commandId: this.optionalText("commandId") ?? "" };
  }
}
