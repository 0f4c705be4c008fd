/**
 * Fingers as a mouse. Direct: the pointer is where the finger is. Trackpad: fingers move it from
 * where it was. In both, two fingers scroll, a long press is the right button, spreading fingers zoom.
 *
 * A table of what fingers are up to; times are arguments, so that tests can play them.
 */

export type TouchMode = "direct" | "trackpad";

export interface TouchHooks {
  /** Pointer to a place on the page. */
  place(x: number, y: number, buttons: number): void;
  /** Pointer by a distance on the page. */
  by(dx: number, dy: number, buttons: number): void;
  /** In 120ths of a notch. */
  wheel(dx: number, dy: number): void;
  /** The view larger or smaller by a factor, around a place on the page. */
  zoom(factor: number, x: number, y: number): void;
  /** A right click came of a long press: the phone may say so. */
  felt(): void;
}

/** A finger that moved less is still. */
export const SLOP = 10;
export const LONG_PRESS_MS = 500;
/** A second tap this soon begins a drag, on the trackpad. */
export const TAP_AGAIN_MS = 300;
/** CSS pixels that two fingers move for one notch of the wheel. */
const PIXELS_PER_NOTCH = 40;
const NOTCH = 120;
/** Fingers' distance must change by this share before it is a zoom and no scrolling. */
const ZOOM_FROM = 0.15;
const LEFT = 1;
const RIGHT = 4;
const MAX_FINGERS = 5;

interface Finger {
  readonly startX: number;
  readonly startY: number;
  x: number;
  y: number;
}

/**
 * `resting`: one finger that has not moved. `dragging`: one that has, with the left button down.
 * `moving`: one that moves the pointer of a trackpad. `two`: two that have not decided yet.
 * `done`: nothing more until all fingers are up.
 */
type State = "none" | "resting" | "dragging" | "moving" | "two" | "scrolling" | "zooming" | "done";

export class TouchInput {
  mode: TouchMode = "direct";
  private state: State = "none";
  private readonly fingers = new Map<number, Finger>();
  private downAt = 0;
  private tappedAt = -Infinity;
  private spread = 0;
  private centre = { x: 0, y: 0 };
  private restX = 0;
  private restY = 0;

  constructor(private readonly hooks: TouchHooks) {}

  /** When `tick` should be called next, in ms from `now`; `null`: not at all. */
  due(now: number): number | null {
    return this.state === "resting" ? Math.max(0, this.downAt + LONG_PRESS_MS - now) : null;
  }

  down(id: number, x: number, y: number, now: number): void {
    if (this.fingers.size >= MAX_FINGERS) return;
    this.fingers.set(id, { startX: x, startY: y, x, y });
    if (this.fingers.size === 1) {
      this.state = "resting";
      this.downAt = now;
      if (this.mode === "direct") this.hooks.place(x, y, 0);
      return;
    }
    if (this.state === "dragging") this.release();
    if (this.fingers.size === 2 && this.state !== "done") {
      this.state = "two";
      this.downAt = now;
      this.remember();
      this.restX = this.restY = 0;
    } else {
      this.state = "done";
    }
  }

  move(id: number, x: number, y: number, now: number): void {
    const finger = this.fingers.get(id);
    if (!finger) return;
    const dx = x - finger.x;
    const dy = y - finger.y;
    const far = Math.hypot(x - finger.startX, y - finger.startY) > SLOP;
    finger.x = x;
    finger.y = y;
    switch (this.state) {
      case "resting":
        if (far) this.begin(finger, now);
        break;
      case "dragging":
        if (this.mode === "direct") this.hooks.place(x, y, LEFT);
        else this.hooks.by(...faster(dx, dy), LEFT);
        break;
      case "moving":
        this.hooks.by(...faster(dx, dy), 0);
        break;
      case "two":
      case "scrolling":
      case "zooming":
        this.both();
        break;
      case "none":
      case "done":
        break;
    }
  }

