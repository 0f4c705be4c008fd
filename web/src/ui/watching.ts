/** In place of the prompt box, for people who may look and not type. */

import { LitElement, css, html } from "lit";
import { customElement, property } from "lit/decorators.js";

import type { SessionRole } from "../feed/messages";
import { icon } from "./icons";
import { watchingWords } from "./sharing/roles";
import { base } from "./styles/shared";

@customElement("es-watching")
export class Watching extends LitElement {
  @property() as: SessionRole = "viewer";
  @property() owner = "";

  static override styles = [
    base,
    css`
      :host {
        display: flex;
        align-items: center;
        gap: 10px;
        padding: 12px 16px calc(12px + env(safe-area-inset-bottom));
        border-top: 1px solid var(--line);
        background: var(--bg);
        color: var(--text-2);
        font-size: 13.5px;
      }
      svg.icon {
        color: var(--text-3);
      }
      .owner {
        color: var(--text-3);
      }
    `,
  ];

  override render() {
    return html`${icon("eye")}
      <div role="status">
        ${watchingWords[this.as === "approver" ? "approver" : "viewer"]}
        ${this.owner ? html`<span class="owner">${this.owner} can let you steer.</span>` : ""}
      </div>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-watching": Watching;
  }
}
