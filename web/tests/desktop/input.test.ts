import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { MAX_BEHIND, CUSHION, Schedule } from "../../src/desktop/audio";
import { Wheel, buttonsOf } from "../../src/desktop/pointer";
import { LONG_PRESS_MS, TouchInput, type TouchMode } from "../../src/desktop/touch";

describe("the mouse", () => {
  it("has the protocol's buttons", () => {
    expect(buttonsOf({ buttons: 1 })).toBe(1);
    expect(buttonsOf({ buttons: 2 })).toBe(4);
    expect(buttonsOf({ buttons: 4 })).toBe(2);
    expect(buttonsOf({ buttons: 31 })).toBe(31);
  });
});

describe("the wheel", () => {
  it("counts notches of pixels and lines alike", () => {
    expect(new Wheel().turn({ deltaX: 0, deltaY: 100, deltaMode: 0 })).toEqual({ dx: 0, dy: 120 });
    expect(new Wheel().turn({ deltaX: 0, deltaY: -3, deltaMode: 1 })).toEqual({ dx: 0, dy: -120 });
  });

  it("loses nothing of a slow turn", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: -50, max: 50, noNaN: true }), { maxLength: 100 }), (deltas) => {
        const wheel = new Wheel();
        let sent = 0;
        for (const deltaY of deltas) sent += wheel.turn({ deltaX: 0, deltaY, deltaMode: 0 })?.dy ?? 0;
        const turned = deltas.reduce((sum, delta) => sum + delta, 0) * 1.2;
        expect(Math.abs(turned - sent)).toBeLessThan(1.001);
      }),
    );
  });
});

function fingers(mode: TouchMode = "direct") {
  const said: string[] = [];
  const touch = new TouchInput({
    place: (x, y, buttons) => said.push(`${x},${y} ${buttons}`),
    by: (dx, dy, buttons) => said.push(`by ${Math.round(dx)},${Math.round(dy)} ${buttons}`),
    wheel: (dx, dy) => said.push(`wheel ${dx},${dy}`),
    zoom: (factor) => said.push(`zoom ${factor.toFixed(1)}`),
    felt: () => said.push("felt"),
  });
  touch.mode = mode;
  return { said, touch };
}

describe("fingers that point", () => {
  it("tap", () => {
    const { said, touch } = fingers();
    touch.down(1, 10, 20, 0);
    touch.up(1, 80);
    expect(said).toEqual(["10,20 0", "10,20 1", "10,20 0"]);
  });

  it("drag", () => {
    const { said, touch } = fingers();
    touch.down(1, 10, 20, 0);
    touch.move(1, 12, 20, 10);
    touch.move(1, 40, 20, 20);
    touch.up(1, 80);
    expect(said).toEqual(["10,20 0", "10,20 1", "40,20 1", "40,20 0"]);
  });

  it("press long for the right button", () => {
    const { said, touch } = fingers();
    touch.down(1, 10, 20, 0);
    expect(touch.due(100)).toBe(LONG_PRESS_MS - 100);
    touch.tick(LONG_PRESS_MS);
    touch.up(1, LONG_PRESS_MS + 50);
    expect(said).toEqual(["10,20 0", "felt", "10,20 4", "10,20 0"]);
    expect(touch.due(0)).toBeNull();
  });

  it("scroll with two: what is shown goes with them", () => {
    const { said, touch } = fingers();
    touch.down(1, 100, 100, 0);
    touch.down(2, 150, 100, 10);
    for (let y = 100; y <= 180; y += 20) {
      touch.move(1, 100, y, y);
      touch.move(2, 150, y, y);
    }
    const turned = said.filter((word) => word.startsWith("wheel")).map((word) => Number(word.split(",")[1]));
    expect(turned.every((units) => units < 0)).toBe(true);
    expect(turned.reduce((sum, units) => sum + units, 0)).toBeLessThan(-150);
    expect(said.filter((word) => word.endsWith(" 1"))).toEqual([]);
  });

  it("spread to zoom", () => {
    const { said, touch } = fingers();
    touch.down(1, 100, 100, 0);
    touch.down(2, 150, 100, 10);
    touch.move(2, 250, 100, 20);
    expect(said.some((word) => word.startsWith("zoom"))).toBe(true);
    expect(said.some((word) => word.startsWith("wheel"))).toBe(false);
  });
});

describe("fingers on a trackpad", () => {
  it("move, tap, and drag after a tap", () => {
    const { said, touch } = fingers("trackpad");
    touch.down(1, 0, 0, 0);
    touch.move(1, 20, 0, 10);
    touch.move(1, 23, 0, 20);
    touch.up(1, 30);
    expect(said.at(-1)).toMatch(/^by \d+,0 0$/);
    said.length = 0;
    touch.down(1, 0, 0, 1000);
    touch.up(1, 1050);
    expect(said).toEqual(["by 0,0 1", "by 0,0 0"]);
    said.length = 0;
    touch.down(1, 0, 0, 1200);
    touch.move(1, 20, 0, 1250);
    touch.move(1, 25, 0, 1260);
    touch.up(1, 1300);
    expect(said[0]).toBe("by 0,0 1");
    expect(said.at(-1)).toBe("by 0,0 0");
  });

  it("tap with two for the right button", () => {
    const { said, touch } = fingers("trackpad");
    touch.down(1, 0, 0, 0);
    touch.down(2, 50, 0, 10);
    touch.up(2, 60);
    touch.up(1, 70);
    expect(said).toEqual(["by 0,0 4", "by 0,0 0"]);
  });
});

describe("fingers of any kind", () => {
  it("never leave a button down", () => {
    const act = fc.record({
      kind: fc.constantFrom("down", "move", "up", "tick", "cancel"),
      id: fc.nat(3),
      x: fc.nat(300),
      y: fc.nat(300),
      later: fc.nat(600),
    });
    fc.assert(
      fc.property(fc.constantFrom<TouchMode>("direct", "trackpad"), fc.array(act, { maxLength: 60 }), (mode, acts) => {
        const { said, touch } = fingers(mode);
        let now = 0;
        for (const { kind, id, x, y, later } of acts) {
          now += later;
          if (kind === "down") touch.down(id, x, y, now);
          else if (kind === "move") touch.move(id, x, y, now);
          else if (kind === "up") touch.up(id, now);
          else if (kind === "tick") touch.tick(now);
          else touch.cancel();
        }
        touch.cancel();
        const buttons = said.filter((word) => !/^(wheel|zoom|felt)/.test(word)).map((word) => Number(word.split(" ").at(-1)));
        expect(buttons.at(-1) ?? 0).toBe(0);
      }),
      { numRuns: 500 },
    );
  });
});

describe("sound", () => {
  it("plays one packet after the other, behind a cushion", () => {
    const schedule = new Schedule();
    expect(schedule.at(1, 0.02)).toBeCloseTo(1 + CUSHION);
    expect(schedule.at(1.01, 0.02)).toBeCloseTo(1.02 + CUSHION);
  });

  it("begins anew after a gap, and never lags behind for long", () => {
    const schedule = new Schedule();
    schedule.at(0, 0.02);
    expect(schedule.at(5, 0.02)).toBeCloseTo(5 + CUSHION);
    for (let at = 0; at < 100; at += 1) {
      const start = schedule.at(5, 0.02);
      if (start !== null) expect(start - 5).toBeLessThanOrEqual(MAX_BEHIND);
    }
    expect(schedule.at(5, 0.02)).toBeNull();
  });
});
