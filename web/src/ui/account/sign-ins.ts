/** Where one is signed in, and ending that. */

import { LitElement, html, nothing } from "lit";
import { customElement } from "lit/decorators.js";

import { accounts } from "../../api/accounts";
import type { SignIn } from "../../api/types";
import { Ticks } from "../../store/controller";
import { Loading } from "../../store/loading";
import { store } from "../../store/store";
import { confirm } from "../confirm";
import { ago, fullTime } from "../format";
import { deviceOf, signInKinds } from "../names";
import "../problem-note";
import { rows } from "../styles/page";
import { base, buttons } from "../styles/shared";
import { notifyError } from "../toasts";

@customElement("es-sign-ins")
export class SignIns extends LitElement {
  private readonly signIns = new Loading(this, async () => (await accounts.signIns()).signIns);

  constructor() {
    super();
    new Ticks(this, 10_000);
  }

  static override styles = [base, buttons, rows];

  private async end(signIn: SignIn): Promise<void> {
    try {
      if (signIn.current) {
        await accounts.signOut();
        store.signedOut();
        return;
      }
      await accounts.endSignIn(signIn.id);
    } catch (error) {
      notifyError("That sign-in was not ended.", error);
    }
    await this.signIns.reload();
  }

  private readonly endOthers = async (): Promise<void> => {
    const sure = await confirm({
      title: "End all other sign-ins?",
      text: "Every other browser, command line and API token of yours has to sign in again. Agents go on working.",
      yes: "End them",
    });
    if (!sure) return;
    try {
      await accounts.endOtherSignIns();
    } catch (error) {
      notifyError("The other sign-ins were not ended.", error);
    }
    await this.signIns.reload();
  };

  private renderSignIn(signIn: SignIn) {
    const what = signIn.kind === "browser" ? deviceOf(signIn.userAgent) : signIn.name || signInKinds[signIn.kind];
    return html`<div class="row" role="listitem">
      <div>
        <div class="name">
          ${what}${signIn.current ? html`<span class="tag good">this one</span>` : nothing}${signIn.kind === "browser"
            ? nothing
            : html`<span class="tag">${signInKinds[signIn.kind]}</span>`}
        </div>
        <div class="hint" title=${`Signed in ${fullTime(signIn.createdAt)}. ${signIn.userAgent}`}>
          ${signIn.address || "unknown address"} · ${signIn.current ? "in use" : `seen ${ago(signIn.lastSeenAt)}`} · since ${fullTime(signIn.createdAt)}
        </div>
      </div>
      <button class=${signIn.current ? "" : "danger"} @click=${() => void this.end(signIn)}>${signIn.current ? "Sign out" : "End"}</button>
    </div>`;
  }

  override render() {
    const others = (this.signIns.value?.length ?? 0) > 1;
    return html`<h2>
        Where you are signed in ${others ? html`<button class="danger" @click=${this.endOthers}>End all others</button>` : nothing}
      </h2>
      ${this.signIns.show(
        (list) => html`<div role="list" aria-label="Sign-ins">${list.map((signIn) => this.renderSignIn(signIn))}</div>`,
        "your sign-ins",
      )}`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-sign-ins": SignIns;
  }
}
