/** Somebody opened a share link and is not signed in: go in as a guest, or sign in first. */

import { LitElement, html } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";

import { type Problem, asProblem } from "../../api/problem";
import { enterAsGuest } from "../../arrival";
import { mark } from "../icons";
import "../problem-note";
import { base, buttons, fields } from "../styles/shared";
import { front } from "../styles/front";

@customElement("es-invited-page")
export class InvitedPage extends LitElement {
  @property() code = "";
  @state() private busy = false;
  @state() private problem: Problem | null = null;
  @query("input") private field!: HTMLInputElement;

  static override styles = [base, buttons, fields, front];

  private readonly enter = async (event: Event): Promise<void> => {
    event.preventDefault();
    const name = this.field.value.trim();
    if (!name || this.busy || this.problem?.waitMs()) return;
    this.busy = true;
    this.problem = null;
    try {
      this.dispatchEvent(new CustomEvent("arrived", { detail: await enterAsGuest(this.code, name) }));
    } catch (error) {
      this.problem = asProblem(error);
    } finally {
      this.busy = false;
    }
  };

  override render() {
    return html`<div class="front">
      ${mark(56)}
      <h1>Somebody shared a session with you</h1>
      <p>You need no account. You will see this one session and nothing else of this server.</p>
      <form @submit=${this.enter}>
        <div class="field">
          <label for="name">Your name</label>
          <input id="name" autocomplete="nickname" maxlength="64" required autofocus aria-describedby="why" />
          <span id="why" class="hint">This is how the others see you.</span>
        </div>
        <button class="primary" ?disabled=${this.busy}>${this.busy ? "Opening…" : "Open the session"}</button>
      </form>
      <es-problem .problem=${this.problem}></es-problem>
      <button @click=${() => this.dispatchEvent(new Event("sign-in"))}>I have an account: sign in first</button>
    </div>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-invited-page": InvitedPage;
  }
}
