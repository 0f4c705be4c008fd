/** A page that has nothing to show, and says why. */

import { LitElement, css, html } from "lit";
import { customElement, property } from "lit/decorators.js";

import { mark } from "./icons";
import { base } from "./styles/shared";

@customElement("es-notice")
export class NoticePage extends LitElement {
  @property() heading = "";
  @property() text = "";

  static override styles = [
    base,
    css`
      :host {
        display: grid;
        place-content: center;
        justify-items: center;
        gap: 10px;
        padding: 32px;
        text-align: center;
        color: var(--text-2);
      }
      h1 {
        color: var(--text);
        margin-top: 6px;
      }
    `,
  ];

  override render() {
    return html`${mark(44)}
      <h1>${this.heading}</h1>
      <p>${this.text}</p>
      <slot></slot>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-notice": NoticePage;
  }
}
