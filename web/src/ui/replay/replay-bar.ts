/** The head of the replay page. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, property } from "lit/decorators.js";

import { icon } from "../icons";
import { base, buttons } from "../styles/shared";

@customElement("es-replay-bar")
export class ReplayBar extends LitElement {
  @property() heading = "";
  /** Where the way back leads. */
  @property() back = "/";
  @property() date = "";
  @property({ type: Boolean }) recording = false;
  /** The oldest output was left out. */
  @property({ type: Boolean }) cut = false;

  static override styles = [
    base,
    buttons,
    css`
      :host {
        display: flex;
        align-items: center;
        gap: 10px;
        min-height: 52px;
        padding: 6px 16px 6px 8px;
        border-bottom: 1px solid var(--line);
        min-width: 0;
      }
      h1 {
        flex: 1;
        font-size: 14.5px;
      }
      .kind {
        color: var(--text-3);
        font-weight: 450;
      }
      .date,
      .hint {
        color: var(--text-3);
        font-size: 12.5px;
        white-space: nowrap;
      }
      .live {
        display: inline-flex;
        align-items: center;
        gap: 6px;
        color: var(--bad);
        font-size: 12.5px;
        font-weight: 600;
        white-space: nowrap;
      }
      .live i {
        width: 8px;
        height: 8px;
        border-radius: 50%;
        background: var(--bad);
      }
      @media (max-width: 760px) {
        .wide {
          display: none;
        }
      }
      @media (max-width: 1000px) and (max-height: 500px) {
        :host {
          min-height: 40px;
          padding: 0 8px 0 4px;
        }
      }
    `,
  ];

  override render() {
    return html`<a class="button square" href=${this.back} aria-label="Back to the session" title="Back to the session">${icon("back")}</a>
      <h1 class="ellipsis"><span class="kind">Replay ·</span> ${this.heading}</h1>
      ${this.cut ? html`<span class="hint wide">A long log: its oldest output is left out.</span>` : nothing}
      ${this.recording ? html`<span class="live" role="status"><i></i>Being recorded</span>` : nothing}
      <span class="date wide">${this.date}</span>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-replay-bar": ReplayBar;
  }
}
