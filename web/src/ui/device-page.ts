/** A command line asks to be let in: look at its code, then let it in or not (RFC 8628). */

import { LitElement, type PropertyValues, css, html, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";

import { accounts } from "../api/accounts";
import { type Problem, asProblem } from "../api/problem";
import type { DeviceRequest, Scope } from "../api/types";
import { Ticks } from "../store/controller";
import { duration } from "./format";
import { icon } from "./icons";
import { scopeWords } from "./names";
import "./problem-note";
import { userCodeIn } from "./sign-in/code-in-link";
import { pages, rows } from "./styles/page";
import { base, buttons, fields } from "./styles/shared";

@customElement("es-device-page")
export class DevicePage extends LitElement {
  @property() code = "";
  @state() private request: DeviceRequest | null = null;
  @state() private busy = false;
  @state() private problem: Problem | null = null;
  @state() private outcome: "approved" | "refused" | null = null;
  @query("#user-code") private field?: HTMLInputElement;

  constructor() {
    super();
    new Ticks(this, 1_000);
  }

  static override styles = [
    base,
    buttons,
    fields,
    pages,
    rows,
    css`
      .list {
        max-width: 520px;
        padding-top: 16px;
        display: grid;
        gap: 14px;
      }
      p {
        color: var(--text-2);
      }
      .code {
        font: 600 26px/1.2 var(--mono);
        letter-spacing: 0.08em;
      }
      dl {
        display: grid;
        grid-template-columns: auto minmax(0, 1fr);
        gap: 8px 18px;
        margin: 0;
      }
      dt {
        color: var(--text-3);
        font-size: 13px;
      }
      dd {
        margin: 0;
        overflow-wrap: anywhere;
      }
      dd ul {
        margin: 0;
        padding-left: 18px;
      }
      #user-code {
        font: 600 20px/1.3 var(--mono);
        letter-spacing: 0.08em;
        text-transform: uppercase;
        max-width: 240px;
      }
      .done {
        display: flex;
        gap: 12px;
        align-items: flex-start;
      }
    `,
  ];

  override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("code") && this.code) void this.look(this.code);
  }

  private async look(code: string): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    this.problem = null;
    this.request = null;
    this.outcome = null;
    try {
      this.request = await accounts.deviceRequest(userCodeIn(code));
    } catch (error) {
      this.problem = asProblem(error);
    } finally {
      this.busy = false;
    }
  }

  private async answer(approve: boolean): Promise<void> {
    if (!this.request) return;
    this.busy = true;
    this.problem = null;
    try {
      await accounts.answerDevice(this.request.userCode, approve);
      this.outcome = approve ? "approved" : "refused";
    } catch (error) {
      this.problem = asProblem(error);
    } finally {
      this.busy = false;
    }
  }

  private readonly submit = (event: Event): void => {
    event.preventDefault();
    if (this.field?.value.trim() && !this.problem?.waitMs()) void this.look(this.field.value);
  };

  private renderEntry() {
    return html`<p>A command line on some machine shows a code. Type it here to let that machine act for you.</p>
      <form class="card" @submit=${this.submit}>
        <div class="field">
          <label for="user-code">Code</label>
          <input
            id="user-code"
            placeholder="XXXX-XXXX"
            autocomplete="off"
            autocapitalize="characters"
            spellcheck="false"
            maxlength="200"
            required
            autofocus
            .value=${userCodeIn(this.code)}
          />
        </div>
        <div class="actions"><button class="primary" ?disabled=${this.busy}>${this.busy ? "Looking…" : "Continue"}</button></div>
        <es-problem .problem=${this.problem}></es-problem>
      </form>`;
  }

  private renderRequest(request: DeviceRequest) {
    const left = Math.ceil((Date.parse(request.expiresAt) - Date.now()) / 1000) * 1000;
    if (left <= 0) {
      return html`<p role="status">This request has expired. Start it again on the command line.</p>
        <div><button class="outlined" @click=${this.again}>Enter another code</button></div>`;
    }
    return html`<p>Somebody asks to use Earthshine as you from a command line. Let it in only if you see the same code there, and started it yourself.</p>
      <div class="card" role="group" aria-label="Request">
        <div class="code" aria-label="Code">${request.userCode}</div>
        <dl>
          <dt>Program</dt>
          <dd>${request.clientName || "unknown"}</dd>
          <dt>Address</dt>
          <dd class="mono">${request.address || "unknown"}</dd>
          <dt>May then</dt>
          <dd>
            <ul>
              ${request.scopes.map((scope) => html`<li>${scopeWords[scope as Scope] ?? scope}</li>`)}
            </ul>
          </dd>
        </dl>
        <es-problem .problem=${this.problem}></es-problem>
        <div class="actions">
          <button class="primary" ?disabled=${this.busy} @click=${() => void this.answer(true)}>Let it in</button>
          <button class="danger" ?disabled=${this.busy} @click=${() => void this.answer(false)}>Refuse</button>
          <span class="hint" role="timer">${duration(left)} left</span>
        </div>
      </div>`;
  }

  private readonly again = (): void => {
    this.request = null;
    this.problem = null;
    this.outcome = null;
    this.code = "";
  };

  private renderOutcome() {
    const approved = this.outcome === "approved";
    return html`<div class="card done" role="status">
      ${icon(approved ? "check" : "close")}
      <div>
        <strong>${approved ? "It is let in." : "It was refused."}</strong>
        <p>
          ${approved
            ? html`The command line goes on by itself; you can close this page. You can end its sign-in any time under <a href="/account">Account</a>.`
            : "Whoever asked gets nothing. If it was not you, nothing else needs doing."}
        </p>
      </div>
    </div>`;
  }

  override render() {
    return html`<header><h1>Let a command line in</h1></header>
      <div class="scroll">
        <div class="list">
          ${this.outcome
            ? this.renderOutcome()
            : this.request
              ? this.renderRequest(this.request)
              : this.busy
                ? html`<p role="status">Looking for the request…</p>`
                : this.renderEntry()}
          ${this.outcome ? html`<div><a class="button outlined" href="/">All sessions</a></div>` : nothing}
        </div>
      </div>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-device-page": DevicePage;
  }
}
