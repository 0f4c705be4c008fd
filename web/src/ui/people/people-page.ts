/** Who may use this server. For admins. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, query, state } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";

import { people } from "../../api/people";
import type { MemberRole, Person } from "../../api/types";
import { Ticks, Watches } from "../../store/controller";
import { Loading } from "../../store/loading";
import { store } from "../../store/store";
import { confirm } from "../confirm";
import { ago, fullTime } from "../format";
import { icon } from "../icons";
import "../menu";
import type { MenuItem } from "../menu";
import { roleNames, roleWords } from "../names";
import "../problem-note";
import "../shown-once";
import { pages, rows } from "../styles/page";
import { base, buttons, fields } from "../styles/shared";
import { notify, notifyError } from "../toasts";
import "./add-person";
import type { AddedPerson } from "./add-person";

@customElement("es-people-page")
export class PeoplePage extends LitElement {
  @state() private adding = false;
  @state() private link: (AddedPerson & { personId: string; until: number }) | null = null;
  @state() private searched = "";
  @query("es-shown-once") private shown?: HTMLElement;
  private readonly people = new Loading(this, async () => (await people.list()).people);

  constructor() {
    super();
    new Watches(this, store);
    new Ticks(this, 10_000);
  }

  static override styles = [
    base,
    buttons,
    fields,
    pages,
    rows,
    css`
      .list {
        max-width: 920px;
      }
      .search {
        max-width: 320px;
        margin: 12px 0 4px;
      }
      select {
        width: auto !important;
        min-width: 110px !important;
      }
      .row:first-child {
        border-top: 0;
      }
      .off .name {
        color: var(--text-3);
      }
      @media (max-width: 760px) {
        .row {
          flex-wrap: nowrap;
          gap: 6px;
        }
      }
    `,
  ];

  private get found(): Person[] {
    const wanted = this.searched.trim().toLowerCase();
    return (this.people.value ?? []).filter((person) => person.name.toLowerCase().includes(wanted));
  }

  private put(person: Person): void {
    this.people.set((this.people.value ?? []).map((other) => (other.id === person.id ? person : other)));
  }

  private async change(person: Person, change: { role?: MemberRole; disabled?: boolean }): Promise<void> {
    try {
      this.put(await people.change(person.id, change));
    } catch (error) {
      notifyError(`${person.name} was not changed.`, error);
      this.people.set([...(this.people.value ?? [])]);
    }
  }

  private async changeRole(person: Person, select: HTMLSelectElement): Promise<void> {
    const role = select.value as MemberRole;
    const up = role === "admin";
    const sure = await confirm({
      title: `${up ? `Make ${person.name} an admin` : `Take the admin's rights from ${person.name}`}?`,
      text: up ? `${roleWords.admin}.` : `A member then: ${roleWords.member.toLowerCase()}.`,
      yes: up ? "Make admin" : "Make member",
    });
    if (sure) await this.change(person, { role });
    else this.requestUpdate();
    select.value = this.people.value?.find((other) => other.id === person.id)?.role ?? person.role;
  }

  private async disable(person: Person): Promise<void> {
    const sure = await confirm({
      title: `Shut ${person.name} out?`,
      text: "All their sign-ins and open pages end at once, and they cannot sign in. Their agents go on working, for admins. You can let them in again.",
      yes: "Shut out",
    });
    if (sure) await this.change(person, { disabled: true });
  }

  private async discard(person: Person): Promise<void> {
    const sure = await confirm({
      title: `Remove ${person.name}?`,
      text: "They are signed out at once and for good; passwords, passkeys, tokens and keys of theirs are deleted. Their sessions stay, for admins.",
      yes: "Remove",
    });
    if (!sure) return;
    try {
      await people.remove(person.id);
      this.people.set((this.people.value ?? []).filter((other) => other.id !== person.id));
    } catch (error) {
      notifyError(`${person.name} was not removed.`, error);
    }
  }

  private async endSignIns(person: Person): Promise<void> {
    const sure = await confirm({
      title: `End all sign-ins of ${person.name}?`,
      text: "Every browser, command line and token of theirs has to sign in again.",
      yes: "End them",
    });
    if (!sure) return;
    try {
      await people.endSignIns(person.id);
      notify({ text: `All sign-ins of ${person.name} have ended.` });
    } catch (error) {
      notifyError("The sign-ins were not ended.", error);
    }
  }

  private async newLink(person: Person): Promise<void> {
    try {
      this.showLink({ person, link: await people.newLink(person.id) });
    } catch (error) {
      notifyError("No link was made.", error);
    }
  }

  private showLink(added: AddedPerson): void {
    this.link = { ...added, personId: added.person.id, until: Date.now() + added.link.expiresIn * 1000 };
    void this.updateComplete.then(() => {
      this.shown?.scrollIntoView({ block: "nearest" });
      this.shown?.focus();
    });
  }

  private readonly added = (event: CustomEvent<AddedPerson>): void => {
    this.adding = false;
    this.people.set([...(this.people.value ?? []), event.detail.person].sort((a, b) => a.name.localeCompare(b.name)));
    this.showLink(event.detail);
  };

  private menu(person: Person): MenuItem[] {
    const self = person.id === store.me?.personId;
    return [
      { label: "New one-time link", icon: "link", disabled: person.disabled, run: () => void this.newLink(person) },
      ...(self
        ? []
        : ([
            { label: "End all sign-ins", icon: "sign-out", run: () => void this.endSignIns(person) },
            person.disabled
              ? { label: "Let in again", icon: "check", run: () => void this.change(person, { disabled: false }) }
              : { label: "Shut out", icon: "hand", run: () => void this.disable(person) },
            { label: "Remove", icon: "trash", danger: true, run: () => void this.discard(person) },
          ] satisfies MenuItem[])),
    ];
  }

  private renderPerson(person: Person) {
    const self = person.id === store.me?.personId;
    const ways = [
      person.hasPassword ? "password" : "",
      person.passkeys === 1 ? "1 passkey" : person.passkeys > 1 ? `${person.passkeys} passkeys` : "",
      person.oidc ? "single sign-on" : "",
    ].filter(Boolean);
    return html`<div class="row ${person.disabled ? "off" : ""}" role="listitem" aria-label=${person.name}>
        <div>
          <div class="name">
            ${person.name}${self ? html`<span class="tag good">you</span>` : nothing}${person.disabled ? html`<span class="tag bad">shut out</span>` : nothing}
          </div>
          <div class="hint" title=${`Added ${fullTime(person.createdAt)}`}>
            ${person.lastSeenAt ? `Seen ${ago(person.lastSeenAt)}` : "Never signed in"} · ${ways.length > 0 ? ways.join(", ") : "one-time links only"}
          </div>
        </div>
        ${self || person.role === "guest"
          ? html`<span class="hint" title=${roleWords[person.role]}>${roleNames[person.role]}</span>`
          : html`<select aria-label="Role of ${person.name}" @change=${(event: Event) => void this.changeRole(person, event.target as HTMLSelectElement)}>
              ${(["admin", "member"] as const).map((role) => html`<option value=${role} ?selected=${role === person.role}>${roleNames[role]}</option>`)}
            </select>`}
        <es-menu label="More about ${person.name}" .items=${this.menu(person)}></es-menu>
      </div>
      ${this.link?.personId === person.id ? this.renderLink() : nothing}`;
  }

  private renderLink() {
    const { link } = this;
    if (!link) return nothing;
    return html`<es-shown-once
      label="One-time link for ${link.person.name}"
      .value=${link.link.url}
      .until=${link.until}
      note="Give it to ${link.person.name} yourself: whoever opens it is signed in as them. It works once and is not shown again."
    ></es-shown-once>`;
  }

  override render() {
    const many = (this.people.value?.length ?? 0) > 8;
    return html`
      <header>
        <h1>People</h1>
        ${this.adding
          ? nothing
          : html`<button class="primary" @click=${() => ((this.adding = true), (this.link = null))}>${icon("plus")}Add somebody</button>`}
      </header>
      <div class="scroll">
        <div class="list">
          ${this.adding ? html`<es-add-person @added=${this.added} @cancel=${() => (this.adding = false)}></es-add-person>` : nothing}
          ${many
            ? html`<input
                class="search"
                type="search"
                aria-label="Search people"
                placeholder="Name"
                autocomplete="off"
                @input=${(event: Event) => (this.searched = (event.target as HTMLInputElement).value)}
              />`
            : nothing}
          ${this.people.show(
            () =>
              html`<div role="list" aria-label="People">
                ${repeat(
                  this.found,
                  (person) => person.id,
                  (person) => this.renderPerson(person),
                )}
              </div>`,
            "the people",
          )}
        </div>
      </div>
    `;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-people-page": PeoplePage;
  }
}
