/**
 * The viewer protocol (docs/protocols/viewer.md): one message is one WebSocket message.
 *
 * The first byte is the kind; numbers are big-endian; places are pixels of the desktop; times are
 * microseconds of the clock of whoever sends them. Rare messages are JSON behind a byte 0.
 */

/** UTF-8 bytes of text typed at once. */
export const MAX_TEXT = 4096;
/** Bytes of what a viewer sends at once: a picture on the clipboard. */
export const MAX_FROM_VIEWER = 8 * 1024 * 1024;

export type Preset = "text" | "balanced" | "motion";

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Video {
  readonly type: "video";
  readonly key: boolean;
  readonly frame: number;
  readonly captured: number;
  readonly spent: number;
  /** What differs from the frame before; `null`: perhaps everything. */
  readonly damage: readonly Box[] | null;
  /** An access unit, H.264 Annex B. */
  readonly data: Uint8Array<ArrayBuffer>;
}

export interface Exact extends Box {
  readonly type: "exact";
  readonly frame: number;
  readonly mime: string;
  readonly data: Uint8Array<ArrayBuffer>;
}

export interface Still {
  readonly type: "still";
  readonly frame: number;
  readonly captured: number;
  readonly spent: number;
  readonly width: number;
  readonly height: number;
  readonly mime: string;
  readonly data: Uint8Array<ArrayBuffer>;
}

export interface Audio {
  readonly type: "audio";
  readonly number: number;
  readonly captured: number;
  readonly data: Uint8Array<ArrayBuffer>;
}

export interface CursorShape {
  readonly type: "cursor";
  readonly hotX: number;
  readonly hotY: number;
  /** PNG; empty: hidden. */
  readonly data: Uint8Array<ArrayBuffer>;
}

export interface PointerAt {
  readonly type: "pointer-at";
  /** Who moved it: a viewer's number, or 0 for a program. */
  readonly viewer: number;
  readonly x: number;
  readonly y: number;
}

export interface Clipboard {
  readonly type: "clipboard";
  readonly kind: "text" | "png";
  readonly data: Uint8Array<ArrayBuffer>;
}

export interface Pong {
  readonly type: "pong";
  readonly sent: number;
  readonly now: number;
}

export const desktopStates = ["starting", "ready", "paused", "restarting", "failed", "stopped"] as const;

export interface DesktopIs {
  readonly type: "desktop";
  readonly state: (typeof desktopStates)[number];
  readonly detail: string;
  readonly remedy: string;
  readonly width: number;
  readonly height: number;
  /** As WebCodecs names it; empty: only stills. */
  readonly codec: string;
  readonly rate: number;
  readonly preset: Preset;
  readonly audio: boolean;
  readonly layout: string;
}

export interface ViewerIs {
  readonly number: number;
  readonly name: string;
  readonly role: string;
  readonly you: boolean;
  readonly asks: boolean;
}

export interface Viewers {
  readonly type: "viewers";
  readonly viewers: readonly ViewerIs[];
  /** The number of who has control; 0: nobody. */
  readonly control: number;
}

export interface ServerStatistics {
  readonly type: "statistics";
  readonly captureMs: number;
  readonly encodeMs: number;
  readonly frames: number;
  readonly skipped: number;
  readonly bytes: number;
  readonly encoder: string;
}

export interface DesktopProblem {
  readonly type: "problem";
  readonly code: string;
  readonly detail: string;
  readonly remedy: string;
}

export type Pictures = Video | Exact | Still | Audio | CursorShape | PointerAt | Clipboard | Pong;
export type News = DesktopIs | Viewers | ServerStatistics | DesktopProblem;
export type FromDesktop = Pictures | News;

/** What came is not this protocol. */
export class ViewerFormatError extends Error {
  override readonly name = "ViewerFormatError";
}

/** Reads fields one after the other. */
class Fields {
  private at = 1;
  private readonly view: DataView;

  constructor(private readonly message: ArrayBuffer) {
    this.view = new DataView(message);
  }

  private take(bytes: number): number {
    const at = this.at;
    this.at += bytes;
    if (this.at > this.message.byteLength) throw new ViewerFormatError("a message is cut short");
    return at;
  }

  u8(): number {
    return this.view.getUint8(this.take(1));
  }

  u16(): number {
    return this.view.getUint16(this.take(2));
  }

  u32(): number {
    return this.view.getUint32(this.take(4));
  }

  /** Microseconds; those that numbers here cannot hold are no time. */
  time(): number {
    const value = this.view.getBigUint64(this.take(8));
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new ViewerFormatError("a time is too large");
    return Number(value);
  }

  box(): Box {
    return { x: this.u16(), y: this.u16(), width: this.u16(), height: this.u16() };
  }

