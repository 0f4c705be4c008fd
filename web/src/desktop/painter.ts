/**
 * Brings pictures to the canvas in the order in which they came, and says which are there.
 *
 * At most once per displayed frame the newest decoded picture is drawn; those that it overtook are
 * never drawn, but what they changed counts as changed. Exact pixels follow their picture.
 */

import type { DesktopCanvas } from "./canvas";
import type { Box, Exact, Still, Video } from "./messages";
import { Pace } from "./pace";
import { Patches } from "./patches";

/** Rectangles of pictures that were not drawn themselves; beyond, the next one is drawn whole. */
const MAX_MISSED = 4096;

interface Arrived {
  readonly frame: number;
  readonly at: number;
  readonly captured: number;
  readonly damage: readonly Box[] | null;
}

interface Waiting extends Arrived {
  readonly index: number;
  readonly picture: VideoFrame | ImageBitmap;
  readonly width: number;
  readonly height: number;
}

/** What became of a picture. */
export interface Outcome {
  readonly frame: number;
  /** From its arrival until it was drawn, in milliseconds. */
  readonly tookMs: number;
  readonly captured: number;
  readonly painted: boolean;
}

export interface PainterHooks {
  outcome(outcome: Outcome): void;
  /** The canvas has another size, or its first picture. */
  sized(): void;
}

export class Painter {
  /** Pictures drawn since the page was opened. */
  painted = 0;
  private nextIndex = 0;
  private lastPainted = -1;
  private readonly arrived = new Map<number, Arrived>();
  private waiting: Waiting[] = [];
  private readonly patches = new Patches<ImageBitmap>((picture) => picture.close());
  private readonly pace = new Pace(() => this.paint());
  private closed = false;
  /** Damage of pictures that were never drawn, for the next one that is. */
  private missed: Box[] | "all" = [];

  constructor(
    private readonly canvas: DesktopCanvas,
    private readonly hooks: PainterHooks,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** A picture's data has arrived; returns its arrival number. */
  arrive(picture: Video | Still): number {
    const index = this.nextIndex;
    this.nextIndex += 1;
    const damage = picture.type === "video" ? picture.damage : null;
    this.arrived.set(index, { frame: picture.frame, at: this.now(), captured: picture.captured, damage });
    return index;
  }

  decoded(picture: VideoFrame, index: number): void {
    this.ready(index, picture, picture.displayWidth, picture.displayHeight);
  }

  /** These will never be pictures; the desktop may count them as dealt with. */
  lost(indexes: readonly number[]): void {
    for (const index of indexes) {
      const arrived = this.arrived.get(index);
      if (!arrived) continue;
      this.arrived.delete(index);
      this.miss(arrived.damage);
      this.patches.painted(index, arrived.damage);
      this.hooks.outcome({ frame: arrived.frame, tookMs: this.now() - arrived.at, captured: arrived.captured, painted: false });
    }
  }

  async exact(exact: Exact): Promise<void> {
    const patch = this.patches.add(exact, this.nextIndex - 1);
    try {
      const picture = await bitmap(exact.data, exact.mime);
      if (patch.cut === "all" || this.closed) picture.close();
      patch.picture = picture;
    } catch {
      patch.failed = true;
    }
    this.pace.want();
  }

  async still(still: Still): Promise<void> {
    const index = this.arrive(still);
    try {
      this.ready(index, await bitmap(still.data, still.mime), still.width, still.height);
    } catch {
      this.lost([index]);
    }
  }

  /** The connection begins anew: what is on its way belongs to the old one. What is drawn stays. */
  restart(): void {
    for (const old of this.waiting) old.picture.close();
    this.waiting = [];
    this.arrived.clear();
    this.patches.clear();
    this.missed = "all";
  }

  close(): void {
    this.closed = true;
    this.pace.close();
    this.restart();
  }

  private ready(index: number, picture: VideoFrame | ImageBitmap, width: number, height: number): void {
    const arrived = this.arrived.get(index);
    const newest = this.waiting.at(-1)?.index ?? this.lastPainted;
    if (!arrived || this.closed || newest > index) {
      picture.close();
      this.lost([index]);
      return;
    }
    this.arrived.delete(index);
    this.waiting.push({ ...arrived, index, picture, width, height });
    this.pace.want();
  }

  private miss(damage: readonly Box[] | null): void {
    if (damage === null) this.missed = "all";
    else if (this.missed !== "all") this.missed.push(...damage);
    if (this.missed !== "all" && this.missed.length > MAX_MISSED) this.missed = "all";
  }

  private paint(): void {
    const last = this.waiting.at(-1);
    if (last) {
      const seen = this.waiting;
      this.waiting = [];
      for (const picture of seen) this.miss(picture.damage);
      const damage = this.missed === "all" ? null : this.missed;
      this.missed = [];
      const resized = this.canvas.width !== last.width || this.canvas.height !== last.height || this.painted === 0;
      this.canvas.frame(last.picture, last.width, last.height, damage);
      for (const picture of seen) {
        picture.picture.close();
        this.patches.painted(picture.index, picture.damage);
      }
      this.painted += 1;
      this.lastPainted = last.index;
      if (resized) this.hooks.sized();
      const now = this.now();
      for (const picture of seen) {
        this.hooks.outcome({
          frame: picture.frame,
          tookMs: now - picture.at,
          captured: picture.captured,
          painted: picture === last,
        });
      }
    }
    if (this.painted === 0) return;
    for (const patch of this.patches.take()) {
      if (patch.picture && patch.cut !== "all") this.canvas.patch(patch.picture, patch.box, patch.cut);
      patch.picture?.close();
    }
  }
}

/** Pixels as they are in the file: nothing may turn exact ones into others. */
function bitmap(data: Uint8Array<ArrayBuffer>, mime: string): Promise<ImageBitmap> {
  return createImageBitmap(new Blob([data], { type: mime }), { colorSpaceConversion: "none", premultiplyAlpha: "none" });
}
