/** Who else may see or steer this session. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, query, state } from "lit/decorators.js";

import { sharing } from "../../api/sharing";
import type { Shares } from "../../api/types";
import { Loading } from "../../store/loading";
import { icon } from "../icons";
import "../problem-note";
import { rows } from "../styles/page";
import { base, buttons, dialogs, fields } from "../styles/shared";
import { sessionRoleNames, shareRoleWords, shareRoles } from "./roles";
import "./share-links";
import "./share-people";

/** While it is open: guests come, links are used, times run out. */
const REFRESH_MS = 10_000;

@customElement("es-share-dialog")
export class ShareDialog extends LitElement {
  @state() private sessionId = "";
  @query("dialog") private dialog!: HTMLDialogElement;
  private readonly shares = new Loading(this, () => sharing.shares(this.sessionId), false);
  private timer: ReturnType<typeof setInterval> | undefined;

  static override styles = [
    base,
    buttons,
    fields,
    dialogs,
    rows,
    css`
      dialog {
        width: 640px;
      }
      details {
        margin: 14px 0 0;
        font-size: 13px;
        color: var(--text-2);
      }
      summary {
        cursor: pointer;
        color: var(--text-3);
      }
      dl {
        margin: 8px 0 0;
        display: grid;
        gap: 6px;
      }
      dt {
        font-weight: 600;
        color: var(--text);
      }
      dd {
        margin: 0;
      }
    `,
  ];

  get open(): boolean {
    return this.dialog?.open ?? false;
  }

  show(sessionId: string): void {
    if (this.open) return;
    if (sessionId !== this.sessionId) this.shares.forget();
    this.sessionId = sessionId;
    this.dialog.showModal();
    void this.shares.reload();
    this.timer = setInterval(() => void this.shares.reload(), REFRESH_MS);
  }

  close(): void {
    this.dialog?.close();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.timer);
  }

  private readonly changed = (): void => void this.shares.reload();

  private renderShares(shares: Shares) {
    return html`<es-share-people .sessionId=${this.sessionId} .shares=${shares} @changed=${this.changed}></es-share-people>
      <es-share-links .sessionId=${this.sessionId} .links=${shares.links} @changed=${this.changed}></es-share-links>`;
  }

  override render() {
    return html`<dialog aria-labelledby="title" @close=${() => clearInterval(this.timer)} @keydown=${(event: Event) => event.stopPropagation()}>
      <header>
        <h2 id="title">Share this session</h2>
        <button class="square" aria-label="Close" @click=${() => this.dialog.close()}>${icon("close")}</button>
      </header>
      <div class="body">
        ${this.sessionId ? this.shares.show((shares) => this.renderShares(shares), "with whom it is shared") : nothing}
        <details>
          <summary>What each role may do</summary>
          <dl>
            ${shareRoles.map((role) => html`<dt>${sessionRoleNames[role]}</dt><dd>${shareRoleWords[role]}</dd>`)}
          </dl>
          <p class="hint">Admins of this server can see and steer every session. Changes take effect at once, also on pages that are open.</p>
        </details>
      </div>
    </dialog>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-share-dialog": ShareDialog;
  }
}
