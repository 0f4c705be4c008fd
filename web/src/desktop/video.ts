/**
 * H.264 into pictures, by WebCodecs.
 *
 * A decoder that fails is replaced and a key frame asked for. One that keeps a picture back although
 * nothing follows (a still screen would show the last key stroke a second late) is emptied, and
 * replaced by a software decoder, which does not.
 */

import { codecOf } from "./annexb";
import type { Video } from "./messages";

/** Longest time a picture may stay inside the decoder while nothing follows. */
export const HELD_BACK_MS = 700;
/** Longest wait for a decoder to empty itself. */
const FLUSH_MS = 500;
/** Failures without a picture in between after which video is given up here. */
export const MAX_FAILURES = 4;
/** A key frame is asked for at most this often. */
export const ASK_EVERY_MS = 500;
/** Chunks get made-up times this far apart, in microseconds: a picture's time tells which it is. */
const STEP = 10_000;

export interface VideoHooks {
  /** A picture; the caller closes it. `index`: the arrival number given with its data. */
  decoded(picture: VideoFrame, index: number): void;
  /** What came with these arrival numbers will never be a picture. */
  lost(indexes: number[]): void;
  keyFrameWanted(): void;
  /** This browser cannot decode it at all. */
  failed(why: string): void;
}

/** Can this page decode H.264 at all? WebCodecs needs a secure context; localhost counts as one. */
export function canDecode(scope: { isSecureContext?: boolean; VideoDecoder?: unknown } = globalThis): boolean {
  return scope.isSecureContext === true && scope.VideoDecoder !== undefined;
}

export class VideoPlayer {
  private decoder: VideoDecoder | null = null;
  private codec = "";
  private software = false;
  private needsKey = true;
  private failures = 0;
  private askedAt = -Infinity;
  private inside: number[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;
  private given = false;

  constructor(
    private readonly hooks: VideoHooks,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Decode an access unit. */
  push(video: Video, index: number): void {
    if (this.given) return this.hooks.lost([index]);
    if (video.key) this.prepare(codecOf(video.data) ?? this.codec);
    if (!this.decoder || (this.needsKey && !video.key)) {
      this.ask();
      this.hooks.lost([index]);
      return;
    }
    this.needsKey = false;
    this.inside.push(index);
    try {
      this.decoder.decode(new EncodedVideoChunk({ type: video.key ? "key" : "delta", timestamp: index * STEP, data: video.data }));
    } catch (error) {
      this.fail(error);
    }
    if (this.timer === undefined) this.watch();
  }

  /** A new connection: what was before does not go on. */
  restart(): void {
    this.drop();
    this.askedAt = -Infinity;
  }

  /** Try again after it was given up. */
  revive(): void {
    this.given = false;
    this.failures = 0;
    this.restart();
  }

  close(): void {
    this.given = true;
    this.drop();
  }

  private prepare(codec: string): void {
    if (this.decoder && this.codec === codec && !this.needsKey) return;
    this.codec = codec;
    this.drop();
    const decoder: VideoDecoder = new VideoDecoder({
      output: (picture) => this.output(decoder, picture),
      error: (error) => decoder === this.decoder && this.fail(error),
    });
    this.decoder = decoder;
    try {
      decoder.configure({
        codec,
        optimizeForLatency: true,
        hardwareAcceleration: this.software ? "prefer-software" : "no-preference",
      });
    } catch (error) {
      this.fail(error);
    }
  }

  private output(decoder: VideoDecoder, picture: VideoFrame): void {
    if (decoder !== this.decoder) return picture.close();
    const index = Math.round(picture.timestamp / STEP);
    // Pictures come out in order: what is older and still inside was swallowed.
    const swallowed = this.inside.filter((other) => other < index);
    this.inside = this.inside.filter((other) => other > index);
    if (swallowed.length) {
      // What follows was made to build on it: it may look wrong until the next key frame.
      this.hooks.lost(swallowed);
      this.ask();
    }
    this.failures = 0;
    this.watch();
    this.hooks.decoded(picture, index);
  }

  /** From the last picture on: also a decoder that takes data without end has to give some. */
  private watch(): void {
    clearTimeout(this.timer);
    this.timer = this.inside.length ? setTimeout(() => void this.empty(), HELD_BACK_MS) : undefined;
  }

  /** The decoder sits on pictures: take them out. It then needs a key frame to go on. */
  private async empty(): Promise<void> {
    const { decoder } = this;
    if (!decoder || decoder.state !== "configured") return;
    this.needsKey = true;
    this.software = true;
    try {
      await Promise.race([decoder.flush(), new Promise((late) => setTimeout(late, FLUSH_MS))]);
    } catch {
      // It was replaced meanwhile, or fails by itself.
    }
    if (decoder === this.decoder) this.fail(new Error("the decoder keeps pictures back"));
  }

  private fail(error: unknown): void {
    this.failures += 1;
    this.drop();
    if (this.failures >= MAX_FAILURES) {
      this.given = true;
      this.hooks.failed(error instanceof Error ? error.message : String(error));
      return;
    }
    this.ask();
  }

  private drop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const { decoder, inside } = this;
    this.decoder = null;
    this.inside = [];
    this.needsKey = true;
    if (decoder && decoder.state !== "closed") decoder.close();
    if (inside.length) this.hooks.lost(inside);
  }

  private ask(): void {
    const now = this.now();
    if (now - this.askedAt < ASK_EVERY_MS) return;
    this.askedAt = now;
    this.hooks.keyFrameWanted();
  }
}
