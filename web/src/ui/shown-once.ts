/** A secret that is shown this once: to copy, and then it is gone. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, property, query } from "lit/decorators.js";

import { Ticks } from "../store/controller";
import { duration } from "./format";
import { copy } from "./copy";
import { icon } from "./icons";
import { base, buttons, fields } from "./styles/shared";

@customElement("es-shown-once")
export class ShownOnce extends LitElement {
  @property() label = "";
  @property() value = "";
  /** What to know about it. */
  @property() note = "";
  /** When it stops working, as `Date.now()` would say it; 0 for never. */
  @property({ type: Number }) until = 0;
  @query("input") private field!: HTMLInputElement;

  constructor() {
    super();
    new Ticks(this, 1_000);
  }

  static override styles = [
    base,
    buttons,
    fields,
    css`
      :host {
        display: grid;
        gap: 8px;
        padding: 12px 14px;
        border: 1px solid color-mix(in srgb, var(--accent) 40%, var(--line));
        border-radius: var(--radius);
        background: var(--accent-soft);
      }
      .row {
        display: flex;
        gap: 8px;
      }
      .hint {
        color: var(--text-2);
      }
    `,
  ];

  override focus(): void {
    this.field?.focus();
  }

  override render() {
    const left = this.until ? Math.ceil((this.until - Date.now()) / 1000) * 1000 : 0;
    if (this.until && left <= 0) return html`<p class="hint">That has expired.</p>`;
    return html`<label for="value">${this.label}</label>
      <div class="row">
        <input
          id="value"
          class="mono"
          readonly
          spellcheck="false"
          .value=${this.value}
          @focus=${(event: Event) => (event.target as HTMLInputElement).select()}
        />
        <button class="outlined" @click=${() => void copy(this.value)}>${icon("copy")}Copy</button>
      </div>
      <p class="hint">${this.note}${left > 0 ? html` It works for another ${left >= 120_000 ? `${Math.ceil(left / 60_000)} minutes` : duration(left)}.` : nothing}</p>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-shown-once": ShownOnce;
  }
}
