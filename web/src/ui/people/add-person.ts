/** Adds somebody: a name, a role, and then a link to give them. */

import { LitElement, css, html } from "lit";
import { customElement, query, state } from "lit/decorators.js";

import { people } from "../../api/people";
import { type Problem, asProblem } from "../../api/problem";
import type { MemberRole, Person, SignInCode } from "../../api/types";
import { roleNames, roleWords } from "../names";
import "../problem-note";
import { rows } from "../styles/page";
import { base, buttons, fields } from "../styles/shared";

export interface AddedPerson {
  readonly person: Person;
  readonly link: SignInCode;
}

@customElement("es-add-person")
export class AddPerson extends LitElement {
  @state() private chosen: MemberRole = "member";
  @state() private busy = false;
  @state() private problem: Problem | null = null;
  @query("#person-name") private nameField!: HTMLInputElement;

  static override styles = [
    base,
    buttons,
    fields,
    rows,
    css`
      form {
        margin-top: 14px !important;
      }
    `,
  ];

  override firstUpdated(): void {
    this.nameField.focus();
  }

  private readonly add = async (event: Event): Promise<void> => {
    event.preventDefault();
    this.busy = true;
    this.problem = null;
    try {
      const detail: AddedPerson = await people.add(this.nameField.value.trim(), this.chosen);
      this.dispatchEvent(new CustomEvent("added", { detail }));
    } catch (error) {
      this.problem = asProblem(error);
      this.nameField.select();
    } finally {
      this.busy = false;
    }
  };

  override render() {
    return html`<form class="card" aria-label="Add somebody" @submit=${this.add}>
      <div class="fields">
        <div class="field">
          <label for="person-name">Name</label>
          <input id="person-name" maxlength="64" required autocomplete="off" spellcheck="false" />
        </div>
        <div class="field">
          <label for="person-role">Role</label>
          <select id="person-role" @change=${(event: Event) => (this.chosen = (event.target as HTMLSelectElement).value as MemberRole)}>
            ${(["member", "admin"] as const).map((role) => html`<option value=${role} ?selected=${role === this.chosen}>${roleNames[role]}</option>`)}
          </select>
        </div>
      </div>
      <p class="hint">${roleWords[this.chosen]}.</p>
      <es-problem .problem=${this.problem}></es-problem>
      <div class="actions end">
        <button type="button" @click=${() => this.dispatchEvent(new Event("cancel"))}>Cancel</button>
        <button class="primary" ?disabled=${this.busy}>${this.busy ? "Adding…" : "Add, and make a link"}</button>
      </div>
    </form>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-add-person": AddPerson;
  }
}
