/** Figures of the last second, for whoever wants to know why it feels slow. */

import type { ServerStatistics } from "./messages";

/** Pictures that are remembered to average over. */
const MAX_SAMPLES = 240;
const WINDOW_MS = 1000;

interface Sample {
  readonly at: number;
  readonly tookMs: number;
  readonly ageMs: number | null;
}

export interface Figures {
  /** Pictures drawn in the last second. */
  readonly framesPerSecond: number;
  readonly kilobytesPerSecond: number;
  /** From arrival until drawn, middle of the last second's. */
  readonly decodeMs: number | null;
  /** There and back. */
  readonly networkMs: number | null;
  /** From the display until drawn here, middle of the last second's. */
  readonly ageMs: number | null;
  /** Since the last picture was drawn. */
  readonly quietMs: number | null;
  readonly overtaken: number;
  readonly server: ServerStatistics | null;
}

export class Statistics {
  server: ServerStatistics | null = null;
  /** Pictures that were never drawn, because newer ones were there already. */
  overtaken = 0;
  private samples: Sample[] = [];
  private received: { at: number; bytes: number }[] = [];
  private roundTripMs: number | null = null;
  /** The desktop's clock minus ours, from the answer that was quickest under way. */
  private offset: { micros: number; roundTripMs: number; at: number } | null = null;

  arrived(bytes: number, now: number): void {
    this.received.push({ at: now, bytes });
    if (this.received.length > MAX_SAMPLES * 4) this.received = this.received.filter((part) => now - part.at < WINDOW_MS);
  }

  painted(tookMs: number, capturedMicros: number, now: number): void {
    const age = this.offset ? (now * 1000 + this.offset.micros - capturedMicros) / 1000 : null;
    this.samples.push({ at: now, tookMs, ageMs: age === null ? null : Math.max(0, age) });
    if (this.samples.length > MAX_SAMPLES) this.samples.shift();
  }

  /** A ping came back: `sent` by our clock, `there` the desktop's, both in microseconds. */
  answered(sent: number, there: number, now: number): void {
    const roundTripMs = Math.max(0, now - sent / 1000);
    this.roundTripMs = roundTripMs;
    const stale = this.offset === null || now - this.offset.at > 30_000;
    if (stale || roundTripMs <= (this.offset?.roundTripMs ?? Infinity)) {
      this.offset = { micros: there - (sent + roundTripMs * 500), roundTripMs, at: now };
    }
  }

  /** A new connection may lead to another clock. */
  restart(): void {
    this.offset = null;
    this.roundTripMs = null;
    this.server = null;
  }

  figures(now: number): Figures {
    const recent = this.samples.filter((sample) => now - sample.at < WINDOW_MS);
    const bytes = this.received.reduce((sum, part) => (now - part.at < WINDOW_MS ? sum + part.bytes : sum), 0);
    const last = this.samples.at(-1);
    return {
      framesPerSecond: recent.length,
      kilobytesPerSecond: bytes / 1000,
      decodeMs: middle(recent.map((sample) => sample.tookMs)),
      networkMs: this.roundTripMs,
      ageMs: middle(recent.flatMap((sample) => (sample.ageMs === null ? [] : [sample.ageMs]))),
      quietMs: last ? now - last.at : null,
      overtaken: this.overtaken,
      server: this.server,
    };
  }
}

function middle(values: number[]): number | null {
  if (values.length === 0) return null;
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? null;
}
