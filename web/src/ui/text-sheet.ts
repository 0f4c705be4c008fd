/** The terminal's text as plain text, to select and copy where a terminal's own selection is awkward. */

import { LitElement, css, html } from "lit";
import { customElement, query, state } from "lit/decorators.js";

import { copyText } from "../terminal/clipboard";
import { icon } from "./icons";
import { base, buttons, dialogs } from "./styles/shared";
import { notify } from "./toasts";

@customElement("es-text-sheet")
export class TextSheet extends LitElement {
  @state() private text = "";
  @query("dialog") private dialog!: HTMLDialogElement;

  static override styles = [
    base,
    buttons,
    dialogs,
    css`
      dialog {
        width: min(900px, calc(100vw - 24px));
      }
      pre {
        margin: 0;
        font: 12.5px/1.5 var(--mono);
        white-space: pre-wrap;
        overflow-wrap: anywhere;
        user-select: text;
        -webkit-user-select: text;
      }
    `,
  ];

  async show(text: string): Promise<void> {
    this.text = text;
    await this.updateComplete;
    this.dialog.showModal();
    const body = this.dialog.querySelector(".body");
    if (body) body.scrollTop = body.scrollHeight;
  }

  private async copy(): Promise<void> {
    notify({ text: (await copyText(this.text)) ? "Copied" : "The browser did not allow copying." });
  }

  override render() {
    return html`<dialog aria-labelledby="title">
      <header>
        <h2 id="title">Terminal text</h2>
        <button class="outlined" @click=${this.copy}>Copy all</button>
        <button class="square" aria-label="Close" @click=${() => this.dialog.close()}>${icon("close")}</button>
      </header>
      <div class="body" tabindex="0"><pre>${this.text}</pre></div>
    </dialog>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-text-sheet": TextSheet;
  }
}
