import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { EarlyPicture, type Spot, spotAt } from "../../src/desktop/early-picture";

const spot: Spot = { x: 10, y: 20, width: 640, height: 400, crisp: true, window: { width: 1024, height: 768 } };

class FakeDecoder {
  static last: FakeDecoder;
  state = "unconfigured";
  codec = "";
  chunks: string[] = [];
  constructor(readonly init: { output: (picture: object) => void; error: () => void }) {
    FakeDecoder.last = this;
  }
  configure({ codec }: { codec: string }): void {
    this.state = "configured";
    this.codec = codec;
  }
  decode({ type }: { type: string }): void {
    this.chunks.push(type);
  }
  close(): void {
    this.state = "closed";
  }
  picture(): { closed: boolean } {
    const picture = { displayWidth: 1280, displayHeight: 800, closed: false, close: () => void (picture.closed = true) };
    this.init.output(picture);
    return picture;
  }
}

/** Kind 1: flags, frame, captured, spent, then the access unit. */
function video(key: boolean): ArrayBuffer {
  const unit = key ? [0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x28, 0xd9, 0, 0] : [0, 0, 0, 1, 0x41, 1, 2, 3];
  return Uint8Array.from([1, key ? 1 : 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 3, ...unit]).buffer;
}

const shown = (): HTMLCanvasElement | null => document.querySelector("canvas");

describe("the early picture", () => {
  beforeEach(() => {
    vi.stubGlobal("VideoDecoder", FakeDecoder);
    vi.stubGlobal("EncodedVideoChunk", function chunk(init: object) {
      return init;
    });
  });
  afterEach(() => {
    document.body.replaceChildren();
    vi.unstubAllGlobals();
  });

  it("is where the desktop was, from the first picture on", () => {
    const over = vi.fn();
    const early = new EarlyPicture(spot, over);
    early.take(video(false));
    early.take(video(true));
    early.take(video(false));
    expect(FakeDecoder.last.codec).toBe("avc1.42c028");
    expect(FakeDecoder.last.chunks).toEqual(["key", "delta"]);
    expect(shown()).toBeNull();
    const picture = FakeDecoder.last.picture();
    expect(picture.closed).toBe(true);
    expect(over).toHaveBeenCalled();
    const canvas = shown() as HTMLCanvasElement;
    expect([canvas.width, canvas.height]).toEqual([1280, 800]);
    const { left, top, width, height, pointerEvents, imageRendering } = canvas.style;
    expect([left, top, width, height, pointerEvents, imageRendering]).toEqual(["10px", "20px", "640px", "400px", "none", "pixelated"]);
    early.close();
    expect(shown()).toBeNull();
    expect(FakeDecoder.last.state).toBe("closed");
  });

  it("is left out when the stream cannot be read", () => {
    const over = vi.fn();
    const early = new EarlyPicture(spot, over);
    early.take(Uint8Array.from([1, 1]).buffer);
    expect(over).toHaveBeenCalled();
    early.take(video(true));
    FakeDecoder.last.init.error();
    expect(FakeDecoder.last.state).toBe("closed");
    expect(FakeDecoder.last.picture().closed).toBe(true);
    expect(shown()).toBeNull();
  });
});

describe("where it was", () => {
  const at = (x: number, y: number, width: number, height: number): HTMLElement => {
    const element = document.createElement("div");
    element.getBoundingClientRect = () => new DOMRect(x, y, width, height);
    return element;
  };

  it("is known where all of it is in sight", () => {
    const room = at(100, 100, 800, 600);
    expect(spotAt(at(100, 150, 800, 500), room)).toMatchObject({ x: 100, y: 150, width: 800, height: 500, crisp: false });
    expect(spotAt(at(90, 150, 800, 500), room)).toBeNull();
    expect(spotAt(at(100, 150, 800, 700), room)).toBeNull();
    expect(spotAt(at(100, 150, 0, 0), room)).toBeNull();
  });
});
