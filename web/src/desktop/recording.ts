/** Records what the canvas shows into a file that plays in browsers. Made here: the server has no part in it. */

/** A recording ends by itself at this size. */
export const MAX_BYTES = 2 * 1024 * 1024 * 1024;
/** Most pictures in a second. */
const RATE = 30;
const CHUNK_MS = 1_000;
const formats = ["video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm", "video/mp4"] as const;

/** The first format that this browser records; `null`: none. */
export function formatFor(supported: ((format: string) => boolean) | undefined = globalThis.MediaRecorder?.isTypeSupported): string | null {
  return supported ? (formats.find((format) => supported(format)) ?? null) : null;
}

export class Recording {
  private readonly recorder: MediaRecorder;
  private readonly parts: Blob[] = [];
  private bytes = 0;

  /**
   * Begins at once. `ended` gets the file, however it ends.
   *
   * @throws when this browser cannot record.
   */
  constructor(
    canvas: HTMLCanvasElement,
    private readonly ended: (file: Blob) => void,
  ) {
    const format = formatFor();
    if (format === null) throw new Error("this browser cannot record");
    const stream = canvas.captureStream(RATE);
    this.recorder = new MediaRecorder(stream, { mimeType: format });
    this.recorder.ondataavailable = (event) => this.keep(event.data);
    this.recorder.onstop = () => {
      for (const track of stream.getTracks()) track.stop();
      this.ended(new Blob(this.parts, { type: format.split(";")[0] ?? format }));
    };
    this.recorder.start(CHUNK_MS);
  }

  stop(): void {
    if (this.recorder.state !== "inactive") this.recorder.stop();
  }

  private keep(part: Blob): void {
    this.parts.push(part);
    this.bytes += part.size;
    if (this.bytes > MAX_BYTES) this.stop();
  }
}
