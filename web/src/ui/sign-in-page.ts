/** For people who are not signed in: what to do, and a field for a code. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";

import { api } from "../api/client";
import { type Problem, asProblem } from "../api/problem";
import { store } from "../store/store";
import { mark } from "./icons";
import { base, buttons, fields } from "./styles/shared";

/** People paste the whole link as often as its code. */
export function codeIn(text: string): string {
  const trimmed = text.trim();
  const inLink = /#sign-in=([^&\s]+)/.exec(trimmed);
  return inLink ? decodeURIComponent(inLink[1] ?? "") : trimmed;
}

@customElement("es-sign-in-page")
export class SignInPage extends LitElement {
  @property() phase: "asking" | "signed-out" | "unreachable" = "asking";
  @property({ attribute: false }) problem: Problem | null = null;
  @state() private busy = false;
  @query("input") private input!: HTMLInputElement;

  static override styles = [
    base,
    buttons,
    fields,
    css`
      :host {
        display: grid;
        place-items: center;
        padding: 24px;
        overflow: auto;
        background: radial-gradient(90% 60% at 50% 0%, var(--accent-soft), transparent 70%);
      }
      .card {
        width: min(380px, 100%);
        display: grid;
        gap: 12px;
        justify-items: center;
        text-align: center;
        color: var(--text-2);
      }
      h1 {
        font-size: 22px;
        color: var(--text);
        letter-spacing: -0.02em;
        margin-top: 6px;
      }
      form {
        width: 100%;
        display: flex;
        gap: 8px;
        margin-top: 10px;
      }
      code {
        font: 12.5px var(--mono);
        padding: 2px 6px;
        border-radius: 5px;
        background: var(--hover);
        color: var(--text);
      }
      button.primary {
        height: 36px;
      }
    `,
  ];

  private async submit(event: Event): Promise<void> {
    event.preventDefault();
    const code = codeIn(this.input.value);
    if (!code) return;
    this.busy = true;
    this.problem = null;
    try {
      store.signedIn(await api.signIn(code));
      this.dispatchEvent(new Event("signed-in"));
    } catch (error) {
      this.problem = asProblem(error);
      this.input.select();
    } finally {
      this.busy = false;
    }
  }

  private renderProblem() {
    if (!this.problem) return nothing;
    return html`<div class="problem" role="alert">${this.problem.message} ${this.problem.remedy}</div>`;
  }

  override render() {
    if (this.phase === "asking") {
      return html`<div class="card" role="status">${mark(56)}<span class="sr-only">Signing in…</span></div>`;
    }
    if (this.phase === "unreachable") {
      return html`<div class="card">
        ${mark(56)}
        <h1>Earthshine does not answer</h1>
        ${this.renderProblem()}
        <button class="primary" @click=${() => this.dispatchEvent(new Event("retry"))}>Try again</button>
      </div>`;
    }
    return html`<div class="card">
      ${mark(56)}
      <h1>Sign in to Earthshine</h1>
      <p>
        Open the link that <code>earthshine up</code> printed, or one made under Settings on a device that is signed in. You can paste it here
        too.
      </p>
      <form @submit=${this.submit}>
        <input
          class="mono"
          aria-label="Sign-in link or code"
          placeholder="Link or code"
          autocomplete="one-time-code"
          autocapitalize="off"
          spellcheck="false"
          required
          autofocus
        />
        <button class="primary" ?disabled=${this.busy}>${this.busy ? "Signing in…" : "Sign in"}</button>
      </form>
      ${this.renderProblem()}
    </div>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-sign-in-page": SignInPage;
  }
}
