/** One's passkeys, and whether one is wanted after the password. */

import { LitElement, html, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";

import { accounts } from "../../api/accounts";
import { type Problem, asProblem } from "../../api/problem";
import type { Account, Passkey } from "../../api/types";
import { makePasskey, passkeyObstacle } from "../../webauthn";
import { confirm } from "../confirm";
import { ago, fullTime } from "../format";
import { icon } from "../icons";
import { deviceOf } from "../names";
import "../problem-note";
import { rows } from "../styles/page";
import { base, buttons, fields } from "../styles/shared";
import { notify, notifyError } from "../toasts";

const NOT_OFFERED = "This server has no passkeys yet: its public address needs a host name, and HTTPS unless that is localhost.";

@customElement("es-passkeys")
export class Passkeys extends LitElement {
  @property({ attribute: false }) account!: Account;
  /** The server has an address at which browsers make passkeys. */
  @property({ type: Boolean }) offered = true;
  @state() private naming = false;
  @state() private busy = false;
  @state() private problem: Problem | null = null;
  @query("#passkey-name") private nameField?: HTMLInputElement;

  static override styles = [base, buttons, fields, rows];

  private changed(): void {
    this.dispatchEvent(new Event("changed"));
  }

  private readonly begin = (): void => {
    this.naming = true;
    this.problem = null;
    void this.updateComplete.then(() => this.nameField?.select());
  };

  private readonly add = async (event: Event): Promise<void> => {
    event.preventDefault();
    const name = this.nameField?.value.trim() || "Passkey";
    this.busy = true;
    this.problem = null;
    try {
      const challenge = await accounts.newPasskey();
      await accounts.addPasskey(challenge.id, name, await makePasskey(challenge.options));
      this.naming = false;
      notify({ key: "passkey", text: `The passkey “${name}” was added.` });
      this.changed();
    } catch (error) {
      this.problem = asProblem(error);
    } finally {
      this.busy = false;
    }
  };

  private async discard(passkey: Passkey): Promise<void> {
    const last = this.account.passkeys.length === 1 && !this.account.hasPassword && !this.account.oidc;
    const sure = await confirm({
      title: `Remove the passkey “${passkey.name}”?`,
      text: last
        ? "It is the only way for you to come back without a one-time link."
        : "It can no longer be used to sign in here. Your device may go on offering it until you delete it there as well.",
      yes: "Remove",
    });
    if (!sure) return;
    try {
      await accounts.removePasskey(passkey.id);
      this.changed();
    } catch (error) {
      notifyError("The passkey was not removed.", error);
    }
  }

  private readonly switchSecondFactor = async (event: Event): Promise<void> => {
    const box = event.target as HTMLInputElement;
    try {
      await accounts.setSecondFactor(box.checked);
      this.changed();
    } catch (error) {
      box.checked = this.account.secondFactor;
      notifyError("The second factor was not changed.", error);
    }
  };

  private renderPasskey(passkey: Passkey) {
    return html`<div class="row" role="listitem">
      <div>
        <div class="name">${passkey.name}</div>
        <div class="hint" title=${fullTime(passkey.createdAt)}>
          Added ${ago(passkey.createdAt)}, ${passkey.lastUsedAt ? `used ${ago(passkey.lastUsedAt)}` : "not used yet"}
        </div>
      </div>
      <button class="danger" aria-label="Remove ${passkey.name}" @click=${() => void this.discard(passkey)}>Remove</button>
    </div>`;
  }

  private renderForm() {
    return html`<form class="card" @submit=${this.add}>
      <div class="field">
        <label for="passkey-name">What to call it</label>
        <input id="passkey-name" maxlength="64" required autocomplete="off" .value=${deviceOf(navigator.userAgent)} />
        <span class="hint">Your browser then asks where to keep it: on this device, on your phone or on a security key.</span>
      </div>
      <es-problem .problem=${this.problem}></es-problem>
      <div class="actions end">
        <button type="button" @click=${() => (this.naming = false)}>Cancel</button>
        <button class="primary" ?disabled=${this.busy}>${this.busy ? "Waiting for your device…" : "Continue"}</button>
      </div>
    </form>`;
  }

  override render() {
    const { passkeys, hasPassword, secondFactor } = this.account;
    const obstacle = passkeyObstacle() ?? (this.offered ? null : NOT_OFFERED);
    return html`<div class="row">
        <div>
          <div class="name">Passkeys</div>
          <div class="hint">${obstacle ?? "A passkey signs you in with a touch or a look, and cannot be phished."}</div>
        </div>
        ${this.naming
          ? nothing
          : html`<button class="outlined" ?disabled=${obstacle !== null} @click=${this.begin}>${icon("key")}Add a passkey</button>`}
      </div>
      ${this.naming ? this.renderForm() : nothing}
      <div role="list" aria-label="Passkeys">${passkeys.map((passkey) => this.renderPasskey(passkey))}</div>
      ${passkeys.length > 0 && hasPassword
        ? html`<div class="row">
            <label for="second" class="check">
              <span>Ask for a passkey after the password<span class="hint">The password alone is then not enough.</span></span>
            </label>
            <input id="second" type="checkbox" role="switch" .checked=${secondFactor} @change=${this.switchSecondFactor} />
          </div>`
        : nothing}`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-passkeys": Passkeys;
  }
}
