/** For people who are not signed in: every way in that this server has, and what to do when none works. */

import { LitElement, type PropertyValues, html, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";

import { OIDC_PATH, accounts } from "../../api/accounts";
import { type Problem, asProblem } from "../../api/problem";
import type { Me, PasskeyChallenge, SignInOptions } from "../../api/types";
import { rememberPlace } from "../../arrival";
import { passkeyObstacle, usePasskey } from "../../webauthn";
import { icon, mark } from "../icons";
import "../problem-note";
import { base, buttons, fields } from "../styles/shared";
import { front } from "../styles/front";
import { codeIn } from "./code-in-link";
import "./second-factor";

type Way = "password" | "passkey" | "link";

/** What there is while the server has not said: links always work. */
const LINK_ONLY: SignInOptions = { password: false, passkeys: false, oidc: null };

@customElement("es-sign-in-page")
export class SignInPage extends LitElement {
  @property() phase: "asking" | "signed-out" | "unreachable" = "asking";
  @property({ attribute: false }) problem: Problem | null = null;
  /** A share link waits until one is signed in. */
  @property({ attribute: false }) shareCode: string | null = null;
  @state() private options: SignInOptions | null = null;
  @state() private busy: Way | null = null;
  @state() private wantsLink = false;
  /** The password was right; now a passkey. */
  @state() private challenge: PasskeyChallenge | null = null;
  @query("#code") private codeField?: HTMLInputElement;
  @query("#name") private nameField?: HTMLInputElement;
  @query("#password") private passwordField?: HTMLInputElement;

  static override styles = [base, buttons, fields, front];

  override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("phase") && this.phase === "signed-out" && this.options === null) void this.ask();
  }

  private async ask(): Promise<void> {
    try {
      this.options = await accounts.options();
    } catch {
      // Whether the server answers at all is for whoever shows this page; links work without an answer.
      this.options = LINK_ONLY;
    }
  }

  private done(me: Me): void {
    this.dispatchEvent(new CustomEvent("signed-in", { detail: me }));
  }

  private async attempt(way: Way, act: () => Promise<Me | null>): Promise<void> {
    if (this.busy || this.problem?.waitMs()) return;
    this.busy = way;
    this.problem = null;
    try {
      const me = await act();
      if (me) this.done(me);
    } catch (error) {
      this.problem = asProblem(error);
    } finally {
      this.busy = null;
    }
  }

  private readonly withLink = (event: Event): void => {
    event.preventDefault();
    const code = codeIn(this.codeField?.value ?? "");
    if (!code) return;
    void this.attempt("link", () => accounts.signIn(code)).then(() => this.problem && this.codeField?.select());
  };

  private readonly withPassword = (event: Event): void => {
    event.preventDefault();
    const name = this.nameField?.value.trim() ?? "";
    const password = this.passwordField?.value ?? "";
    if (!name || !password) return;
    void this.attempt("password", async () => {
      const progress = await accounts.password(name, password);
      this.challenge = progress.passkey ?? null;
      return progress.me ?? null;
    }).then(() => this.problem && this.passwordField?.select());
  };

  private readonly withPasskey = (): void => {
    void this.attempt("passkey", async () => {
      const challenge = await accounts.passkeyOptions();
      return accounts.passkey(challenge.id, await usePasskey(challenge.options));
    });
  };

  private renderPassword() {
    const waiting = (this.problem?.waitMs() ?? 0) > 0;
    return html`<form @submit=${this.withPassword}>
      <div class="field">
        <label for="name">Name</label>
        <input id="name" autocomplete="username webauthn" autocapitalize="off" spellcheck="false" maxlength="64" required autofocus />
      </div>
      <div class="field">
        <label for="password">Password</label>
        <input id="password" type="password" autocomplete="current-password" maxlength="1024" required />
      </div>
      <button class="primary" ?disabled=${this.busy !== null || waiting}>${this.busy === "password" ? "Signing in…" : "Sign in"}</button>
    </form>`;
  }

  private renderLink(only: boolean) {
    return html`${only
        ? html`<p>
            Open the link that <code>earthshine up</code> printed, or one made under Settings on a device that is signed in. You can paste it
            here too.
          </p>`
        : nothing}
      <form class="line" @submit=${this.withLink}>
        <input
          id="code"
          class="mono"
          aria-label="Sign-in link or code"
          placeholder="Link or code"
          autocomplete="one-time-code"
          autocapitalize="off"
          spellcheck="false"
          required
          ?autofocus=${only}
        />
        <button class=${only ? "primary" : "outlined"} ?disabled=${this.busy !== null}>
          ${this.busy === "link" ? "Signing in…" : only ? "Sign in" : "Use it"}
        </button>
      </form>`;
  }

  private renderWays(options: SignInOptions) {
    const obstacle = options.passkeys ? passkeyObstacle() : null;
    return html`<div class="ways">
      ${options.passkeys
        ? html`<button class="outlined wide" ?disabled=${this.busy !== null || obstacle !== null} @click=${this.withPasskey}>
              ${icon("key")}${this.busy === "passkey" ? "Waiting for your passkey…" : "Sign in with a passkey"}
            </button>
            ${obstacle ? html`<p class="hint">${obstacle}</p>` : nothing}`
        : nothing}
      ${options.oidc
        ? html`<a class="button outlined wide" href=${OIDC_PATH} @click=${() => rememberPlace(this.shareCode)}>
            ${icon("person")}Sign in with ${options.oidc.name}
          </a>`
        : nothing}
      ${options.password || options.passkeys || options.oidc
        ? this.wantsLink
          ? this.renderLink(false)
          : html`<button class="wide" @click=${this.showLink}>${icon("link")}Use a one-time link</button>`
        : nothing}
    </div>`;
  }

  private readonly showLink = (): void => {
    this.wantsLink = true;
    void this.updateComplete.then(() => this.codeField?.focus());
  };

  private renderTrouble() {
    return html`<details>
      <summary>Nothing works?</summary>
      <ul>
        <li>Ask an admin of this server for a new one-time link: it works without a password or passkey.</li>
        <li>On the machine where the server runs, <code>earthshine sign-in</code> prints one at any time, also for admins.</li>
        <li>Links work once and for a short time; a device that is signed in can make one under Settings.</li>
      </ul>
    </details>`;
  }

  private renderForms(options: SignInOptions) {
    const some = options.password || options.passkeys || options.oidc !== null;
    return html`${some ? nothing : this.renderLink(true)} ${options.password ? this.renderPassword() : nothing}
      ${options.password ? html`<div class="or">or</div>` : nothing} ${this.renderWays(options)}
      <es-problem .problem=${this.problem} @waited=${() => this.requestUpdate()}></es-problem>
      ${this.renderTrouble()}`;
  }

  override render() {
    if (this.phase === "asking" || (this.phase === "signed-out" && this.options === null)) {
      return html`<div class="front" role="status">${mark(56)}<span class="sr-only">Signing in…</span></div>`;
    }
    if (this.phase === "unreachable") {
      return html`<div class="front">
        ${mark(56)}
        <h1>Earthshine does not answer</h1>
        <es-problem .problem=${this.problem}></es-problem>
        <button class="primary" @click=${() => this.dispatchEvent(new Event("retry"))}>Try again</button>
      </div>`;
    }
    if (this.challenge) {
      return html`<es-second-factor
        .challenge=${this.challenge}
        @signed-in=${(event: CustomEvent<Me>) => this.done(event.detail)}
        @back=${() => (this.challenge = null)}
      ></es-second-factor>`;
    }
    return html`<div class="front">
      ${mark(56)}
      <h1>Sign in to Earthshine</h1>
      ${this.renderForms(this.options ?? LINK_ONLY)}
    </div>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-sign-in-page": SignInPage;
  }
}
