/**
 * The desktop's first pictures, where they were when the page was left: drawn over the page while that
 * is still being made. They take no input, and go when the page shows the desktop itself.
 */

import { codecOf } from "./annexb";
import { decode } from "./messages";

/** A place of the window, in CSS pixels. */
export interface Spot {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  /** Whether its pixels are drawn as they are. */
  readonly crisp: boolean;
  /** The window's size then: in another one it would be somewhere else. */
  readonly window: { readonly width: number; readonly height: number };
}

/** Chunks get made-up times this far apart, in microseconds. */
const STEP = 10_000;

/** Where an element is, if all of it is in sight; within `room`, which may hide parts of it. */
export function spotAt(element: HTMLElement, room: HTMLElement): Spot | null {
  const { x, y, width, height } = element.getBoundingClientRect();
  const { left, top, right, bottom } = room.getBoundingClientRect();
  const slack = 1;
  const inside = x >= left - slack && y >= top - slack && x + width <= right + slack && y + height <= bottom + slack;
  if (!inside || width < 1 || height < 1) return null;
  const crisp = getComputedStyle(element).imageRendering === "pixelated";
  return { x, y, width, height, crisp, window: { width: innerWidth, height: innerHeight } };
}

export class EarlyPicture {
  private readonly canvas = document.createElement("canvas");
  private decoder: VideoDecoder | null = null;
  private count = 0;

  /** `over`: the first picture is there, or none will be. */
  constructor(
    spot: Spot,
    private readonly over: () => void,
  ) {
    Object.assign(this.canvas.style, {
      position: "fixed",
      left: `${spot.x}px`,
      top: `${spot.y}px`,
      width: `${spot.width}px`,
      height: `${spot.height}px`,
      imageRendering: spot.crisp ? "pixelated" : "auto",
      pointerEvents: "none",
      zIndex: "1",
    });
    this.canvas.setAttribute("aria-hidden", "true");
    this.canvas.dataset["early"] = "";
  }

  /** A message of the viewer protocol. What is no picture, or cannot be read, is left to the page. */
  take(message: ArrayBuffer): void {
    try {
      const video = decode(message);
      if (video?.type !== "video") return;
      if (video.key) this.prepare(codecOf(video.data) ?? "");
      if (this.decoder?.state !== "configured") return;
      this.count += 1;
      this.decoder.decode(new EncodedVideoChunk({ type: video.key ? "key" : "delta", timestamp: this.count * STEP, data: video.data }));
    } catch {
      this.close();
    }
  }

  close(): void {
    this.over();
    this.canvas.remove();
    if (this.decoder && this.decoder.state !== "closed") this.decoder.close();
    this.decoder = null;
  }

  private prepare(codec: string): void {
    if (this.decoder) return;
    this.decoder = new VideoDecoder({ output: (picture) => this.draw(picture), error: () => this.close() });
    this.decoder.configure({ codec, optimizeForLatency: true });
  }

  private draw(picture: VideoFrame): void {
    const { canvas } = this;
    if (this.decoder) {
      const { displayWidth: width, displayHeight: height } = picture;
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
      canvas.getContext("2d", { alpha: false })?.drawImage(picture, 0, 0);
      if (!canvas.isConnected) document.body.append(canvas);
      this.over();
    }
    picture.close();
  }
}
