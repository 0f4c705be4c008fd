/** Set, change or remove one's password. */

import { LitElement, html, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";

import { accounts } from "../../api/accounts";
import { Problem, asProblem } from "../../api/problem";
import type { Account } from "../../api/types";
import { store } from "../../store/store";
import { confirm } from "../confirm";
import "../problem-note";
import { rows } from "../styles/page";
import { base, buttons, fields } from "../styles/shared";
import { notify, notifyError } from "../toasts";

/** The server's own limit is the one that counts; this one only saves a round trip. */
const SHORTEST = 8;

@customElement("es-password")
export class PasswordRow extends LitElement {
  @property({ attribute: false }) account!: Account;
  @state() private editing = false;
  @state() private busy = false;
  @state() private problem: Problem | null = null;
  @query("#current") private current?: HTMLInputElement;
  @query("#new") private fresh?: HTMLInputElement;
  @query("#again") private again?: HTMLInputElement;

  static override styles = [base, buttons, fields, rows];

  private readonly edit = (): void => {
    this.editing = true;
    this.problem = null;
    void this.updateComplete.then(() => (this.current ?? this.fresh)?.focus());
  };

  private readonly save = async (event: Event): Promise<void> => {
    event.preventDefault();
    const fresh = this.fresh?.value ?? "";
    if (fresh !== this.again?.value) {
      this.problem = new Problem(0, "mismatch", "The two new passwords differ.", "Type them again.");
      return;
    }
    this.busy = true;
    this.problem = null;
    try {
      await accounts.setPassword(this.account.hasPassword ? (this.current?.value ?? "") : null, fresh);
      this.editing = false;
      notify({ key: "password", text: this.account.hasPassword ? "The password was changed." : "The password was set." });
      this.dispatchEvent(new Event("changed"));
    } catch (error) {
      this.problem = asProblem(error);
    } finally {
      this.busy = false;
    }
  };

  private readonly discard = async (): Promise<void> => {
    const left = this.account.passkeys.length > 0 || this.account.oidc;
    const sure = await confirm({
      title: "Remove your password?",
      text: left ? "You then sign in with what is left." : "Nothing else is left to sign in with: you could only come back by a one-time link.",
      yes: "Remove",
    });
    if (!sure) return;
    try {
      await accounts.removePassword();
      this.dispatchEvent(new Event("changed"));
    } catch (error) {
      notifyError("The password was not removed.", error);
    }
  };

  private renderForm() {
    const { hasPassword } = this.account;
    return html`<form class="card" @submit=${this.save}>
      <input class="sr-only" tabindex="-1" aria-hidden="true" autocomplete="username" .value=${store.me?.name ?? ""} readonly />
      ${hasPassword
        ? html`<div class="field">
            <label for="current">Current password</label>
            <input id="current" type="password" autocomplete="current-password" required maxlength="1024" />
          </div>`
        : nothing}
      <div class="fields">
        <div class="field">
          <label for="new">New password</label>
          <input id="new" type="password" autocomplete="new-password" required minlength=${SHORTEST} maxlength="1024" />
        </div>
        <div class="field">
          <label for="again">The same again</label>
          <input id="again" type="password" autocomplete="new-password" required maxlength="1024" />
        </div>
      </div>
      <es-problem .problem=${this.problem}></es-problem>
      <div class="actions end">
        <button type="button" @click=${() => (this.editing = false)}>Cancel</button>
        <button class="primary" ?disabled=${this.busy}>${this.busy ? "Saving…" : hasPassword ? "Change password" : "Set password"}</button>
      </div>
    </form>`;
  }

  override render() {
    const { hasPassword } = this.account;
    return html`<div class="row">
        <div>
          <div class="name">Password</div>
          <div class="hint">${hasPassword ? "Set" : "Not set"}</div>
        </div>
        ${this.editing
          ? nothing
          : html`<div class="actions">
              ${hasPassword ? html`<button class="danger" @click=${this.discard}>Remove</button>` : nothing}
              <button class="outlined" @click=${this.edit}>${hasPassword ? "Change password" : "Set a password"}</button>
            </div>`}
      </div>
      ${this.editing ? this.renderForm() : nothing}`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-password": PasswordRow;
  }
}
