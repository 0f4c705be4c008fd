/** Draws a component again when a source it shows has changed. */

import type { ReactiveController, ReactiveControllerHost } from "lit";

export class Watches implements ReactiveController {
  private readonly sources: EventTarget[];
  private readonly redraw = (): void => this.host.requestUpdate();

  constructor(
    private readonly host: ReactiveControllerHost,
    ...sources: EventTarget[]
  ) {
    this.sources = sources;
    host.addController(this);
  }

  hostConnected(): void {
    for (const source of this.sources) source.addEventListener("change", this.redraw);
  }

  hostDisconnected(): void {
    for (const source of this.sources) source.removeEventListener("change", this.redraw);
  }
}

/** Draws a component again as time passes, while the page is visible. */
export class Ticks implements ReactiveController {
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(
    private readonly host: ReactiveControllerHost,
    private readonly everyMs: number,
  ) {
    host.addController(this);
  }

  hostConnected(): void {
    this.timer = setInterval(() => {
      if (!document.hidden) this.host.requestUpdate();
    }, this.everyMs);
  }

  hostDisconnected(): void {
    clearInterval(this.timer);
  }
}
