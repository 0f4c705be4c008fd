/** Takes files that are dropped on what it lies over: a session's terminal and desktop. */

import { LitElement, css, html } from "lit";
import { customElement, property, state } from "lit/decorators.js";

import { type Uploads, filesIn } from "../../files/uploads";
import { icon } from "../icons";
import { base } from "../styles/shared";
import { notify } from "../toasts";
import "./transfers";

/** A drag that ends outside of the window says nothing. */
const LEFT_MS = 400;

@customElement("es-drop-zone")
export class DropZone extends LitElement {
  @property({ attribute: false }) uploads: Uploads | null = null;
  /** Why nothing can be dropped; empty: it can. */
  @property() obstacle = "";
  @state() private over = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private target: HTMLElement | null = null;

  static override styles = [
    base,
    css`
      :host {
        position: absolute;
        inset: 0;
        z-index: 6;
        pointer-events: none;
      }
      .veil {
        position: absolute;
        inset: 8px;
        display: grid;
        place-content: center;
        justify-items: center;
        gap: 10px;
        border: 2px dashed var(--accent);
        border-radius: var(--radius-large);
        background: color-mix(in srgb, var(--bg) 84%, transparent);
        color: var(--text);
        font-weight: 600;
        text-align: center;
        padding: 16px;
      }
      .veil.not {
        border-color: var(--bad);
      }
      .veil .icon {
        width: 28px;
        height: 28px;
        color: var(--accent);
      }
      .veil.not .icon {
        color: var(--bad);
      }
      .hint {
        font-weight: 400;
        font-size: 13px;
        color: var(--text-2);
      }
      es-transfers {
        position: absolute;
        right: 14px;
        bottom: 14px;
        width: min(360px, calc(100% - 28px));
        max-height: calc(100% - 28px);
        overflow: auto;
        pointer-events: auto;
      }
    `,
  ];

  override connectedCallback(): void {
    super.connectedCallback();
    this.target = this.parentElement;
    this.target?.addEventListener("dragenter", this.dragged);
    this.target?.addEventListener("dragover", this.dragged);
    this.target?.addEventListener("drop", this.dropped);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearTimeout(this.timer);
    this.target?.removeEventListener("dragenter", this.dragged);
    this.target?.removeEventListener("dragover", this.dragged);
    this.target?.removeEventListener("drop", this.dropped);
  }

  private readonly dragged = (event: DragEvent): void => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = this.obstacle ? "none" : "copy";
    this.over = true;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => (this.over = false), LEFT_MS);
  };

  private readonly dropped = (event: DragEvent): void => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    // Else the browser would show the file in place of the page.
    event.preventDefault();
    event.stopPropagation();
    clearTimeout(this.timer);
    this.over = false;
    if (this.obstacle || !this.uploads) {
      notify({ key: "files", text: this.obstacle || "Nothing can be sent here now." });
      return;
    }
    const { files, folders } = filesIn(event.dataTransfer);
    const left = this.uploads.add(files);
    if (folders > 0) notify({ key: "folders", text: "Folders cannot be sent.", detail: "Make an archive of it and drop that." });
    if (left > 0) notify({ key: "files", text: `${left} files were left out: too many at once.`, detail: "Send an archive instead." });
  };

  override render() {
    return html`${this.over
        ? html`<div class="veil ${this.obstacle ? "not" : ""}">
            ${icon("up")}
            <div>${this.obstacle || "Drop to send to the session"}</div>
            ${this.obstacle ? "" : html`<div class="hint">The agent finds it in EARTHSHINE_FILES</div>`}
          </div>`
        : ""}
      <es-transfers .uploads=${this.uploads}></es-transfers>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-drop-zone": DropZone;
  }
}
