/**
 * The desktop on a canvas: frames, and exact pixels above them.
 *
 * Of a frame that says where it differs, only that is drawn: exact pixels elsewhere stay, and a
 * large screen on which little happens costs little. The canvas takes another size only together
 * with the first picture that has it: whatever breaks, the last picture stays.
 */

import type { Box } from "./messages";
import { intersection } from "./patches";

export class DesktopCanvas {
  private readonly context: CanvasRenderingContext2D;
  private scratch: CanvasRenderingContext2D | null = null;

  constructor(readonly element: HTMLCanvasElement) {
    this.context = twoDimensional(element, false);
  }

  get width(): number {
    return this.element.width;
  }

  get height(): number {
    return this.element.height;
  }

  /** Draw a picture. `damage`: where it differs from the one before; `null`: perhaps everywhere. */
  frame(picture: CanvasImageSource, width: number, height: number, damage: readonly Box[] | null): void {
    const resized = this.width !== width || this.height !== height;
    if (resized) {
      this.element.width = width;
      this.element.height = height;
    }
    if (resized || damage === null) {
      this.context.drawImage(picture, 0, 0, width, height);
      return;
    }
    const whole = { x: 0, y: 0, width, height };
    for (const box of damage) {
      const { x, y, width: w, height: h } = intersection(box, whole);
      if (w > 0 && h > 0) this.context.drawImage(picture, x, y, w, h, x, y, w, h);
    }
  }

  /** Draw exact pixels, but for the boxes in `cut`. */
  patch(picture: CanvasImageSource, box: Box, cut: readonly Box[]): void {
    if (cut.length === 0) {
      this.context.drawImage(picture, box.x, box.y);
      return;
    }
    const scratch = this.scratchOf(box);
    scratch.drawImage(picture, 0, 0);
    for (const hole of cut) {
      const inside = intersection(hole, box);
      scratch.clearRect(inside.x - box.x, inside.y - box.y, inside.width, inside.height);
    }
    this.context.drawImage(scratch.canvas, box.x, box.y);
  }

  /** The picture as a file; `null` before the first one. */
  file(): Promise<Blob | null> {
    return new Promise((resolve) => this.element.toBlob(resolve, "image/png"));
  }

  /** An empty canvas of a box's size. */
  private scratchOf(box: Box): CanvasRenderingContext2D {
    this.scratch ??= twoDimensional(document.createElement("canvas"), true);
    this.scratch.canvas.width = box.width;
    this.scratch.canvas.height = box.height;
    return this.scratch;
  }
}

function twoDimensional(canvas: HTMLCanvasElement, alpha: boolean): CanvasRenderingContext2D {
  const context = canvas.getContext("2d", { alpha });
  if (!context) throw new Error("this browser has no canvas");
  context.imageSmoothingEnabled = false;
  return context;
}