  /** A view of what is left, not a copy. */
  rest(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.message, this.at);
  }

  end(): void {
    if (this.at !== this.message.byteLength) throw new ViewerFormatError("a message goes on behind its end");
  }
}

const KEY = 1;
const DAMAGE = 2;
const mimes = ["image/png", "image/jpeg"] as const;
const clipboardKinds = ["text", "png"] as const;

function oneOf<T>(values: readonly T[], at: number, what: string): T {
  const value = values[at];
  if (value === undefined) throw new ViewerFormatError(`${what} is unknown`);
  return value;
}

const readers: Record<number, (f: Fields) => Pictures> = {
  0x01: (f) => {
    const flags = f.u8();
    const head = { frame: f.u32(), captured: f.time(), spent: f.u32() };
    const damage = flags & DAMAGE ? Array.from({ length: f.u8() }, () => f.box()) : null;
    return { type: "video", key: (flags & KEY) !== 0, ...head, damage, data: f.rest() };
  },
  0x02: (f) => ({
    type: "exact",
    frame: f.u32(),
    ...f.box(),
    mime: oneOf(mimes, f.u8(), "a picture's format"),
    data: f.rest(),
  }),
  0x03: (f) => ({
    type: "still",
    frame: f.u32(),
    captured: f.time(),
    spent: f.u32(),
    width: f.u16(),
    height: f.u16(),
    mime: oneOf(mimes, f.u8(), "a picture's format"),
    data: f.rest(),
  }),
  0x04: (f) => ({ type: "audio", number: f.u32(), captured: f.time(), data: f.rest() }),
  0x05: (f) => ({ type: "cursor", hotX: f.u16(), hotY: f.u16(), data: f.rest() }),
  0x06: (f) => {
    const found = { type: "pointer-at" as const, viewer: f.u32(), x: f.u16(), y: f.u16() };
    f.end();
    return found;
  },
  0x08: (f) => ({ type: "clipboard", kind: oneOf(clipboardKinds, f.u8(), "a clipboard's kind"), data: f.rest() }),
  0x09: (f) => {
    const found = { type: "pong" as const, sent: f.time(), now: f.time() };
    f.end();
    return found;
  },
};

const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Read one message of the desktop; `null` for a kind that this page does not know.
 *
 * @throws ViewerFormatError when it is cut short or lacks what its kind calls for.
 */
export function decode(message: ArrayBuffer): FromDesktop | null {
  if (message.byteLength === 0) throw new ViewerFormatError("a message is empty");
  const kind = new Uint8Array(message, 0, 1)[0] as number;
  if (kind === 0) return decodeNote(new Uint8Array(message, 1));
  return readers[kind]?.(new Fields(message)) ?? null;
}

type Json = Record<string, unknown>;

function text(note: Json, name: string): string {
  const value = note[name] ?? "";
  if (typeof value !== "string") throw new ViewerFormatError(`${name} is not text`);
  return value;
}

function number(note: Json, name: string): number {
  const value = note[name] ?? 0;
  if (typeof value !== "number") throw new ViewerFormatError(`${name} is not a number`);
  return value;
}

function readViewer(value: unknown): ViewerIs {
  if (typeof value !== "object" || value === null) throw new ViewerFormatError("a viewer is not an object");
  const it = value as Json;
  return { number: number(it, "number"), name: text(it, "name"), role: text(it, "role"), you: it["you"] === true, asks: it["asks"] === true };
}

const presets: readonly Preset[] = ["text", "balanced", "motion"];

const notes: Record<string, (note: Json) => News> = {
  desktop: (note) => ({
    type: "desktop",
    state: oneOf(desktopStates, desktopStates.indexOf(text(note, "state") as DesktopIs["state"]), "a desktop's state"),
    detail: text(note, "detail"),
    remedy: text(note, "remedy"),
    width: number(note, "width"),
    height: number(note, "height"),
    codec: text(note, "codec"),
    rate: number(note, "rate"),
    preset: presets.find((preset) => preset === note["preset"]) ?? "balanced",
    audio: note["audio"] === true,
    layout: text(note, "layout"),
  }),
  viewers: (note) => {
    if (!Array.isArray(note["viewers"])) throw new ViewerFormatError("viewers are no list");
    return { type: "viewers", viewers: note["viewers"].map(readViewer), control: number(note, "control") };
  },
  statistics: (note) => ({
    type: "statistics",
    captureMs: number(note, "captureMs"),
    encodeMs: number(note, "encodeMs"),
    frames: number(note, "frames"),
    skipped: number(note, "skipped"),
    bytes: number(note, "bytes"),
    encoder: text(note, "encoder"),
  }),
  problem: (note) => ({ type: "problem", code: text(note, "code"), detail: text(note, "detail"), remedy: text(note, "remedy") }),
};

