/** Mouse and keys for protocols that say states where ours says what happened. */

import type { Size } from "../scaling";

/** Where the mouse is and which of its buttons are down, from places and from distances. */
export class Mouse {
  x = 0;
  y = 0;
  buttons = 0;

  constructor(private readonly size: () => Size) {}

  to(x: number, y: number, buttons: number): void {
    const { width, height } = this.size();
    this.x = within(x, width);
    this.y = within(y, height);
    this.buttons = buttons;
  }

  by(dx: number, dy: number, buttons: number): void {
    this.to(this.x + dx, this.y + dy, buttons);
  }
}

function within(place: number, length: number): number {
  return Math.round(Math.min(Math.max(0, length - 1), Math.max(0, place)));
}

export const NOTCH = 120;
/** Most notches of one turn: a wheel that spins freely must not fill the line. */
const MAX_NOTCHES = 20;

/** Whole notches of a wheel, for protocols that know nothing finer. */
export class Notches {
  private restX = 0;
  private restY = 0;

  /** In 120ths; positive is down and to the right. */
  turn(dx: number, dy: number): { right: number; down: number } {
    this.restX += dx;
    this.restY += dy;
    const right = Math.trunc(this.restX / NOTCH);
    const down = Math.trunc(this.restY / NOTCH);
    this.restX -= right * NOTCH;
    this.restY -= down * NOTCH;
    const limited = (count: number): number => Math.min(MAX_NOTCHES, Math.max(-MAX_NOTCHES, count));
    return { right: limited(right), down: limited(down) };
  }
}

/** Keys that are down, to let go of them all. */
export class HeldKeys {
  private readonly held = new Map<string, { keysym: number; code: string }>();

  constructor(private readonly send: (down: boolean, keysym: number, code: string) => void) {}

  key(down: boolean, keysym: number, code: string): void {
    const id = `${keysym} ${code}`;
    if (down) this.held.set(id, { keysym, code });
    else this.held.delete(id);
    this.send(down, keysym, code);
  }

  releaseAll(): void {
    for (const { keysym, code } of this.held.values()) this.send(false, keysym, code);
    this.held.clear();
  }
}
