/** What failed and what to do; where the server wants a pause, how long it still is. */

import { LitElement, type PropertyValues, css, html, nothing } from "lit";
import { customElement, property } from "lit/decorators.js";

import type { Problem } from "../api/problem";
import { duration } from "./format";
import { marked } from "./marked";
import { base } from "./styles/shared";

@customElement("es-problem")
export class ProblemNote extends LitElement {
  @property({ attribute: false }) problem: Problem | null = null;
  /** Comes before the server's words. */
  @property() lead = "";
  private timer: ReturnType<typeof setInterval> | undefined;

  static override styles = [
    base,
    css`
      :host {
        display: block;
        font-size: 13px;
        overflow-wrap: anywhere;
      }
      [role="alert"] {
        color: var(--bad);
      }
      .wait {
        color: var(--text-2);
        margin-top: 2px;
      }
    `,
  ];

  override updated(changed: PropertyValues<this>): void {
    if (!changed.has("problem")) return;
    clearInterval(this.timer);
    if (!this.problem?.waitMs()) return;
    this.timer = setInterval(() => {
      this.requestUpdate();
      if (this.problem?.waitMs()) return;
      clearInterval(this.timer);
      this.dispatchEvent(new Event("waited"));
    }, 250);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.timer);
  }

  override render() {
    const { problem } = this;
    if (!problem) return nothing;
    const left = problem.waitMs();
    return html`<div role="alert">${marked([this.lead, problem.message, problem.remedy].filter(Boolean).join(" "))}</div>
      ${left > 0
        ? html`<div class="wait" role="timer">You can try again in ${duration(Math.ceil(left / 1000) * 1000)}.</div>`
        : problem.retryAt !== null
          ? html`<div class="wait">You can try again now.</div>`
          : nothing}`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-problem": ProblemNote;
  }
}
