/** The password was right; this account wants a passkey as well. */

import { LitElement, css, html } from "lit";
import { customElement, property, state } from "lit/decorators.js";

import { accounts } from "../../api/accounts";
import { type Problem, asProblem } from "../../api/problem";
import type { PasskeyChallenge } from "../../api/types";
import { usePasskey } from "../../webauthn";
import { icon, mark } from "../icons";
import "../problem-note";
import { base, buttons } from "../styles/shared";
import { front } from "../styles/front";

@customElement("es-second-factor")
export class SecondFactor extends LitElement {
  @property({ attribute: false }) challenge!: PasskeyChallenge;
  @state() private busy = false;
  @state() private problem: Problem | null = null;

  static override styles = [
    base,
    buttons,
    front,
    css`
      :host {
        padding: 0;
        width: min(380px, 100%);
        background: none;
      }
    `,
  ];

  override firstUpdated(): void {
    void this.use();
  }

  private async use(): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    this.problem = null;
    try {
      const { id, options } = this.challenge;
      const me = await accounts.passkey(id, await usePasskey(options));
      this.dispatchEvent(new CustomEvent("signed-in", { detail: me }));
    } catch (error) {
      this.problem = asProblem(error);
    } finally {
      this.busy = false;
    }
  }

  override render() {
    return html`<div class="front">
      ${mark(56)}
      <h1>Now your passkey</h1>
      <p>The password was right. This account also wants a passkey: follow what your browser or security key asks for.</p>
      <button class="primary wide" ?disabled=${this.busy} @click=${this.use}>
        ${icon("key")}${this.busy ? "Waiting for your passkey…" : "Use the passkey"}
      </button>
      <es-problem .problem=${this.problem}></es-problem>
      <button @click=${() => this.dispatchEvent(new Event("back"))}>Start over</button>
    </div>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-second-factor": SecondFactor;
  }
}
