/** A session's state as a small sign: pulses while the agent prints. */

import { LitElement, css, html } from "lit";
import { customElement, property } from "lit/decorators.js";

import type { Tone } from "./status";
import { base } from "./styles/shared";

@customElement("es-status-dot")
export class StatusDot extends LitElement {
  @property({ reflect: true }) tone: Tone = "quiet";
  @property({ type: Boolean, reflect: true }) busy = false;

  static override styles = [
    base,
    css`
      :host {
        display: inline-block;
        position: relative;
        width: 8px;
        height: 8px;
        flex: none;
        color: var(--text-3);
      }
      :host([tone="ok"]),
      :host([tone="quiet"]) {
        color: var(--ok);
      }
      :host([tone="warn"]) {
        color: var(--warn);
      }
      :host([tone="bad"]) {
        color: var(--bad);
      }
      i {
        position: absolute;
        inset: 0;
        border-radius: 50%;
        background: currentColor;
      }
      /* Shape tells as well as colour: alive but quiet is a ring, over is a small dot. */
      :host([tone="quiet"]) i {
        background: none;
        border: 1.5px solid currentColor;
      }
      :host([tone="muted"]) i {
        inset: 1.5px;
        opacity: 0.75;
      }
      :host([tone="bad"]) i {
        border-radius: 2px;
        transform: rotate(45deg) scale(0.85);
      }
      :host([busy]) i::after {
        content: "";
        position: absolute;
        inset: 0;
        border-radius: 50%;
        background: currentColor;
        animation: pulse 1.6s ease-out infinite;
      }
      @keyframes pulse {
        from {
          transform: scale(1);
          opacity: 0.55;
        }
        to {
          transform: scale(2.6);
          opacity: 0;
        }
      }
    `,
  ];

  override render() {
    return html`<i></i>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-status-dot": StatusDot;
  }
}
