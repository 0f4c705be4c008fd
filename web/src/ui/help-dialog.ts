/** All keys on one card. */

import { LitElement, css, html } from "lit";
import { customElement, query } from "lit/decorators.js";

import { icon } from "./icons";
import { shareKey } from "./session-shortcuts";
import { base, buttons, dialogs } from "./styles/shared";

const mac = /Mac|iPhone|iPad/.test(navigator.platform);
const main = mac ? "⌘" : "Ctrl";

const groups: readonly (readonly [string, readonly (readonly [string, string])[]])[] = [
  [
    "Everywhere",
    [
      ["New session", "N"],
      ["Search and commands", `${main} K`],
      ["Sessions, runners, settings", "G then S, R, E"],
      ["Account", "G then A"],
      ["People, audit log", "G then P, L"],
      ["Show or hide the sidebar", `${main} B`],
      ["These shortcuts", "?"],
    ],
  ],
  [
    "List of sessions",
    [
      ["Next, previous", "J, K"],
      ["Open", "Enter"],
      ["Search", "/"],
    ],
  ],
  [
    "In the terminal",
    [
      ["Between terminal and prompt", "F6"],
      ["Find", `${main} F`],
      ["Share", shareKey],
      ["Copy the selection", mac ? "⌘ C" : "Ctrl Shift C"],
      ["Paste", mac ? "⌘ V" : "Ctrl Shift V"],
      ["Search and commands", mac ? "⌘ K" : "Ctrl Shift K"],
      ["Select while the agent uses the mouse", mac ? "Option drag" : "Shift drag"],
    ],
  ],
  [
    "On the desktop",
    [
      ["Terminal, desktop, both", "Ctrl F6"],
      ["Full screen", "Ctrl Alt Enter"],
    ],
  ],
  [
    "Prompt",
    [
      ["Send", "Enter"],
      ["New line", "Shift Enter"],
      ["Earlier prompts", "↑ at the start"],
    ],
  ],
];

@customElement("es-help-dialog")
export class HelpDialog extends LitElement {
  @query("dialog") private dialog!: HTMLDialogElement;

  static override styles = [
    base,
    buttons,
    dialogs,
    css`
      dialog {
        width: 720px;
      }
      .body {
        columns: 2;
        column-gap: 36px;
      }
      section {
        break-inside: avoid;
        padding-bottom: 14px;
      }
      h3 {
        font-size: 12.5px;
        color: var(--text-3);
        font-weight: 600;
        padding: 4px 0;
      }
      div.key {
        display: flex;
        justify-content: space-between;
        gap: 12px;
        padding: 5px 0;
        font-size: 13.5px;
      }
      @media (max-width: 760px) {
        .body {
          columns: 1;
        }
      }
    `,
  ];

  get open(): boolean {
    return this.dialog?.open ?? false;
  }

  show(): void {
    if (!this.open) this.dialog.showModal();
  }

  override render() {
    return html`<dialog aria-labelledby="title">
      <header>
        <h2 id="title">Keyboard shortcuts</h2>
        <button class="square" aria-label="Close" @click=${() => this.dialog.close()}>${icon("close")}</button>
      </header>
      <div class="body">
        ${groups.map(
          ([name, keys]) => html`<section>
            <h3>${name}</h3>
            ${keys.map(([what, key]) => html`<div class="key"><span>${what}</span><kbd>${key}</kbd></div>`)}
          </section>`,
        )}
      </div>
    </dialog>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-help-dialog": HelpDialog;
  }
}
