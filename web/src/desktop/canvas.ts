/**
 * The desktop on a canvas: whole frames, and exact pixels above them.
 *
 * Exact pixels live on a layer of their own, so that they outlast frames that change something else.
 * The canvas takes another size only together with the first picture that has it: whatever breaks,
 * the last picture stays.
 */

import type { Box } from "./messages";
import { intersection } from "./patches";

export class DesktopCanvas {
  private readonly context: CanvasRenderingContext2D;
  private readonly layer: HTMLCanvasElement;
  private readonly exact: CanvasRenderingContext2D;
  private hasExact = false;

  constructor(readonly element: HTMLCanvasElement) {
    this.layer = document.createElement("canvas");
    this.context = twoDimensional(element, false);
    this.exact = twoDimensional(this.layer, true);
  }

  get width(): number {
    return this.element.width;
  }

  get height(): number {
    return this.element.height;
  }

  /** Draw a whole picture. `damage`: where it differs from the one before; `null`: perhaps everywhere. */
  frame(picture: CanvasImageSource, width: number, height: number, damage: readonly Box[] | null): void {
    if (this.width !== width || this.height !== height) {
      this.element.width = this.layer.width = width;
      this.element.height = this.layer.height = height;
      this.hasExact = false;
    } else if (damage === null) {
      this.exact.clearRect(0, 0, width, height);
      this.hasExact = false;
    } else {
      for (const box of damage) this.exact.clearRect(box.x, box.y, box.width, box.height);
    }
    this.context.drawImage(picture, 0, 0, width, height);
    if (this.hasExact) this.context.drawImage(this.layer, 0, 0);
  }

  /** Draw exact pixels, but for the boxes in `cut`. */
  patch(picture: CanvasImageSource, box: Box, cut: readonly Box[]): void {
    const { x, y, width, height } = box;
    this.exact.clearRect(x, y, width, height);
    this.exact.drawImage(picture, x, y);
    for (const hole of cut) {
      const inside = intersection(hole, box);
      this.exact.clearRect(inside.x, inside.y, inside.width, inside.height);
    }
    this.hasExact = true;
    this.context.drawImage(this.layer, x, y, width, height, x, y, width, height);
  }

  /** The picture as a file; `null` before the first one. */
  file(): Promise<Blob | null> {
    return new Promise((resolve) => this.element.toBlob(resolve, "image/png"));
  }
}

function twoDimensional(canvas: HTMLCanvasElement, alpha: boolean): CanvasRenderingContext2D {
  const context = canvas.getContext("2d", { alpha });
  if (!context) throw new Error("this browser has no canvas");
  context.imageSmoothingEnabled = false;
  return context;
}
