/**
 * The line to a desktop, begun with the page itself: after a refresh the picture does not wait until
 * everything around it is there. Whoever then wants a line to the same place gets this one.
 */

/** A page that is slower than this opens a line of its own. */
const KEPT_MS = 8_000;
/** What may come before it is taken: some notes, for the desktop waits to be asked for pictures. */
const MAX_KEPT = 64;

interface Waiting {
  readonly url: string;
  readonly socket: WebSocket;
  readonly kept: MessageEvent[];
  readonly timer: ReturnType<typeof setTimeout>;
}

let waiting: Waiting | null = null;

function drop(): void {
  if (!waiting) return;
  clearTimeout(waiting.timer);
  const { socket } = waiting;
  socket.onmessage = socket.onclose = null;
  waiting = null;
  socket.close(1000);
}

/** Open a line that will be wanted in a moment. */
export function begin(url: string, protocol: string, open = (to: string, by: string) => new WebSocket(to, by)): void {
  drop();
  const socket = open(url, protocol);
  socket.binaryType = "arraybuffer";
  const kept: MessageEvent[] = [];
  socket.onmessage = (event: MessageEvent) => {
    if (kept.push(event) > MAX_KEPT) drop();
  };
  socket.onclose = drop;
  waiting = { url, socket, kept, timer: setTimeout(drop, KEPT_MS) };
}

/** The line to `url`, if one was begun and lives. Its events come as if it had been opened now. */
export function take(url: string): WebSocket | null {
  if (waiting?.url !== url) return null;
  const { socket, kept, timer } = waiting;
  waiting = null;
  clearTimeout(timer);
  socket.onmessage = socket.onclose = null;
  if (socket.readyState === WebSocket.OPEN) {
    queueMicrotask(() => {
      socket.onopen?.(new Event("open"));
      for (const event of kept) socket.onmessage?.(event);
    });
  }
  return socket;
}

const SHOWN_KEY = "earthshine.desktop";

/** This tab shows the desktop of that session: after a refresh it will again. */
export function rememberShown(sessionId: string): void {
  try {
    sessionStorage.setItem(SHOWN_KEY, sessionId);
  } catch {
    // Storage is blocked: a refresh takes a moment longer.
  }
}

export function wasShown(sessionId: string): boolean {
  try {
    return sessionStorage.getItem(SHOWN_KEY) === sessionId;
  } catch {
    return false;
  }
}
