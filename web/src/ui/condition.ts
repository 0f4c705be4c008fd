/** What holds a working session up: a question, a full disk; and what to do. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, property } from "lit/decorators.js";

import type { Session } from "../api/types";
import { sentence } from "./format";
import { icon } from "./icons";
import { marked } from "./marked";
import { base } from "./styles/shared";

@customElement("es-condition")
export class Condition extends LitElement {
  @property({ attribute: false }) reason!: NonNullable<Session["reason"]>;

  static override styles = [
    base,
    css`
      :host {
        display: flex;
        align-items: flex-start;
        gap: 10px;
        padding: 8px 16px;
        border-top: 1px solid var(--line);
        color: var(--warn);
        background: var(--warn-soft);
        font-size: 13px;
      }
      .more {
        color: var(--text-2);
        overflow-wrap: anywhere;
      }
    `,
  ];

  override render() {
    const { detail, remedy } = this.reason;
    return html`${icon("warning")}
      <div role="status">
        ${sentence(detail)}${remedy ? html`<div class="more">${marked(sentence(remedy))}</div>` : nothing}
      </div>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-condition": Condition;
  }
}
