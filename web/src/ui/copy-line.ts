/** A line of text to copy, such as a command. */

import { LitElement, css, html } from "lit";
import { customElement, property } from "lit/decorators.js";

import { copy } from "./copy";
import { icon } from "./icons";
import { base, buttons } from "./styles/shared";

@customElement("es-copy-line")
export class CopyLine extends LitElement {
  @property() text = "";
  @property() label = "Copy";

  static override styles = [
    base,
    buttons,
    css`
      pre {
        margin: 0;
        display: flex;
        align-items: center;
        gap: 8px;
        padding: 4px 4px 4px 12px;
        border: 1px solid var(--line);
        border-radius: 8px;
        background: var(--sunken);
        font: 12.5px/1.5 var(--mono);
        color: var(--text);
      }
      code {
        flex: 1;
        min-width: 0;
        overflow-x: auto;
        scrollbar-width: thin;
        font: inherit;
        padding: 6px 0;
      }
    `,
  ];

  override render() {
    return html`<pre><code tabindex="0">${this.text}</code><button class="square" aria-label=${this.label} title="Copy" @click=${() => void copy(this.text)}>${icon("copy")}</button></pre>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-copy-line": CopyLine;
  }
}
