/** Files on their way, over the corner of the page they were dropped on. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, property } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";

import type { Upload, Uploads } from "../../files/uploads";
import { copyText } from "../../terminal/clipboard";
import { duration, size } from "../format";
import { icon } from "../icons";
import { base, buttons } from "../styles/shared";
import { notify } from "../toasts";

@customElement("es-transfers")
export class Transfers extends LitElement {
  @property({ attribute: false }) uploads: Uploads | null = null;
  private heard: Uploads | null = null;
  private readonly changed = (): void => this.requestUpdate();

  static override styles = [
    base,
    buttons,
    css`
      :host {
        display: block;
      }
      ul {
        list-style: none;
        margin: 0;
        padding: 0;
        display: grid;
        gap: 6px;
      }
      li {
        display: grid;
        grid-template-columns: minmax(0, 1fr) auto;
        align-items: center;
        gap: 2px 8px;
        padding: 8px 6px 8px 12px;
        border: 1px solid var(--line);
        border-radius: var(--radius);
        background: var(--raised);
        box-shadow: var(--shadow);
        font-size: 13px;
      }
      :host([flat]) li {
        box-shadow: none;
        background: var(--surface);
      }
      .name {
        font-weight: 550;
      }
      .more {
        grid-column: 1;
        color: var(--text-2);
        font-size: 12.5px;
        overflow-wrap: anywhere;
      }
      .failed .more {
        color: var(--bad);
      }
      .done .more {
        color: var(--ok);
      }
      progress {
        grid-column: 1 / -1;
        width: calc(100% - 6px);
        height: 4px;
        appearance: none;
        border: none;
        border-radius: 2px;
        overflow: hidden;
        background: var(--hover);
      }
      progress::-webkit-progress-bar {
        background: var(--hover);
      }
      progress::-webkit-progress-value {
        background: var(--accent);
      }
      progress::-moz-progress-bar {
        background: var(--accent);
      }
      .choices {
        grid-column: 1 / -1;
        display: flex;
        flex-wrap: wrap;
        gap: 6px;
        padding: 4px 0 2px;
      }
      .choices button {
        height: 28px;
        padding: 0 10px;
      }
      li > button.square {
        grid-row: 1 / span 2;
        grid-column: 2;
      }
      @media (pointer: coarse) {
        .choices button {
          height: 38px;
        }
      }
    `,
  ];

  override willUpdate(): void {
    if (this.heard === this.uploads) return;
    this.heard?.removeEventListener("change", this.changed);
    this.uploads?.addEventListener("change", this.changed);
    this.heard = this.uploads;
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.heard?.removeEventListener("change", this.changed);
    this.heard = null;
  }

  private words(upload: Upload): string {
    const total = size(upload.file.size);
    switch (upload.state) {
      case "waiting":
        return `${total} · waits`;
      case "sending": {
        if (upload.sent >= upload.file.size) return `${total} · being stored`;
        const left = upload.rate > 0 ? ` · ${size(upload.rate)}/s · ${duration(((upload.file.size - upload.sent) / upload.rate) * 1_000)} left` : "";
        return `${size(upload.sent)} of ${total}${left}`;
      }
      case "done":
        return upload.stored?.path ?? "It is there.";
      case "failed":
        return [upload.problem?.message, upload.problem?.remedy].filter(Boolean).join(" ");
    }
  }

  private renderChoices(upload: Upload) {
    const { uploads } = this;
    if (upload.state === "done" && upload.stored) {
      const { path } = upload.stored;
      return html`<div class="choices">
        <button class="outlined" @click=${() => void copyText(path).then((copied) => copied && notify({ key: "copied", text: "Path copied" }))}>Copy its path</button>
      </div>`;
    }
    if (upload.state !== "failed" || !uploads) return nothing;
    if (upload.problem?.code === "conflict" && /already/.test(upload.problem.message)) {
      return html`<div class="choices">
        <button class="outlined" @click=${() => uploads.again(upload.id, "replace")}>Replace</button>
        <button class="outlined" @click=${() => uploads.again(upload.id, "rename")}>Keep both</button>
      </div>`;
    }
    return html`<div class="choices"><button class="outlined" @click=${() => uploads.again(upload.id)}>Try again</button></div>`;
  }

  override render() {
    const { uploads } = this;
    if (!uploads || uploads.all.length === 0) return nothing;
    return html`<ul aria-label="Files on their way" aria-live="polite">
      ${repeat(
        uploads.all,
        (upload) => upload.id,
        (upload) => {
          const over = upload.state === "done" || upload.state === "failed";
          return html`<li class=${upload.state}>
            <span class="name ellipsis" title=${upload.name}>${upload.name}</span>
            <span class="more">${this.words(upload)}</span>
            <button
              class="square"
              aria-label="${over ? "Close" : "Cancel"} ${upload.name}"
              title=${over ? "Close" : "Cancel"}
              @click=${() => (over ? uploads.forget(upload.id) : uploads.cancel(upload.id))}
            >
              ${icon("close")}
            </button>
            ${upload.state === "sending"
              ? html`<progress max=${Math.max(1, upload.file.size)} .value=${upload.sent} aria-label="Sent of ${upload.name}"></progress>`
              : nothing}
            ${this.renderChoices(upload)}
          </li>`;
        },
      )}
    </ul>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-transfers": Transfers;
  }
}