  up(id: number, now: number): void {
    const finger = this.fingers.get(id);
    if (!finger) return;
    this.fingers.delete(id);
    if (this.state === "resting") this.tap(finger, now);
    else if (this.state === "dragging") this.release(finger);
    else if (this.state === "two" && this.mode === "trackpad" && now - this.downAt < LONG_PRESS_MS) this.click(finger, RIGHT);
    this.state = this.fingers.size === 0 ? "none" : "done";
  }

  cancel(): void {
    if (this.state === "dragging") this.release();
    this.fingers.clear();
    this.state = "none";
  }

  /** Time has passed. */
  tick(now: number): void {
    const [finger] = this.fingers.values();
    if (this.state !== "resting" || !finger || now - this.downAt < LONG_PRESS_MS) return;
    this.state = "done";
    this.hooks.felt();
    this.click(finger, RIGHT);
  }

  private begin(finger: Finger, now: number): void {
    if (this.mode === "direct") {
      this.state = "dragging";
      this.hooks.place(finger.startX, finger.startY, LEFT);
      this.hooks.place(finger.x, finger.y, LEFT);
      return;
    }
    this.state = now - this.tappedAt < TAP_AGAIN_MS + LONG_PRESS_MS && this.downAt - this.tappedAt < TAP_AGAIN_MS ? "dragging" : "moving";
    if (this.state === "dragging") this.hooks.by(0, 0, LEFT);
  }

  private tap(finger: Finger, now: number): void {
    this.tappedAt = now;
    this.click(finger, LEFT);
  }

  private click(finger: Finger, button: number): void {
    if (this.mode === "direct") {
      this.hooks.place(finger.startX, finger.startY, button);
      this.hooks.place(finger.startX, finger.startY, 0);
    } else {
      this.hooks.by(0, 0, button);
      this.hooks.by(0, 0, 0);
    }
  }

  private release(finger: Finger | undefined = [...this.fingers.values()][0]): void {
    if (this.mode === "direct" && finger) this.hooks.place(finger.x, finger.y, 0);
    else this.hooks.by(0, 0, 0);
  }

  private remember(): void {
    const [a, b] = [...this.fingers.values()];
    if (!a || !b) return;
    this.spread = Math.max(1, Math.hypot(a.x - b.x, a.y - b.y));
    this.centre = { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
  }

  private both(): void {
    const [a, b] = [...this.fingers.values()];
    if (!a || !b) return;
    const spread = Math.max(1, Math.hypot(a.x - b.x, a.y - b.y));
    const centre = { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
    const factor = spread / this.spread;
    if (this.state === "two") {
      if (Math.abs(factor - 1) > ZOOM_FROM) this.state = "zooming";
      else if (Math.hypot(centre.x - this.centre.x, centre.y - this.centre.y) > SLOP) this.state = "scrolling";
      else return;
    }
    if (this.state === "zooming") this.hooks.zoom(factor, centre.x, centre.y);
    else this.scroll(centre.x - this.centre.x, centre.y - this.centre.y);
    this.spread = spread;
    this.centre = centre;
  }

  /** What is on the screen goes with the fingers: the wheel turns the other way. */
  private scroll(dx: number, dy: number): void {
    this.restX -= (dx / PIXELS_PER_NOTCH) * NOTCH;
    this.restY -= (dy / PIXELS_PER_NOTCH) * NOTCH;
    const whole = { x: Math.trunc(this.restX), y: Math.trunc(this.restY) };
    this.restX -= whole.x;
    this.restY -= whole.y;
    if (whole.x !== 0 || whole.y !== 0) this.hooks.wheel(whole.x, whole.y);
  }
}

/** A trackpad's pointer goes further when the finger is quick. */
function faster(dx: number, dy: number): [number, number] {
  const factor = 1 + Math.min(2, Math.hypot(dx, dy) / 12);
  return [dx * factor, dy * factor];
}