function decodeNote(data: Uint8Array): News | null {
  let note: unknown;
  try {
    note = JSON.parse(utf8.decode(data));
  } catch {
    throw new ViewerFormatError("a note is not JSON");
  }
  if (typeof note !== "object" || note === null) throw new ViewerFormatError("a note is not an object");
  const type = text(note as Json, "type");
  return Object.hasOwn(notes, type) ? (notes[type]?.(note as Json) ?? null) : null;
}

// --- what a viewer sends ---

type Bytes = Uint8Array<ArrayBuffer>;

export type Wish =
  | { readonly type: "watch"; readonly video: "h264" | "stills" | "none"; readonly audio: boolean; readonly statistics: boolean }
  | { readonly type: "take-control" }
  | { readonly type: "ask-for-control" }
  | { readonly type: "give-control"; readonly to: number }
  | { readonly type: "resize"; readonly width: number; readonly height: number }
  | { readonly type: "preset"; readonly preset: Preset }
  /** XKB names. */
  | { readonly type: "layout"; readonly layout: string; readonly variant?: string };

const encoder = new TextEncoder();
const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, Math.round(value)));
const u16 = (value: number): number => clamp(value, 0, 0xffff);
const i16 = (value: number): number => clamp(value, -0x8000, 0x7fff);

/** A message of `bytes` bytes of the kind `code`; `fill` writes what follows the kind. */
function fixed(code: number, bytes: number, fill: (view: DataView) => void = () => {}): Bytes {
  const message = new Uint8Array(bytes);
  message[0] = code;
  fill(new DataView(message.buffer));
  return message;
}

function behind(head: readonly number[], data: Uint8Array): Bytes {
  const message = new Uint8Array(head.length + data.length);
  message.set(head);
  message.set(data, head.length);
  return message;
}

/** Messages of a viewer. Numbers outside a field's range are clamped to it. */
export const encode = {
  note: (wish: Wish): Bytes => behind([0], encoder.encode(JSON.stringify(wish))),
  key: (down: boolean, keysym: number, key: number): Bytes =>
    fixed(0x41, 8, (view) => {
      view.setUint8(1, down ? 1 : 0);
      view.setUint32(2, keysym);
      view.setUint16(6, key);
    }),
  /** Text in messages of at most MAX_TEXT bytes each, cut between characters. */
  text: (typed: string): Bytes[] => {
    const messages: Bytes[] = [];
    let part = "";
    let bytes = 0;
    const done = (): void => {
      if (part) messages.push(behind([0x42], encoder.encode(part)));
    };
    for (const character of typed) {
      const size = encoder.encode(character).length;
      if (bytes + size > MAX_TEXT) {
        done();
        part = "";
        bytes = 0;
      }
      part += character;
      bytes += size;
    }
    done();
    return messages;
  },
  pointer: (x: number, y: number, buttons: number): Bytes =>
    fixed(0x43, 7, (view) => {
      view.setUint16(1, u16(x));
      view.setUint16(3, u16(y));
      view.setUint16(5, buttons);
    }),
  pointerBy: (dx: number, dy: number, buttons: number): Bytes =>
    fixed(0x44, 7, (view) => {
      view.setInt16(1, i16(dx));
      view.setInt16(3, i16(dy));
      view.setUint16(5, buttons);
    }),
  wheel: (dx: number, dy: number): Bytes =>
    fixed(0x45, 5, (view) => {
      view.setInt16(1, i16(dx));
      view.setInt16(3, i16(dy));
    }),
  touch: (finger: number, phase: 0 | 1 | 2 | 3, x: number, y: number): Bytes =>
    fixed(0x46, 7, (view) => {
      view.setUint8(1, clamp(finger, 0, 255));
      view.setUint8(2, phase);
      view.setUint16(3, u16(x));
      view.setUint16(5, u16(y));
    }),
  releaseAll: (): Bytes => fixed(0x47, 1),
  seen: (frame: number, tookMs: number): Bytes =>
    fixed(0x48, 9, (view) => {
      view.setUint32(1, frame);
      view.setUint32(5, clamp(tookMs * 1000, 0, 0xffffffff));
    }),
  keyFrameWanted: (): Bytes => fixed(0x49, 1),
  ping: (sent: number): Bytes => fixed(0x4a, 9, (view) => view.setBigUint64(1, BigInt(Math.max(0, Math.round(sent))))),
  clipboard: (kind: Clipboard["kind"], data: Uint8Array): Bytes => behind([0x08, clipboardKinds.indexOf(kind)], data),
};
