/** Opens a port of the session's machine in a new tab. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, query, state } from "lit/decorators.js";

import { api } from "../api/client";
import { asProblem, type Problem } from "../api/problem";
import { icon } from "./icons";
import { base, buttons, dialogs, fields } from "./styles/shared";

type Preview = Awaited<ReturnType<typeof api.previews>>["previews"][number];
type Ticket = Awaited<ReturnType<typeof api.openPreview>>;

@customElement("es-preview-dialog")
export class PreviewDialog extends LitElement {
  @state() private port = "3000";
  @state() private busy = false;
  @state() private problem: Problem | null = null;
  @state() private open: readonly Preview[] = [];
  @query("dialog") private dialog!: HTMLDialogElement;
  private sessionId = "";

  static override styles = [
    base,
    buttons,
    dialogs,
    fields,
    css`
      dialog {
        width: 440px;
      }
      .row {
        display: flex;
        gap: 8px;
        align-items: center;
      }
      .row input {
        max-width: 120px;
      }
      p {
        color: var(--text-2);
        font-size: 13px;
        margin-bottom: 14px;
      }
      .problem {
        margin-top: 10px;
      }
      ul {
        list-style: none;
        padding: 0;
        margin: 16px 0 0;
        border-top: 1px solid var(--line);
      }
      li {
        display: flex;
        align-items: center;
        gap: 8px;
        padding: 6px 0;
        border-bottom: 1px solid var(--line);
      }
      li span {
        flex: 1;
      }
    `,
  ];

  show(sessionId: string, port?: number): void {
    this.sessionId = sessionId;
    this.problem = null;
    if (port) this.port = String(port);
    this.open = [];
    this.dialog.showModal();
    void this.load();
  }

  private async load(): Promise<void> {
    try {
      this.open = (await api.previews(this.sessionId)).previews;
    } catch (error) {
      this.problem = asProblem(error);
    }
  }

  private async enter(port: number): Promise<void> {
    this.busy = true;
    this.problem = null;
    // Opened now, within the click: a window opened after the answer would be blocked.
    const name = `earthshine-preview-${this.sessionId}-${port}`;
    const tab = window.open("about:blank", name);
    // A preview shows somebody else's page: it must not be able to steer this tab.
    if (tab) tab.opener = null;
    try {
      const ticket = await api.openPreview(this.sessionId, port);
      submitTicket(ticket, tab ? name : "_blank");
      this.dialog.close();
    } catch (error) {
      tab?.close();
      this.problem = asProblem(error);
    } finally {
      this.busy = false;
    }
  }

  private async end(preview: Preview): Promise<void> {
    try {
      await api.closePreview(this.sessionId, preview.id);
    } catch (error) {
      this.problem = asProblem(error);
    }
    await this.load();
  }

  private readonly submit = (event: Event): void => {
    event.preventDefault();
    const port = Number(this.port);
    if (Number.isInteger(port) && port >= 1 && port <= 65535) void this.enter(port);
    else this.problem = asProblem(new Error("A port is a number from 1 to 65535."));
  };

  override render() {
    return html`<dialog aria-labelledby="title">
      <header>
        <h2 id="title">Preview</h2>
        <button class="square" aria-label="Close" @click=${() => this.dialog.close()}>${icon("close")}</button>
      </header>
      <div class="body">
        <p>Opens a server that listens on the session's machine, for example a development server, in a new tab. Only you can see it.</p>
        <form class="row" @submit=${this.submit}>
          <label for="port">Port</label>
          <input
            id="port"
            class="mono"
            inputmode="numeric"
            autocomplete="off"
            .value=${this.port}
            @input=${(event: InputEvent) => (this.port = (event.target as HTMLInputElement).value.trim())}
          />
          <button class="primary" ?disabled=${this.busy}>${this.busy ? "Opening…" : "Open"}</button>
        </form>
        ${this.problem ? html`<div class="problem" role="alert">${this.problem.message} ${this.problem.remedy}</div>` : nothing}
        ${this.open.length > 0
          ? html`<ul aria-label="Open previews">
              ${this.open.map(
                (preview) => html`<li>
                  <span class="mono">localhost:${preview.port}</span>
                  <button class="outlined" @click=${() => this.enter(preview.port)}>Open</button>
                  <button @click=${() => this.end(preview)}>End</button>
                </li>`,
              )}
            </ul>`
          : nothing}
      </div>
    </dialog>`;
  }
}

/** The ticket goes in the body of a form, so that it is in no URL, history or log. */
function submitTicket(ticket: Ticket, target: string): void {
  const form = document.createElement("form");
  form.method = "post";
  form.action = `${ticket.url.replace(/\/$/, "")}/.earthshine/enter`;
  form.target = target;
  form.rel = "noopener";
  const field = document.createElement("input");
  field.type = "hidden";
  field.name = "ticket";
  field.value = ticket.ticket;
  form.append(field);
  document.body.append(form);
  form.submit();
  form.remove();
}

declare global {
  interface HTMLElementTagNameMap {
    "es-preview-dialog": PreviewDialog;
  }
}
