/**
 * Plays a time line: the recording in a video element, everything else by a clock.
 *
 * Where there is a recording the video leads and the position follows it; elsewhere time runs by
 * itself, and what holds nothing for long is skipped.
 */

import type { FeedEvent } from "../feed/records";
import { type Line, type Span, skipFrom, spanAt } from "./moments";

export const SPEEDS = [0.5, 1, 2, 4, 8] as const;
/** Nothing to see for longer than this is skipped. */
export const IDLE_MS = 3_000;
/** How far the video may be from the position before it is sent there. */
const APART_MS = 350;
/** A position so near to the end of the line is its end. */
const NEAR_END_MS = 120;

export interface PlayerHooks {
  /** The file of a recording, as far as it is known. */
  address(span: Span): string;
  /** The position, or whether it plays, has changed. */
  changed(): void;
  /** So much with nothing in it was skipped. */
  skipped(ms: number): void;
  /** The video cannot be shown. */
  failed(why: string): void;
}

export class Player {
  position = 0;
  playing = false;
  speed = 1;
  /** The recording at the position; null: nothing was recorded there. */
  span: Span | null = null;
  private line: Line | null = null;
  private events: readonly FeedEvent[] = [];
  private source = "";
  private frame = 0;
  private last = 0;
  /** Files that this browser could not play: their time passes like any other. */
  private readonly unplayable = new Set<string>();
  /** The video is on its way to where it was sent. */
  private seeking = false;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly hooks: PlayerHooks,
  ) {
    video.addEventListener("loadedmetadata", this.settle);
    video.addEventListener("seeked", this.seeked);
    video.addEventListener("error", this.broken);
    video.addEventListener("ended", this.ended);
  }

  close(): void {
    cancelAnimationFrame(this.frame);
    this.video.removeEventListener("loadedmetadata", this.settle);
    this.video.removeEventListener("seeked", this.seeked);
    this.video.removeEventListener("error", this.broken);
    this.video.removeEventListener("ended", this.ended);
    this.video.removeAttribute("src");
    this.video.load();
  }

  /** What there is to play. At first the position is the beginning. */
  set(line: Line, events: readonly FeedEvent[]): void {
    const first = this.line === null;
    this.line = line;
    this.events = events;
    if (first) this.position = line.from;
    this.seek(this.position);
  }

  seek(at: number): void {
    const { line } = this;
    if (!line) return;
    this.position = Math.min(line.to, Math.max(line.from, at));
    this.find();
    this.hooks.changed();
  }

  toggle(): void {
    if (this.playing) this.pause();
    else this.play();
  }

  play(): void {
    const { line } = this;
    if (!line || this.playing) return;
    if (this.position >= line.to - NEAR_END_MS) this.seek(line.from);
    this.playing = true;
    this.last = performance.now();
    this.run();
    this.find();
    this.hooks.changed();
  }

  pause(): void {
    this.playing = false;
    cancelAnimationFrame(this.frame);
    this.video.pause();
    this.hooks.changed();
  }

  setSpeed(speed: number): void {
    this.speed = speed;
    this.video.playbackRate = speed;
    this.hooks.changed();
  }

  /** Take up the recording at the position, and send the video where it belongs. */
  private find(): void {
    const span = this.line ? spanAt(this.line.spans, this.position) : null;
    const source = span ? this.hooks.address(span) : "";
    this.span = this.unplayable.has(source) ? null : span;
    if (!span || !this.span) {
      this.video.pause();
      return;
    }
    if (source !== this.source) {
      this.source = source;
      this.seeking = true;
      this.video.src = source;
      return; // `settle` goes on
    }
    this.align(span);
  }

  private readonly settle = (): void => {
    this.video.playbackRate = this.speed;
    if (this.span) this.align(this.span, true);
  };

  private align(span: Span, always = false): void {
    if (this.video.readyState < HTMLMediaElement.HAVE_METADATA) return;
    const wanted = (this.position - span.from) / 1000;
    if (always || this.video.ended || Math.abs(this.video.currentTime - wanted) * 1000 > (this.playing ? APART_MS : 1)) {
      this.seeking = true;
      this.video.currentTime = Math.min(wanted, Math.max(0, this.video.duration - 0.001));
    }
    if (this.playing && this.video.paused) void this.video.play().catch(() => this.pause());
    if (!this.playing) this.video.pause();
  }

  private readonly seeked = (): void => {
    this.seeking = false;
    this.hooks.changed();
  };

  private readonly broken = (): void => {
    this.seeking = false;
    if (!this.source || !this.video.hasAttribute("src")) return;
    this.unplayable.add(this.source);
    this.span = null;
    this.hooks.failed(this.video.error?.message || "The browser could not play it.");
  };

  private readonly ended = (): void => {
    if (this.span && this.playing) this.pass(this.span.to);
  };

  private run(): void {
    this.frame = requestAnimationFrame((now) => {
      const passed = (now - this.last) * this.speed;
      this.last = now;
      this.step(passed);
      if (this.playing) this.run();
    });
  }

  private step(passed: number): void {
    const { line, span } = this;
    if (!line) return;
    if (span) {
      // The video leads: a line that is slow stops both.
      if (!this.seeking) this.pass(Math.min(span.to, Math.max(this.position, span.from + this.video.currentTime * 1000)));
      return;
    }
    const skip = skipFrom(line, this.events, this.position, IDLE_MS);
    if (skip !== null) {
      this.hooks.skipped(skip - this.position);
      this.pass(skip);
    } else {
      this.pass(this.position + Math.max(0, passed));
    }
  }

  private pass(to: number): void {
    const { line } = this;
    if (!line) return;
    this.position = Math.min(line.to, to);
    if (this.position >= line.to - 1) {
      this.position = line.to;
      this.pause();
      return;
    }
    if (spanAt(line.spans, this.position) !== this.span) this.find();
    this.hooks.changed();
  }
}
