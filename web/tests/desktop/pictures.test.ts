import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { codecOf } from "../../src/desktop/annexb";
import type { Box, Video } from "../../src/desktop/messages";
import { MAX_PATCHES, Patches, intersection, overlaps } from "../../src/desktop/patches";
import { pixelAt, shownSize, wantedSize } from "../../src/desktop/scaling";
import { ASK_EVERY_MS, HELD_BACK_MS, MAX_FAILURES, VideoPlayer, canDecode } from "../../src/desktop/video";

const box = (x: number, y: number, width: number, height: number): Box => ({ x, y, width, height });

describe("exact pixels", () => {
  it("wait for the picture that they belong over", () => {
    const patches = new Patches<string>();
    const patch = patches.add(box(0, 0, 10, 10), 3);
    patch.picture = "pixels";
    patches.painted(2, []);
    expect(patches.take()).toEqual([]);
    patches.painted(3, null);
    expect(patches.take()).toEqual([patch]);
    expect(patches.size).toBe(0);
  });

  it("that come late lose what has changed meanwhile", () => {
    const patches = new Patches<string>();
    const patch = patches.add(box(0, 0, 100, 100), 1);
    patches.painted(1, null);
    patches.painted(2, [box(10, 10, 5, 5), box(200, 200, 5, 5)]);
    patch.picture = "pixels";
    expect(patches.take()[0]?.cut).toEqual([box(10, 10, 5, 5)]);
  });

  it("are of no use after a picture that differs everywhere", () => {
    const gone: string[] = [];
    const patches = new Patches<string>((picture) => gone.push(picture));
    const patch = patches.add(box(0, 0, 10, 10), 1);
    patch.picture = "pixels";
    patches.painted(2, null);
    expect(patches.take()).toEqual([]);
    expect(gone).toEqual(["pixels"]);
  });

  it("are drawn in the order in which they came, whichever is unpacked first", () => {
    const patches = new Patches<string>();
    const first = patches.add(box(0, 0, 10, 10), 0);
    const second = patches.add(box(0, 0, 10, 10), 0);
    patches.painted(0, null);
    second.picture = "second";
    expect(patches.take()).toEqual([]);
    first.picture = "first";
    expect(patches.take().map((patch) => patch.picture)).toEqual(["first", "second"]);
  });

  it("that cannot be unpacked hold nobody up", () => {
    const patches = new Patches<string>();
    const bad = patches.add(box(0, 0, 10, 10), 0);
    const good = patches.add(box(0, 0, 10, 10), 0);
    patches.painted(0, null);
    good.picture = "good";
    bad.failed = true;
    expect(patches.take()).toEqual([good]);
  });

  it("do not pile up", () => {
    const patches = new Patches<string>();
    for (let at = 0; at < MAX_PATCHES + 50; at += 1) patches.add(box(0, 0, 1, 1), at);
    expect(patches.size).toBe(MAX_PATCHES);
  });
});

describe("boxes", () => {
  const any = fc.record({ x: fc.nat(50), y: fc.nat(50), width: fc.nat(50), height: fc.nat(50) });
  it("overlap exactly when they have pixels in common", () => {
    fc.assert(
      fc.property(any, any, (a, b) => {
        const common = intersection(a, b);
        if (a.width && a.height && b.width && b.height) expect(overlaps(a, b)).toBe(common.width > 0 && common.height > 0);
      }),
    );
  });
});

describe("how large it is drawn", () => {
  const desktop = { width: 1280, height: 800 };

  it("fits", () => {
    expect(shownSize(desktop, { width: 640, height: 800 }, "fit", 1)).toEqual({ width: 640, height: 400, crisp: false });
  });

  it("is crisp where a pixel is whole pixels", () => {
    expect(shownSize(desktop, { width: 1280, height: 900 }, "fit", 2).crisp).toBe(true);
    expect(shownSize(desktop, { width: 10, height: 10 }, "actual", 2)).toEqual({ width: 640, height: 400, crisp: true });
  });

  it("does not grow while the desktop follows", () => {
    expect(shownSize(desktop, { width: 2000, height: 2000 }, "follow", 1).width).toBe(1280);
    expect(shownSize(desktop, { width: 640, height: 2000 }, "follow", 1).width).toBe(640);
  });

  it("keeps places on the desktop", () => {
    fc.assert(
      fc.property(fc.integer({ min: -5000, max: 5000 }), fc.integer({ min: -5000, max: 5000 }), fc.nat(3000), fc.nat(3000), (x, y, width, height) => {
        const at = pixelAt({ x, y }, { left: 10, top: 10, width, height }, desktop);
        expect(at.x).toBeGreaterThanOrEqual(0);
        expect(at.x).toBeLessThan(1280);
        expect(at.y).toBeGreaterThanOrEqual(0);
        expect(at.y).toBeLessThan(800);
      }),
    );
    expect(pixelAt({ x: 10.2, y: 10.9 }, { left: 10, top: 10, width: 640, height: 400 }, desktop)).toEqual({ x: 0, y: 1 });
  });

  it("asks for even sizes within limits", () => {
    expect(wantedSize({ width: 1001, height: 701 })).toEqual({ width: 1000, height: 700 });
    expect(wantedSize({ width: 3, height: 100_000 })).toEqual({ width: 320, height: 7680 });
  });
});

