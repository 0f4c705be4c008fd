/** In place of a session that is not there (yet). */

import { LitElement, css, html } from "lit";
import { customElement, property } from "lit/decorators.js";

import type { Status } from "../feed/link";
import { base, buttons } from "./styles/shared";

@customElement("es-session-missing")
export class SessionMissing extends LitElement {
  @property({ attribute: false }) status: Status | null = null;

  static override styles = [
    base,
    buttons,
    css`
      :host {
        grid-column: 1 / -1;
        grid-row: 1 / -1;
        display: grid;
        place-content: center;
        justify-items: center;
        gap: 8px;
        padding: 24px;
        text-align: center;
        color: var(--text-2);
      }
      .actions {
        display: flex;
        gap: 8px;
        margin-top: 12px;
      }
    `,
  ];

  override render() {
    const { status } = this;
    if (!status?.end) {
      return html`<p role="status">${status?.state === "waiting" ? `Not connected: ${status.why}. Trying again.` : "Opening the session…"}</p>`;
    }
    return html`<h1>${status.end.why}</h1>
      <p>${status.end.remedy}</p>
      <div class="actions">
        <a class="button outlined" href="/">All sessions</a>
        <button @click=${() => this.dispatchEvent(new Event("retry"))}>Try again</button>
      </div>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-session-missing": SessionMissing;
  }
}
