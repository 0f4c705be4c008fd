/**
 * Exact pixels on their way to the canvas.
 *
 * They are unpacked beside the video and may be ready late: what later frames have changed meanwhile
 * is cut out of them. They are applied in the order in which they came, each once the frame that it
 * belongs over is drawn.
 */

import type { Box } from "./messages";

/** Exact pictures that may wait; the oldest are given up: the desktop sends others when it settles again. */
export const MAX_PATCHES = 256;

export interface Patch<P> {
  readonly box: Box;
  /** Arrival number of the picture it belongs over. */
  readonly after: number;
  /** What later frames have changed; `all` makes it useless. */
  cut: Box[] | "all";
  picture: P | null;
  failed: boolean;
}

export function overlaps(a: Box, b: Box): boolean {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}

/** The part of `a` inside `b`; of no size where they do not meet. */
export function intersection(a: Box, b: Box): Box {
  const x = Math.max(a.x, b.x);
  const y = Math.max(a.y, b.y);
  return {
    x,
    y,
    width: Math.max(0, Math.min(a.x + a.width, b.x + b.width) - x),
    height: Math.max(0, Math.min(a.y + a.height, b.y + b.height) - y),
  };
}

export class Patches<P> {
  private waiting: Patch<P>[] = [];
  private drawn = -1;

  constructor(private readonly discard: (picture: P) => void = () => {}) {}

  get size(): number {
    return this.waiting.length;
  }

  add(box: Box, after: number): Patch<P> {
    const patch: Patch<P> = { box, after, cut: [], picture: null, failed: false };
    this.waiting.push(patch);
    while (this.waiting.length > MAX_PATCHES) this.drop(this.waiting.shift());
    return patch;
  }

  /** The picture with this arrival number is on the canvas; `null`: it may differ everywhere. */
  painted(index: number, damage: readonly Box[] | null): void {
    this.drawn = Math.max(this.drawn, index);
    for (const patch of this.waiting) {
      if (patch.after >= index || patch.cut === "all") continue;
      if (damage === null) patch.cut = "all";
      else patch.cut.push(...damage.filter((box) => overlaps(box, patch.box)));
    }
  }

  /** Those that can be drawn now, oldest first. They are the caller's. */
  take(): Patch<P>[] {
    const ready: Patch<P>[] = [];
    for (let next = this.waiting[0]; next; next = this.waiting[0]) {
      const useless = next.failed || next.cut === "all";
      if (!useless && (next.picture === null || next.after > this.drawn)) break;
      this.waiting.shift();
      if (useless) this.drop(next);
      else ready.push(next);
    }
    return ready;
  }

  /** Nothing of what waits will be right any more. */
  clear(): void {
    for (const patch of this.waiting) this.drop(patch);
    this.waiting = [];
  }

  private drop(patch: Patch<P> | undefined): void {
    if (!patch) return;
    patch.cut = "all";
    if (patch.picture !== null) this.discard(patch.picture);
  }
}
