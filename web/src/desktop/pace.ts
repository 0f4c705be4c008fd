/**
 * When to draw: at once, so that the displayed frame that comes next has it; but only once for each.
 */

/** Calls back with the next displayed frame. */
export type NextFrame = (run: () => void) => void;

/** A page that nobody sees gets no animation frames, but its pictures must not pile up. */
const nextFrame: NextFrame = (run) => {
  if (document.hidden) setTimeout(run);
  else requestAnimationFrame(run);
};

export class Pace {
  private drawn = false;
  private wanted = false;
  private closed = false;

  constructor(
    private readonly draw: () => void,
    private readonly next: NextFrame = nextFrame,
  ) {}

  /** There is something to draw. */
  want(): void {
    if (this.closed) return;
    if (this.drawn) {
      this.wanted = true;
      return;
    }
    this.drawn = true;
    this.draw();
    this.next(() => {
      this.drawn = false;
      if (!this.wanted) return;
      this.wanted = false;
      this.want();
    });
  }

  close(): void {
    this.closed = true;
  }
}
