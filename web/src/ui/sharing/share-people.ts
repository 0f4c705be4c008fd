/** The people whom a session is shared with, and inviting more by name. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";

import { people } from "../../api/people";
import { Problem, asProblem } from "../../api/problem";
import { sharing } from "../../api/sharing";
import type { ShareRole, SharedWith, Shares } from "../../api/types";
import { Loading } from "../../store/loading";
import { store } from "../../store/store";
import { fullTime } from "../format";
import "../problem-note";
import { rows } from "../styles/page";
import { base, buttons, fields } from "../styles/shared";
import { notifyError } from "../toasts";
import { sessionRoleNames, shareRoles, shareTimes } from "./roles";

@customElement("es-share-people")
export class SharePeople extends LitElement {
  @property() sessionId = "";
  @property({ attribute: false }) shares!: Shares;
  @state() private busy = false;
  @state() private problem: Problem | null = null;
  @query("#invite-name") private nameField!: HTMLInputElement;
  @query("#invite-role") private roleField!: HTMLSelectElement;
  @query("#invite-time") private timeField!: HTMLSelectElement;
  private readonly names = new Loading(this, async () => (await people.names()).people);

  static override styles = [
    base,
    buttons,
    fields,
    rows,
    css`
      form {
        display: grid;
        grid-template-columns: minmax(0, 1fr) auto auto auto;
        gap: 8px;
        align-items: center;
        padding-bottom: 10px;
      }
      .row {
        padding: 8px 0;
      }
      .row select {
        width: auto;
      }
      @media (max-width: 760px) {
        form {
          grid-template-columns: 1fr 1fr;
        }
        form input,
        form button {
          grid-column: 1 / -1;
        }
      }
    `,
  ];

  private changed(): void {
    this.dispatchEvent(new Event("changed"));
  }

  private readonly invite = async (event: Event): Promise<void> => {
    event.preventDefault();
    const name = this.nameField.value.trim();
    if (!name) return;
    const person = this.names.value?.find((other) => other.name.toLowerCase() === name.toLowerCase());
    if (!person) {
      this.problem = new Problem(0, "nobody", `Nobody here is called ${name}.`, "For somebody without an account make a link.");
      return;
    }
    this.busy = true;
    this.problem = null;
    try {
      const time = this.timeField.value;
      await sharing.share(this.sessionId, person.id, this.roleField.value as ShareRole, time ? Number(time) : null);
      this.nameField.value = "";
      this.changed();
    } catch (error) {
      this.problem = asProblem(error);
    } finally {
      this.busy = false;
    }
  };

  /** The time that is left stays; the API takes it in seconds from now. */
  private async changeRole(shared: SharedWith, role: ShareRole): Promise<void> {
    const left = shared.expiresAt ? Math.max(60, Math.round((Date.parse(shared.expiresAt) - Date.now()) / 1000)) : null;
    try {
      await sharing.share(this.sessionId, shared.personId, role, left);
    } catch (error) {
      notifyError(`The role of ${shared.name} was not changed.`, error);
    }
    this.changed();
  }

  private async discard(shared: SharedWith): Promise<void> {
    try {
      await sharing.unshare(this.sessionId, shared.personId);
    } catch (error) {
      notifyError(`The session is still shared with ${shared.name}.`, error);
    }
    this.changed();
  }

  private renderInvite() {
    const known = new Set([...this.shares.people.map((shared) => shared.personId), store.me?.personId]);
    const offered = (this.names.value ?? []).filter((person) => !known.has(person.id));
    return html`<form aria-label="Invite" @submit=${this.invite}>
        <input id="invite-name" aria-label="Name" placeholder="Somebody's name" list="names" autocomplete="off" spellcheck="false" maxlength="64" />
        <datalist id="names">${offered.map((person) => html`<option value=${person.name}></option>`)}</datalist>
        <select id="invite-role" aria-label="Role">
          ${shareRoles.map((role) => html`<option value=${role} ?selected=${role === "viewer"}>${sessionRoleNames[role]}</option>`)}
        </select>
        <select id="invite-time" aria-label="How long">
          ${shareTimes.map(([seconds, words]) => html`<option value=${seconds ?? ""}>${words}</option>`)}
        </select>
        <button class="primary" ?disabled=${this.busy}>${this.busy ? "Sharing…" : "Share"}</button>
      </form>
      <es-problem .problem=${this.problem ?? this.names.problem}></es-problem>`;
  }

  private renderPerson(shared: SharedWith) {
    return html`<div class="row" role="listitem" aria-label=${shared.name}>
      <div>
        <div class="name">${shared.name}${shared.guest ? html`<span class="tag">guest</span>` : nothing}</div>
        ${shared.expiresAt ? html`<div class="hint">until ${fullTime(shared.expiresAt)}</div>` : nothing}
      </div>
      <select
        aria-label="Role of ${shared.name}"
        @change=${(event: Event) => void this.changeRole(shared, (event.target as HTMLSelectElement).value as ShareRole)}
      >
        ${shareRoles.map((role) => html`<option value=${role} .selected=${role === shared.role}>${sessionRoleNames[role]}</option>`)}
      </select>
      <button class="danger" aria-label="Take back from ${shared.name}" @click=${() => void this.discard(shared)}>Take back</button>
    </div>`;
  }

  override render() {
    const { shares } = this;
    return html`${this.renderInvite()}
      <div role="list" aria-label="Shared with">
        <div class="row" role="listitem">
          <div><div class="name">${shares.ownerName}</div></div>
          <span class="hint">${sessionRoleNames.owner}</span>
        </div>
        ${repeat(
          shares.people,
          (shared) => shared.personId,
          (shared) => this.renderPerson(shared),
        )}
      </div>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-share-people": SharePeople;
  }
}
