/** A connection to a desktop by somebody else's protocol and client: what each of them gives and gets. */

import type { Verdict } from "../../feed/close-codes";
import type { DesktopInput } from "../input";
import type { Size } from "../scaling";

export interface LineHooks {
  /** The server and the client agree; pictures follow. */
  connected(): void;
  /** The first picture of this connection is on the screen. */
  painted(): void;
  sized(size: Size): void;
  /** CSS `cursor`. */
  cursor(shape: string): void;
  /** A program on the desktop has copied this. */
  copied(text: string): void;
  /** It is over. `reason`: the server's own words. Said once. */
  lost(verdict: Verdict, reason: string): void;
}

export interface LineOptions {
  /** Path and query of the WebSocket. */
  readonly path: string;
  /** The desktop's size, to be asked for where the protocol has to name one. */
  readonly size: Size;
}

export interface Line {
  readonly input: DesktopInput;
  /** One canvas with the whole picture, where there is one. */
  readonly surface: HTMLCanvasElement | null;
  fit(shown: Size): void;
  /** Ask the desktop for another size. */
  resize(size: Size): void;
  /** To the desktop's clipboard. */
  paste(text: string): void;
  /** The picture as it is now, to keep or to save; `null` before the first one. */
  picture(): HTMLCanvasElement | null;
  close(): void;
}

/** Begins to connect, and shows the desktop in `place`, which is empty. Never throws. */
export type OpenLine = (place: HTMLElement, hooks: LineHooks, options: LineOptions) => Line;

/** The WebSocket's address for a path on this server. */
export function socketUrl(path: string): string {
  const url = new URL(path, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/** A plain screen is a picture too, but is believed only after this wait. */
const PLAIN_MS = 3_000;
const SAMPLE = 32;

/** Calls once, when something that is not one plain colour is on the canvas; or after a while anyway. */
export function whenPainted(canvas: HTMLCanvasElement, painted: () => void, signal: AbortSignal): void {
  const small = document.createElement("canvas");
  small.width = small.height = SAMPLE;
  const context = small.getContext("2d", { willReadFrequently: true });
  const begun = performance.now();
  const look = (): void => {
    if (signal.aborted) return;
    if (performance.now() - begun > PLAIN_MS || (context && hasPicture(canvas, context))) painted();
    else requestAnimationFrame(look);
  };
  look();
}

function hasPicture(canvas: HTMLCanvasElement, context: CanvasRenderingContext2D): boolean {
  if (canvas.width === 0 || canvas.height === 0) return false;
  context.clearRect(0, 0, SAMPLE, SAMPLE);
  context.drawImage(canvas, 0, 0, SAMPLE, SAMPLE);
  const pixels = new Uint32Array(context.getImageData(0, 0, SAMPLE, SAMPLE).data.buffer);
  return pixels.some((pixel) => pixel !== pixels[0]);
}

/** Calls at once and whenever the canvas has another size. */
export function whenSized(canvas: HTMLCanvasElement, sized: (size: Size) => void, signal: AbortSignal): void {
  const tell = (): void => sized({ width: canvas.width, height: canvas.height });
  const observer = new MutationObserver(tell);
  observer.observe(canvas, { attributeFilter: ["width", "height"] });
  signal.addEventListener("abort", () => observer.disconnect());
  tell();
}
