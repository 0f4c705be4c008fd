/** Mouse, pen and wheel on the desktop: places, buttons, and movements of a locked pointer. */

import type { DesktopInput } from "./input";

/** The browser's buttons and the protocol's. */
const buttonBits: readonly (readonly [number, number])[] = [
  [1, 1],
  [4, 2],
  [2, 4],
  [8, 8],
  [16, 16],
];

export function buttonsOf(event: Pick<MouseEvent, "buttons">): number {
  return buttonBits.reduce((found, [browser, wire]) => (event.buttons & browser ? found | wire : found), 0);
}

/** Pixels and lines of one notch of a wheel, and the units that the protocol counts in. */
const NOTCH = 120;
const PIXELS_PER_NOTCH = 100;
const LINES_PER_NOTCH = 3;

/** Adds up what a wheel turned, in 120ths of a notch, without losing parts of them. */
export class Wheel {
  private restX = 0;
  private restY = 0;

  /** Whole units to send now; `null`: less than one. */
  turn(event: Pick<WheelEvent, "deltaX" | "deltaY" | "deltaMode">): { dx: number; dy: number } | null {
    const units = [NOTCH / PIXELS_PER_NOTCH, NOTCH / LINES_PER_NOTCH, NOTCH * 10][event.deltaMode] ?? 1;
    this.restX += event.deltaX * units;
    this.restY += event.deltaY * units;
    const dx = Math.trunc(this.restX);
    const dy = Math.trunc(this.restY);
    if (dx === 0 && dy === 0) return null;
    this.restX -= dx;
    this.restY -= dy;
    return { dx, dy };
  }
}

export interface PointerHooks {
  /** The desktop's pixel under a place on the page. */
  pixel(x: number, y: number): { x: number; y: number };
  /** Desktop pixels in one CSS pixel. */
  ratio(): number;
  allowed(): boolean;
  /** A button went down on the desktop. */
  pressed(): void;
  /** A finger: handled elsewhere. */
  finger(event: PointerEvent): void;
  moved(x: number, y: number): void;
  lockChanged(locked: boolean): void;
}

export class PointerInput {
  private readonly wheel = new Wheel();
  private readonly off = new AbortController();
  private down = 0;
  private restX = 0;
  private restY = 0;
  private lastSent = "";

  constructor(
    private readonly element: HTMLElement,
    private readonly input: Pick<DesktopInput, "pointer" | "pointerBy" | "wheel">,
    private readonly hooks: PointerHooks,
  ) {
    const { signal } = this.off;
    for (const name of ["pointerdown", "pointermove", "pointerup", "pointercancel"] as const) {
      element.addEventListener(name, (event) => this.handle(event), { signal });
    }
    element.addEventListener("wheel", (event) => this.turned(event), { signal, passive: false });
    element.addEventListener("contextmenu", (event) => event.preventDefault(), { signal });
    // Middle click scrolls or pastes in the page otherwise; back and forward would leave it.
    for (const name of ["mousedown", "mouseup", "auxclick"] as const) {
      element.addEventListener(name, (event) => event.button > 0 && event.preventDefault(), { signal });
    }
    document.addEventListener("pointerlockchange", () => hooks.lockChanged(this.locked), { signal });
  }

  get locked(): boolean {
    const root = this.element.getRootNode() as Document | ShadowRoot;
    return root.pointerLockElement === this.element;
  }

  /** Hand the mouse to the desktop entirely, for what turns with it; Escape gives it back. */
  async lock(): Promise<void> {
    await this.element.requestPointerLock();
  }

  /** No button is down any more; whoever is told so elsewhere. */
  forget(): void {
    this.down = 0;
    this.lastSent = "";
  }

  close(): void {
    if (this.locked) document.exitPointerLock();
    this.off.abort();
  }

  private handle(event: PointerEvent): void {
    if (event.pointerType === "touch") {
      this.hooks.finger(event);
      return;
    }
    if (event.type === "pointerdown") {
      event.preventDefault();
      this.hooks.pressed();
      this.element.setPointerCapture(event.pointerId);
    }
    if (!this.hooks.allowed()) return;
    const buttons = event.type === "pointercancel" ? 0 : buttonsOf(event);
    const before = this.down;
    this.down = buttons;
    if (this.locked) {
      this.moveBy(event, buttons, before);
      return;
    }
    // Between two events of a drawing hand there were more places.
    const passed = buttons !== 0 && buttons === before ? (event.getCoalescedEvents?.() ?? []) : [];
    for (const place of passed) this.place(place, buttons);
    this.place(event, buttons);
  }

  private place(event: MouseEvent, buttons: number): void {
    const { x, y } = this.hooks.pixel(event.clientX, event.clientY);
    const same = `${x} ${y} ${buttons}`;
    if (same === this.lastSent) return;
    this.lastSent = same;
    this.input.pointer(x, y, buttons);
    this.hooks.moved(x, y);
  }

  private moveBy(event: PointerEvent, buttons: number, before: number): void {
    const ratio = this.hooks.ratio();
    this.restX += event.movementX * ratio;
    this.restY += event.movementY * ratio;
    const dx = Math.trunc(this.restX);
    const dy = Math.trunc(this.restY);
    this.restX -= dx;
    this.restY -= dy;
    if (dx !== 0 || dy !== 0 || buttons !== before) this.input.pointerBy(dx, dy, buttons);
  }

  private turned(event: WheelEvent): void {
    event.preventDefault();
    if (!this.hooks.allowed()) return;
    const turned = this.wheel.turn(event);
    if (turned) this.input.wheel(turned.dx, turned.dy);
  }
}