describe("the codec", () => {
  it("is read from the stream", () => {
    expect(codecOf(Uint8Array.from([0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x28, 0xd9, 0, 0]))).toBe("avc1.42c028");
    expect(codecOf(Uint8Array.from([0, 0, 1, 0x09, 0x10, 0, 0, 1, 0x67, 0x64, 0, 0x1f, 1, 2, 3]))).toBe("avc1.64001f");
    expect(codecOf(Uint8Array.from([0, 0, 0, 1, 0x41, 1, 2, 3, 4, 5, 6, 7]))).toBeNull();
  });

  it("needs a secure context", () => {
    expect(canDecode({ isSecureContext: false, VideoDecoder: class {} })).toBe(false);
    expect(canDecode({ isSecureContext: true })).toBe(false);
    expect(canDecode({ isSecureContext: true, VideoDecoder: class {} })).toBe(true);
  });
});

// --- a fake decoder ---

class FakeDecoder {
  static readonly made: FakeDecoder[] = [];
  static get last(): FakeDecoder {
    return FakeDecoder.made.at(-1) as FakeDecoder;
  }
  state = "unconfigured";
  config: { codec: string; hardwareAcceleration: string } | null = null;
  chunks: { type: string; timestamp: number }[] = [];
  flushed = 0;

  constructor(readonly init: { output: (picture: object) => void; error: (error: Error) => void }) {
    FakeDecoder.made.push(this);
  }
  configure(config: { codec: string; hardwareAcceleration: string }): void {
    this.state = "configured";
    this.config = config;
  }
  decode(chunk: { type: string; timestamp: number }): void {
    this.chunks.push(chunk);
  }
  flush(): Promise<void> {
    this.flushed += 1;
    for (const chunk of this.chunks) this.picture(chunk.timestamp);
    return Promise.resolve();
  }
  close(): void {
    this.state = "closed";
  }
  picture(timestamp: number): void {
    this.init.output({ timestamp, close: () => {} });
  }
  fail(): void {
    this.state = "closed";
    this.init.error(new Error("no"));
  }
}

const sps = [0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x28, 0xd9, 0, 0];
const video = (key: boolean): Video => ({
  type: "video",
  key,
  frame: 1,
  captured: 0,
  spent: 0,
  damage: null,
  data: Uint8Array.from(key ? sps : [0, 0, 0, 1, 0x41, 1, 2, 3, 4, 5, 6]),
});

function player() {
  const seen = { decoded: [] as number[], lost: [] as number[], asked: 0, failed: "" };
  const it = new VideoPlayer({
    decoded: (_picture, index) => seen.decoded.push(index),
    lost: (indexes) => seen.lost.push(...indexes),
    keyFrameWanted: () => (seen.asked += 1),
    failed: (why) => (seen.failed = why),
  });
  return { seen, it };
}

describe("decoding", () => {
  beforeEach(() => {
    vi.useFakeTimers();
    FakeDecoder.made.length = 0;
    vi.stubGlobal("VideoDecoder", FakeDecoder);
    vi.stubGlobal("EncodedVideoChunk", function chunk(init: object) {
      return init;
    });
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it("begins with a key frame, and asks for one now and then", () => {
    const { seen, it } = player();
    it.push(video(false), 0);
    it.push(video(false), 1);
    expect(seen).toMatchObject({ asked: 1, lost: [0, 1] });
    vi.advanceTimersByTime(ASK_EVERY_MS);
    it.push(video(false), 2);
    expect(seen.asked).toBe(2);
    it.push(video(true), 3);
    it.push(video(false), 4);
    expect(FakeDecoder.last.config).toMatchObject({ codec: "avc1.42c028", optimizeForLatency: true });
    expect(FakeDecoder.last.chunks.map((chunk) => chunk.type)).toEqual(["key", "delta"]);
  });

  it("tells pictures by their number, and says which were swallowed", () => {
    const { seen, it } = player();
    for (let index = 0; index < 4; index += 1) it.push(video(index === 0), index);
    FakeDecoder.last.picture(0);
    FakeDecoder.last.picture(30_000);
    expect(seen).toMatchObject({ decoded: [0, 3], lost: [1, 2], asked: 1 });
  });

  it("is replaced after a failure, and what was inside is lost", () => {
    const { seen, it } = player();
    it.push(video(true), 0);
    FakeDecoder.last.fail();
    expect(seen).toMatchObject({ lost: [0], asked: 1 });
    it.push(video(true), 1);
    expect(FakeDecoder.made).toHaveLength(2);
    FakeDecoder.last.picture(10_000);
    expect(seen.decoded).toEqual([1]);
  });

  it("is given up after several failures without a picture", () => {
    const { seen, it } = player();
    for (let index = 0; index < MAX_FAILURES; index += 1) {
      it.push(video(true), index);
      FakeDecoder.last.fail();
    }
    expect(seen.failed).toBe("no");
    it.push(video(true), 9);
    expect(FakeDecoder.made).toHaveLength(MAX_FAILURES);
    it.revive();
    it.push(video(true), 10);
    expect(FakeDecoder.made).toHaveLength(MAX_FAILURES + 1);
  });

  it("that keeps a picture back is emptied, and replaced by software", async () => {
    const { seen, it } = player();
    it.push(video(true), 0);
    await vi.advanceTimersByTimeAsync(HELD_BACK_MS + 1);
    expect(FakeDecoder.last.flushed).toBe(1);
    expect(seen).toMatchObject({ decoded: [0], asked: 1 });
    it.push(video(true), 1);
    expect(FakeDecoder.last.config?.hardwareAcceleration).toBe("prefer-software");
  });

  it("late pictures of an old decoder are closed", () => {
    const { seen, it } = player();
    it.push(video(true), 0);
    const old = FakeDecoder.last;
    it.restart();
    old.picture(0);
    expect(seen).toMatchObject({ decoded: [], lost: [0] });
  });
});
