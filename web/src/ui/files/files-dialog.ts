/** A session's files: what is there, to fetch; a button to send some, for fingers too. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";

import { files } from "../../api/files";
import type { FileList } from "../../api/types";
import type { Uploads } from "../../files/uploads";
import { Loading } from "../../store/loading";
import "../copy-line";
import { ago, size } from "../format";
import { icon } from "../icons";
import "../problem-note";
import { rows } from "../styles/page";
import { base, buttons, dialogs } from "../styles/shared";
import { notify } from "../toasts";
import "./transfers";

/** While it is open: agents make files too. */
const REFRESH_MS = 5_000;

@customElement("es-files-dialog")
export class FilesDialog extends LitElement {
  @state() private uploads: Uploads | null = null;
  /** Why nothing can be sent now; empty: it can. */
  @property() obstacle = "";
  @query("dialog") private dialog!: HTMLDialogElement;
  @query("input[type=file]") private chooser!: HTMLInputElement;
  private readonly list = new Loading(this, () => files.list(this.uploads?.sessionId ?? ""), false);
  private timer: ReturnType<typeof setInterval> | undefined;
  private readonly reload = (): void => void this.list.reload();

  static override styles = [
    base,
    buttons,
    dialogs,
    rows,
    css`
      dialog {
        width: 640px;
      }
      .row .button.square {
        flex: none;
      }
      .send {
        display: flex;
        align-items: center;
        gap: 12px;
        padding: 4px 0 12px;
      }
      .send .hint {
        flex: 1;
      }
      es-transfers {
        margin-bottom: 12px;
      }
      .folder {
        padding-top: 12px;
        border-top: 1px solid var(--line);
        display: grid;
        gap: 6px;
      }
      code {
        font-family: var(--mono);
        font-size: 12px;
        overflow-wrap: anywhere;
        color: var(--text-2);
      }
      .empty {
        padding: 12px 0 18px;
        color: var(--text-2);
        font-size: 13.5px;
      }
      @media (max-width: 560px) {
        .send {
          flex-direction: column-reverse;
          align-items: stretch;
        }
        .row {
          flex-wrap: nowrap;
        }
      }
    `,
  ];

  show(uploads: Uploads): void {
    if (this.dialog.open) return;
    if (uploads !== this.uploads) {
      this.list.forget();
      this.uploads?.removeEventListener("stored", this.reload);
      uploads.addEventListener("stored", this.reload);
    }
    this.uploads = uploads;
    this.dialog.showModal();
    this.reload();
    this.timer = setInterval(this.reload, REFRESH_MS);
  }

  /** Straight to the browser's own way to choose files. */
  choose(): void {
    this.chooser.click();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.timer);
    this.uploads?.removeEventListener("stored", this.reload);
  }

  private readonly chosen = (): void => {
    const left = this.uploads?.add(this.chooser.files ?? []) ?? 0;
    this.chooser.value = "";
    if (left > 0) notify({ key: "files", text: `${left} files were left out: too many at once.`, detail: "Send an archive instead." });
  };

  private renderList(list: FileList) {
    const id = this.uploads?.sessionId ?? "";
    return html`${list.files.length === 0
        ? html`<p class="empty">Nothing is here yet. What you send, and what the agent puts into its folder, shows here.</p>`
        : list.files.map(
            (file) => html`<div class="row">
              <div>
                <div class="name">${file.name}</div>
                <div class="hint">${size(file.size)} · ${ago(file.modifiedAt)}</div>
              </div>
              <a class="button square" href=${files.address(id, file.name)} download=${file.name} aria-label="Download ${file.name}" title="Download">${icon("download")}</a>
            </div>`,
          )}
      ${list.unlisted > 0 ? html`<p class="hint">${list.unlisted} more that cannot be sent this way: folders, links, odd names.</p>` : nothing}
      <div class="folder">
        <p class="hint">The agent finds them in its variable <code>EARTHSHINE_FILES</code>, which is</p>
        <code>${list.folder}</code>
        <p class="hint">A file may have ${size(list.maxFile)}, all together ${size(list.maxTotal)}.</p>
      </div>`;
  }

  override render() {
    return html`<dialog aria-labelledby="title" @close=${() => clearInterval(this.timer)} @keydown=${(event: Event) => event.stopPropagation()}>
        <header>
          <h2 id="title">Files</h2>
          <button class="square" aria-label="Close" @click=${() => this.dialog.close()}>${icon("close")}</button>
        </header>
        <div class="body">
          <div class="send">
            <p class="hint">
              ${this.obstacle || (matchMedia("(pointer: fine)").matches ? "Drop files on the terminal or the desktop, or choose some." : "Send files from this device to the machine.")}
            </p>
            <button class="primary" ?disabled=${this.obstacle !== ""} @click=${() => this.choose()}>Send files…</button>
          </div>
          <es-transfers flat .uploads=${this.uploads}></es-transfers>
          ${this.uploads ? this.list.show((list) => this.renderList(list), "the list of files") : nothing}
        </div>
      </dialog>
      <input type="file" multiple hidden aria-label="Files to send" @change=${this.chosen} />`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-files-dialog": FilesDialog;
  }
}
