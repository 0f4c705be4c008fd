/** Keys that a phone's keyboard lacks. Pressing one leaves the keyboard open. */

import { LitElement, css, html } from "lit";
import { customElement, property } from "lit/decorators.js";

import { type ExtraKey, extraKeys } from "../terminal/keys";
import { base, buttons } from "./styles/shared";

const labels: Partial<Record<ExtraKey, string>> = { Up: "↑", Down: "↓", Left: "←", Right: "→", "Ctrl-C": "^C" };

@customElement("es-key-row")
export class KeyRow extends LitElement {
  @property({ type: Boolean }) ctrlArmed = false;

  static override styles = [
    base,
    buttons,
    css`
      :host {
        display: flex;
        gap: 4px;
        padding: 6px 8px 0;
        overflow-x: auto;
        scrollbar-width: none;
        background: var(--bg);
        border-top: 1px solid var(--line);
      }
      button {
        flex: 1 0 34px;
        height: 34px;
        padding: 0 6px;
        font: 500 13px/1 var(--mono);
        background: var(--surface);
        border-color: var(--line);
      }
    `,
  ];

  override render() {
    return html`${extraKeys.map(
      (key) => html`<button
        type="button"
        tabindex="-1"
        aria-label=${key}
        aria-pressed=${key === "Ctrl" ? this.ctrlArmed : "false"}
        @pointerdown=${(event: Event) => event.preventDefault()}
        @click=${() => this.dispatchEvent(new CustomEvent<ExtraKey>("press", { detail: key }))}
      >
        ${labels[key] ?? key}
      </button>`,
    )}`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-key-row": KeyRow;
  }
}
