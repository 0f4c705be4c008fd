/** The desktop's sound: Opus by WebCodecs, played with a little delay so that an uneven line is not heard. */

import type { Audio } from "./messages";

/** Sound that waits before the first packet plays, in seconds. */
export const CUSHION = 0.06;
/** More than this is behind the picture: the rest is dropped and begins anew. */
export const MAX_BEHIND = 0.25;
const RATE = 48_000;
const CHANNELS = 2;
/** Chunks get made-up times this far apart, in microseconds. */
const STEP = 10_000;

/** When packets play: one after the other, with a cushion after every gap. */
export class Schedule {
  private next = 0;

  /** When to play `seconds` of sound that is here at `now`; `null`: drop it, too much waits. */
  at(now: number, seconds: number): number | null {
    if (this.next < now) this.next = now + CUSHION;
    if (this.next - now > MAX_BEHIND) return null;
    const at = this.next;
    this.next += seconds;
    return at;
  }

  reset(): void {
    this.next = 0;
  }
}

export function canHear(scope: { isSecureContext?: boolean; AudioDecoder?: unknown } = globalThis): boolean {
  return scope.isSecureContext === true && scope.AudioDecoder !== undefined;
}

export class AudioPlayer {
  /** Packets that were heard, and those that came too late or too many. */
  played = 0;
  dropped = 0;
  private context: AudioContext | null = null;
  private decoder: AudioDecoder | null = null;
  private readonly schedule = new Schedule();
  private chunk = 0;

  /** Browsers let a page sound only after the person did something: call it then. */
  start(): void {
    this.context ??= new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
    void this.context.resume();
  }

  stop(): void {
    this.restart();
    void this.context?.close();
    this.context = null;
  }

  restart(): void {
    if (this.decoder && this.decoder.state !== "closed") this.decoder.close();
    this.decoder = null;
    this.schedule.reset();
  }

  push(packet: Audio): void {
    if (!this.context) return;
    try {
      this.decoder ??= this.prepare();
      this.decoder.decode(new EncodedAudioChunk({ type: "key", timestamp: this.chunk * STEP, data: packet.data }));
      this.chunk += 1;
    } catch {
      this.restart();
    }
  }

  private prepare(): AudioDecoder {
    const decoder = new AudioDecoder({ output: (sound) => this.play(sound), error: () => this.restart() });
    decoder.configure({ codec: "opus", sampleRate: RATE, numberOfChannels: CHANNELS });
    return decoder;
  }

  private play(sound: AudioData): void {
    const { context } = this;
    const at = context?.state === "running" ? this.schedule.at(context.currentTime, sound.numberOfFrames / sound.sampleRate) : null;
    if (context && at !== null) {
      const buffer = context.createBuffer(sound.numberOfChannels, sound.numberOfFrames, sound.sampleRate);
      for (let channel = 0; channel < sound.numberOfChannels; channel += 1) {
        sound.copyTo(buffer.getChannelData(channel), { planeIndex: channel, format: "f32-planar" });
      }
      const source = context.createBufferSource();
      source.buffer = buffer;
      source.connect(context.destination);
      source.start(at);
      this.played += 1;
    } else {
      this.dropped += 1;
    }
    sound.close();
  }
}
