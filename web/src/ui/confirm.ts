/** Asks before something that cannot be undone. */

import { LitElement, css, html } from "lit";
import { customElement, query, state } from "lit/decorators.js";

import { base, buttons, dialogs } from "./styles/shared";

export interface Question {
  readonly title: string;
  readonly text: string;
  readonly yes: string;
}

@customElement("es-confirm")
export class Confirm extends LitElement {
  @state() private question: Question | null = null;
  @query("dialog") private dialog!: HTMLDialogElement;
  private answer: (yes: boolean) => void = () => {};

  static override styles = [
    base,
    buttons,
    dialogs,
    css`
      dialog {
        width: 400px;
      }
      p {
        color: var(--text-2);
      }
    `,
  ];

  async ask(question: Question): Promise<boolean> {
    this.answer(false);
    this.question = question;
    await this.updateComplete;
    this.dialog.returnValue = "";
    this.dialog.showModal();
    return new Promise((resolve) => {
      this.answer = resolve;
    });
  }

  override render() {
    return html`<dialog aria-labelledby="title" @close=${() => this.answer(this.dialog.returnValue === "yes")}>
      <form method="dialog">
        <header><h2 id="title">${this.question?.title}</h2></header>
        <div class="body"><p>${this.question?.text}</p></div>
        <footer>
          <button value="" autofocus>Cancel</button>
          <button class="danger filled" value="yes">${this.question?.yes}</button>
        </footer>
      </form>
    </dialog>`;
  }
}

export function confirm(question: Question): Promise<boolean> {
  return document.querySelector("es-confirm")?.ask(question) ?? Promise.resolve(false);
}

declare global {
  interface HTMLElementTagNameMap {
    "es-confirm": Confirm;
  }
}
