/**
 * The line to a desktop, begun with the page itself: after a refresh the picture does not wait until
 * everything around it is there. Whoever then wants a line to the same place gets this one, with all
 * that came by then.
 */

import { EarlyPicture, type Spot } from "./early-picture";
import { encode } from "./messages";
import { canDecode } from "./video";

/** A page that is slower than this opens a line of its own. */
const KEPT_MS = 8_000;
/** How long the page waits for the early picture. */
const PICTURE_MS = 250;
/** What may come before it is taken: some seconds of a desktop in motion. */
const MAX_KEPT = 256;
const MAX_KEPT_BYTES = 16 * 1024 * 1024;

interface Waiting {
  readonly url: string;
  readonly socket: WebSocket;
  readonly kept: MessageEvent[];
  readonly timer: ReturnType<typeof setTimeout>;
}

let waiting: Waiting | null = null;
let picture: EarlyPicture | null = null;

/** Nobody will want it: the page goes elsewhere. */
export function drop(): void {
  reveal();
  if (!waiting) return;
  clearTimeout(waiting.timer);
  const { socket } = waiting;
  socket.onopen = socket.onmessage = socket.onclose = null;
  waiting = null;
  socket.close(1000);
}

interface Options {
  /** Where to show its pictures until the page does. */
  readonly spot?: Spot | null;
  readonly open?: (url: string, protocol: string) => WebSocket;
}

/**
 * Open a line that will be wanted in a moment. The promise is kept when its first picture is shown at
 * `spot`, or it is clear that none will be, and no later than `PICTURE_MS` from now: making the page
 * before would hold that picture up.
 */
export function begin(url: string, protocol: string, { spot = null, open = (to, by) => new WebSocket(to, by) }: Options = {}): Promise<void> {
  drop();
  const socket = open(url, protocol);
  socket.binaryType = "arraybuffer";
  const kept: MessageEvent[] = [];
  let bytes = 0;
  const shown = new Promise<void>((resolve) => {
    picture = spot && canDecode() ? new EarlyPicture(spot, resolve) : null;
    setTimeout(resolve, picture ? PICTURE_MS : 0);
  });
  const mine = picture;
  socket.onopen = () => {
    if (canDecode()) socket.send(encode.note({ type: "watch", video: "h264", audio: false, statistics: false }));
  };
  socket.onmessage = (event: MessageEvent) => {
    bytes += event.data instanceof ArrayBuffer ? event.data.byteLength : 0;
    if (kept.push(event) > MAX_KEPT || bytes > MAX_KEPT_BYTES) drop();
    else if (event.data instanceof ArrayBuffer) mine?.take(event.data);
  };
  socket.onclose = drop;
  waiting = { url, socket, kept, timer: setTimeout(drop, KEPT_MS) };
  return shown;
}

/** The line to `url`, if one was begun and lives. Its events come as if it had been opened now. */
export function take(url: string): WebSocket | null {
  if (waiting?.url !== url) return null;
  const { socket, kept, timer } = waiting;
  waiting = null;
  clearTimeout(timer);
  setTimeout(reveal, KEPT_MS);
  socket.onopen = socket.onmessage = socket.onclose = null;
  if (socket.readyState === WebSocket.OPEN) {
    queueMicrotask(() => {
      socket.onopen?.(new Event("open"));
      for (const event of kept) socket.onmessage?.(event);
    });
  }
  return socket;
}

/** The page shows the desktop itself, or cannot: the early picture goes. */
export function reveal(): void {
  picture?.close();
  picture = null;
}

const SHOWN_KEY = "earthshine.desktop";

interface Shown {
  readonly session: string;
  readonly spot: Spot | null;
}

/** What this tab showed; else what any did, for it may be opened again in another. */
function lastOf(session: string): Shown | null {
  for (const store of ["sessionStorage", "localStorage"] as const) {
    try {
      const shown = JSON.parse(window[store].getItem(SHOWN_KEY) ?? "null") as Shown | null;
      if (shown?.session === session) return shown;
    } catch {
      // Storage is blocked, or holds what another version wrote.
    }
  }
  return null;
}

/** This tab shows the desktop of that session, there: after a refresh it will again. */
export function rememberShown(session: string, spot: Spot | null = null): void {
  for (const store of ["sessionStorage", "localStorage"] as const) {
    try {
      window[store].setItem(SHOWN_KEY, JSON.stringify({ session, spot } satisfies Shown));
    } catch {
      // Storage is blocked: a refresh takes a moment longer.
    }
  }
}

export function wasShown(session: string): boolean {
  return lastOf(session) !== null;
}

/** Where it was; `null` where that is not known, or was in another window. */
export function spotOf(session: string): Spot | null {
  const spot = lastOf(session)?.spot ?? null;
  return spot?.window.width === innerWidth && spot.window.height === innerHeight ? spot : null;
}
