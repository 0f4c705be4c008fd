import { describe, expect, it } from "vitest";

import { Pace } from "../../src/desktop/pace";

describe("drawing", () => {
  function start() {
    const frames: (() => void)[] = [];
    let drawn = 0;
    const pace = new Pace(
      () => (drawn += 1),
      (run) => frames.push(run),
    );
    return { pace, drawn: () => drawn, frame: () => frames.splice(0).forEach((run) => run()) };
  }

  it("does not wait for a frame", () => {
    const { pace, drawn, frame } = start();
    pace.want();
    expect(drawn()).toBe(1);
    frame();
    frame();
    expect(drawn()).toBe(1);
    pace.want();
    expect(drawn()).toBe(2);
  });

  it("happens once for each frame, however much there is", () => {
    const { pace, drawn, frame } = start();
    for (let count = 0; count < 10; count += 1) pace.want();
    expect(drawn()).toBe(1);
    frame();
    expect(drawn()).toBe(2);
    frame();
    expect(drawn()).toBe(2);
  });

  it("ends", () => {
    const { pace, drawn, frame } = start();
    pace.want();
    pace.want();
    pace.close();
    frame();
    expect(drawn()).toBe(1);
  });
});
