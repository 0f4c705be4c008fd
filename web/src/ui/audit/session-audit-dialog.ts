/** What was done to one session, for its owner. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, query, state } from "lit/decorators.js";

import { audit } from "../../api/audit";
import { icon } from "../icons";
import "../problem-note";
import { base, buttons, dialogs } from "../styles/shared";
import "./audit-records";
import { AuditPages } from "./pages";

@customElement("es-session-audit-dialog")
export class SessionAuditDialog extends LitElement {
  @state() private sessionId = "";
  @query("dialog") private dialog!: HTMLDialogElement;
  private readonly records = new AuditPages(this, (before) => audit.ofSession(this.sessionId, before));

  static override styles = [
    base,
    buttons,
    dialogs,
    css`
      dialog {
        width: 860px;
      }
      p {
        color: var(--text-2);
        font-size: 13px;
        padding: 8px 0;
      }
      .more {
        display: grid;
        justify-items: center;
        padding-top: 12px;
      }
    `,
  ];

  show(sessionId: string): void {
    if (this.dialog.open) return;
    this.sessionId = sessionId;
    this.dialog.showModal();
    void this.records.restart();
  }

  override render() {
    const { records } = this;
    return html`<dialog aria-labelledby="title" @keydown=${(event: Event) => event.stopPropagation()}>
      <header>
        <h2 id="title">What was done here</h2>
        <button class="square" aria-label="Close" @click=${() => this.dialog.close()}>${icon("close")}</button>
      </header>
      <div class="body">
        ${records.records.length > 0 ? html`<es-audit-records one .records=${records.records}></es-audit-records>` : nothing}
        ${records.loaded && records.records.length === 0 ? html`<p role="status">Nothing is recorded yet.</p>` : nothing}
        <es-problem .problem=${records.problem} lead="The records could not be loaded."></es-problem>
        <div class="more">
          ${records.busy
            ? html`<p role="status">Loading…</p>`
            : records.more || records.problem
              ? html`<button class="outlined" @click=${() => void records.loadMore()}>${records.problem ? "Try again" : "Load more"}</button>`
              : nothing}
        </div>
      </div>
    </dialog>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-session-audit-dialog": SessionAuditDialog;
  }
}
