/** Something a component fetches when it appears: the value, or why there is none. */

import { type ReactiveController, type ReactiveControllerHost, type TemplateResult, html, nothing } from "lit";

import { type Problem, asProblem } from "../api/problem";

export class Loading<T> implements ReactiveController {
  value: T | null = null;
  problem: Problem | null = null;
  busy = false;
  /** Answers that come in the wrong order: only the newest counts. */
  private newest = 0;

  constructor(
    private readonly host: ReactiveControllerHost,
    private readonly load: () => Promise<T>,
    private readonly whenConnected = true,
  ) {
    host.addController(this);
  }

  hostConnected(): void {
    if (this.whenConnected) void this.reload();
  }

  async reload(): Promise<void> {
    this.newest += 1;
    const mine = this.newest;
    this.busy = true;
    this.host.requestUpdate();
    try {
      const value = await this.load();
      if (mine !== this.newest) return;
      this.value = value;
      this.problem = null;
    } catch (error) {
      if (mine !== this.newest) return;
      this.problem = asProblem(error);
    } finally {
      if (mine === this.newest) {
        this.busy = false;
        this.host.requestUpdate();
      }
    }
  }

  /** Something of another subject will be loaded: what was shown is no longer true. */
  forget(): void {
    this.newest += 1;
    this.value = null;
    this.problem = null;
    this.busy = false;
  }

  set(value: T): void {
    this.newest += 1;
    this.value = value;
    this.busy = false;
    this.host.requestUpdate();
  }

  /** What is there; on a failure also what failed, with a button to try again. */
  show(draw: (value: T) => unknown, what = "this"): TemplateResult {
    return html`${this.problem
      ? html`<div class="failed">
          <es-problem .problem=${this.problem} lead=${`Could not load ${what}.`}></es-problem>
          <button class="outlined" ?disabled=${this.busy} @click=${() => void this.reload()}>Try again</button>
        </div>`
      : nothing}
    ${this.value !== null ? draw(this.value) : this.busy ? html`<p class="hint waiting" role="status">Loading…</p>` : nothing}`;
  }
}
