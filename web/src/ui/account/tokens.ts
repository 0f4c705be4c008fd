/** API tokens: for scripts, with only the rights they need. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, query, state } from "lit/decorators.js";

import { accounts } from "../../api/accounts";
import { Problem, asProblem } from "../../api/problem";
import type { Scope, Token, TokenMade } from "../../api/types";
import { Ticks } from "../../store/controller";
import { Loading } from "../../store/loading";
import { store } from "../../store/store";
import { confirm } from "../confirm";
import { ago, fullTime } from "../format";
import { icon } from "../icons";
import { scopeWords, scopes } from "../names";
import "../problem-note";
import "../shown-once";
import { rows } from "../styles/page";
import { base, buttons, fields } from "../styles/shared";
import { notifyError } from "../toasts";

const lifetimes: readonly (readonly [number, string])[] = [
  [7, "7 days"],
  [30, "30 days"],
  [90, "90 days"],
  [365, "a year"],
];
const INITIAL_DAYS = 90;

@customElement("es-tokens")
export class Tokens extends LitElement {
  @state() private making = false;
  @state() private busy = false;
  @state() private problem: Problem | null = null;
  @state() private made: TokenMade | null = null;
  @query("form") private form?: HTMLFormElement;
  private readonly tokens = new Loading(this, async () => (await accounts.tokens()).tokens);

  constructor() {
    super();
    new Ticks(this, 10_000);
  }

  static override styles = [
    base,
    buttons,
    fields,
    rows,
    css`
      fieldset {
        border: 0;
        margin: 0;
        padding: 0;
        display: grid;
        gap: 8px;
      }
      legend {
        font-size: 12.5px;
        font-weight: 550;
        color: var(--text-2);
        padding: 0 0 6px;
      }
    `,
  ];

  private readonly begin = (): void => {
    this.making = true;
    this.made = null;
    this.problem = null;
    void this.updateComplete.then(() => this.form?.querySelector("input")?.focus());
  };

  private readonly make = async (event: Event): Promise<void> => {
    event.preventDefault();
    const data = new FormData(this.form);
    const chosen = data.getAll("scope") as Scope[];
    if (chosen.length === 0) {
      this.problem = new Problem(0, "no-scope", "A token must be allowed something.", "Tick at least one line.");
      return;
    }
    this.busy = true;
    this.problem = null;
    try {
      this.made = await accounts.makeToken(String(data.get("name")).trim(), chosen, Number(data.get("days")));
      this.making = false;
      void this.tokens.reload();
    } catch (error) {
      this.problem = asProblem(error);
    } finally {
      this.busy = false;
    }
  };

  private async end(token: Token): Promise<void> {
    const sure = await confirm({
      title: `End the token “${token.name}”?`,
      text: "Whatever uses it is turned away at once. It cannot be brought back.",
      yes: "End it",
    });
    if (!sure) return;
    try {
      await accounts.endToken(token.id);
      if (this.made?.info.id === token.id) this.made = null;
    } catch (error) {
      notifyError("The token was not ended.", error);
    }
    await this.tokens.reload();
  }

  private renderForm() {
    const offered = scopes.filter((scope) => scope !== "admin" || store.me?.isAdmin);
    return html`<form class="card" @submit=${this.make}>
      <div class="fields">
        <div class="field">
          <label for="token-name">What it is for</label>
          <input id="token-name" name="name" maxlength="64" required autocomplete="off" placeholder="Nightly script" />
        </div>
        <div class="field">
          <label for="token-days">Works for</label>
          <select id="token-days" name="days">
            ${lifetimes.map(([days, words]) => html`<option value=${days} ?selected=${days === INITIAL_DAYS}>${words}</option>`)}
          </select>
        </div>
      </div>
      <fieldset>
        <legend>What it may do</legend>
        ${offered.map(
          (scope) => html`<label class="check">
            <input type="checkbox" name="scope" value=${scope} ?checked=${scope === "read"} />
            <span>${scopeWords[scope]} <span class="hint mono">${scope}</span></span>
          </label>`,
        )}
      </fieldset>
      <es-problem .problem=${this.problem}></es-problem>
      <div class="actions end">
        <button type="button" @click=${() => (this.making = false)}>Cancel</button>
        <button class="primary" ?disabled=${this.busy}>${this.busy ? "Making…" : "Make the token"}</button>
      </div>
    </form>`;
  }

  private renderToken(token: Token) {
    return html`<div class="row" role="listitem">
      <div>
        <div class="name">${token.name}</div>
        <div class="hint" title=${`Made ${fullTime(token.createdAt)}`}>
          <span class="mono">${token.scopes.join(", ")}</span> · ${token.lastSeenAt ? `used ${ago(token.lastSeenAt)}` : "not used yet"} ·
          ${token.expiresAt ? `until ${fullTime(token.expiresAt)}` : "without an end"}
        </div>
      </div>
      <button class="danger" aria-label="End ${token.name}" @click=${() => void this.end(token)}>End</button>
    </div>`;
  }

  override render() {
    return html`<h2>
        API tokens ${this.making ? nothing : html`<button class="outlined" @click=${this.begin}>${icon("plus")}Make a token</button>`}
      </h2>
      ${this.making ? this.renderForm() : nothing}
      ${this.made
        ? html`<es-shown-once
            label="Token “${this.made.info.name}”"
            .value=${this.made.token}
            note="Copy it now: it will not be shown again. Whoever has it can do this in your name."
          ></es-shown-once>`
        : nothing}
      ${this.tokens.show(
        (list) =>
          list.length > 0
            ? html`<div role="list" aria-label="API tokens">${list.map((token) => this.renderToken(token))}</div>`
            : html`<p class="hint waiting">None. Scripts sign in with a token, with only the rights they need.</p>`,
        "your tokens",
      )}`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-tokens": Tokens;
  }
}
