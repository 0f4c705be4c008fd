/** What a person does to a desktop, whatever line carries it there. */

import { inputCodeOf } from "./keysyms";
import { encode } from "./messages";

/** Buttons: 1 left, 2 middle, 4 right, 8 back, 16 forward. Places are pixels of the desktop. */
export interface DesktopInput {
  /** An X11 keysym, and the `KeyboardEvent.code` of the key; 0 and "" where unknown. */
  key(down: boolean, keysym: number, code: string): void;
  /** From an input method or an on-screen keyboard. */
  text(typed: string): void;
  pointer(x: number, y: number, buttons: number): void;
  /** By a distance, while the mouse is captured. */
  pointerBy(dx: number, dy: number, buttons: number): void;
  /** In 120ths of a notch. */
  wheel(dx: number, dy: number): void;
  /** The window lost the focus: nothing is down any more. */
  releaseAll(): void;
}

/** Input as messages of the viewer protocol. */
export class NativeInput implements DesktopInput {
  constructor(private readonly send: (message: Uint8Array<ArrayBuffer>) => unknown) {}

  key(down: boolean, keysym: number, code: string): void {
    this.send(encode.key(down, keysym, inputCodeOf(code)));
  }

  text(typed: string): void {
    for (const message of encode.text(typed)) this.send(message);
  }

  pointer(x: number, y: number, buttons: number): void {
    this.send(encode.pointer(x, y, buttons));
  }

  pointerBy(dx: number, dy: number, buttons: number): void {
    this.send(encode.pointerBy(dx, dy, buttons));
  }

  wheel(dx: number, dy: number): void {
    this.send(encode.wheel(dx, dy));
  }

  releaseAll(): void {
    this.send(encode.releaseAll());
  }
}
