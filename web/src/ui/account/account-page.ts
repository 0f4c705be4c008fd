/** One's own account: how one signs in, where one is signed in, and the keys one's agents get. */

import { LitElement, html } from "lit";
import { customElement, query, state } from "lit/decorators.js";

import { accounts } from "../../api/accounts";
import { type Problem, asProblem } from "../../api/problem";
import { mySecrets } from "../../api/secrets";
import type { Account } from "../../api/types";
import { Watches } from "../../store/controller";
import { Loading } from "../../store/loading";
import { store } from "../../store/store";
import { roleNames } from "../names";
import "../problem-note";
import "../secrets-list";
import { pages, rows } from "../styles/page";
import { base, buttons, fields } from "../styles/shared";
import { notify } from "../toasts";
import "./passkeys";
import "./password";
import "./sign-ins";
import "./tokens";

@customElement("es-account-page")
export class AccountPage extends LitElement {
  @state() private renaming = false;
  @state() private problem: Problem | null = null;
  @query("#name") private nameField?: HTMLInputElement;
  private readonly account = new Loading(this, () => accounts.account());
  private readonly options = new Loading(this, () => accounts.options());

  constructor() {
    super();
    new Watches(this, store);
  }

  static override styles = [base, buttons, fields, pages, rows];

  /** What changed here changes what `me` says: whether one can come back without a link. */
  private readonly changed = async (): Promise<void> => {
    await this.account.reload();
    try {
      store.signedIn(await accounts.me());
    } catch {
      // The page says so where it matters: the connection is lost.
    }
  };

  private readonly rename = async (event: Event): Promise<void> => {
    event.preventDefault();
    const name = this.nameField?.value.trim() ?? "";
    if (!name || name === store.me?.name) {
      this.renaming = false;
      return;
    }
    this.problem = null;
    try {
      store.signedIn(await accounts.rename(name));
      this.renaming = false;
      notify({ key: "renamed", text: `Your name is now ${name}.` });
    } catch (error) {
      this.problem = asProblem(error);
    }
  };

  private readonly edit = (): void => {
    this.renaming = true;
    this.problem = null;
    void this.updateComplete.then(() => this.nameField?.select());
  };

  private renderName() {
    const { me } = store;
    if (!this.renaming) {
      return html`<div class="row">
        <div>
          <div class="name">${me?.name}</div>
          <div class="hint">${me ? roleNames[me.role] : ""}</div>
        </div>
        <button class="outlined" @click=${this.edit}>Change name</button>
      </div>`;
    }
    return html`<form class="card" @submit=${this.rename}>
      <div class="field">
        <label for="name">Name</label>
        <input id="name" maxlength="64" required autocomplete="username" .value=${me?.name ?? ""} />
        <span class="hint">Others see it, and you sign in with it.</span>
      </div>
      <es-problem .problem=${this.problem}></es-problem>
      <div class="actions end">
        <button type="button" @click=${() => (this.renaming = false)}>Cancel</button>
        <button class="primary">Save</button>
      </div>
    </form>`;
  }

  private renderAccount(account: Account) {
    return html`<es-password .account=${account} @changed=${this.changed}></es-password>
      <es-passkeys .account=${account} ?offered=${this.options.value?.passkeys ?? true} @changed=${this.changed}></es-passkeys>
      ${account.oidc
        ? html`<div class="row">
            <div><div class="name">Single sign-on</div><div class="hint">You can sign in with ${account.oidc}.</div></div>
          </div>`
        : ""}`;
  }

  override render() {
    return html`
      <header><h1>Account</h1></header>
      <div class="scroll">
        <div class="list">
          <h2>You</h2>
          ${this.renderName()}
          <h2>How you sign in</h2>
          ${this.account.show((account) => this.renderAccount(account), "your account")}
          <es-sign-ins></es-sign-ins>
          <es-tokens></es-tokens>
          <es-secrets
            .store=${mySecrets}
            heading="Keys for your agents"
            note="Agents that you start get these as environment variables, on every machine. They are stored encrypted and never shown again."
          ></es-secrets>
        </div>
      </div>
    `;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-account-page": AccountPage;
  }
}
