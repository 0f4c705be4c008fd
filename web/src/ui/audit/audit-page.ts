/** What was done on this server, by whom, from where. For admins. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, query, state } from "lit/decorators.js";

import { AUDIT_EXPORT_PATH, audit } from "../../api/audit";
import { people } from "../../api/people";
import { type Problem, asProblem } from "../../api/problem";
import type { AuditKind, Verification } from "../../api/types";
import { Watches } from "../../store/controller";
import { Loading } from "../../store/loading";
import { store } from "../../store/store";
import { icon } from "../icons";
import "../problem-note";
import { titleOf } from "../status";
import { pages, rows } from "../styles/page";
import { base, buttons, fields } from "../styles/shared";
import "./audit-records";
import { auditGroups, auditLabel } from "./audit-words";
import { AuditPages } from "./pages";
import { type TimeRange, rangeOf, within } from "./time-range";

/** Pages fetched by themselves while a time is looked for. */
const MAX_SEARCHED = 20;

@customElement("es-audit-page")
export class AuditLogPage extends LitElement {
  @state() private kind = "";
  @state() private person = "";
  @state() private session = "";
  @state() private range: TimeRange = { from: null, until: null };
  @state() private verifying = false;
  @state() private verification: Verification | Problem | null = null;
  @query("#session") private sessionField!: HTMLSelectElement;
  @query("#from") private fromField!: HTMLInputElement;
  @query("#until") private untilField!: HTMLInputElement;
  private readonly people = new Loading(this, async () => (await people.list()).people);
  private readonly records = new AuditPages(this, (before) =>
    audit.records({
      ...(this.kind ? { kind: this.kind as AuditKind } : {}),
      ...(this.person ? { person: this.person } : {}),
      ...(this.session ? { session: this.session } : {}),
      ...(before === undefined ? {} : { before }),
    }),
  );

  constructor() {
    super();
    new Watches(this, store);
  }

  static override styles = [
    base,
    buttons,
    fields,
    pages,
    rows,
    css`
      .scroll {
        padding-top: 14px;
      }
      .filters {
        display: grid;
        grid-template-columns: repeat(5, minmax(0, 1fr));
        gap: 10px;
        max-width: 1100px;
        padding-bottom: 14px;
      }
      .verdict {
        display: flex;
        gap: 10px;
        align-items: flex-start;
        padding: 10px 14px;
        margin-bottom: 14px;
        border-radius: var(--radius);
        font-size: 13px;
        background: var(--bad-soft);
        color: var(--bad);
      }
      .verdict.ok {
        background: var(--ok-soft);
        color: var(--ok);
      }
      .verdict div {
        flex: 1;
        min-width: 0;
        overflow-wrap: anywhere;
      }
      .verdict p {
        color: var(--text-2);
      }
      .verdict ul {
        margin: 4px 0 0;
        padding-left: 18px;
      }
      .more {
        display: grid;
        justify-items: center;
        gap: 8px;
        padding: 14px 0;
      }
      .nothing {
        padding: 40px 0;
        text-align: center;
        color: var(--text-2);
      }
      @media (max-width: 760px) {
        .filters {
          grid-template-columns: 1fr 1fr;
        }
        header .button,
        header button {
          padding: 0 10px;
        }
      }
    `,
  ];

  override connectedCallback(): void {
    super.connectedCallback();
    void this.look();
  }

  /** The log has no index by time: pages are fetched until the wanted days are there. */
  private async look(): Promise<void> {
    await this.records.restart();
    await this.search();
  }

  private async search(): Promise<void> {
    for (let page = 0; page < MAX_SEARCHED && this.shown.length === 0 && this.maybeOlder && !this.records.problem; page += 1) {
      await this.records.loadMore();
    }
  }

  private get names(): ReadonlyMap<string, string> {
    return new Map((this.people.value ?? []).map((person) => [person.id, person.name]));
  }

  private get shown() {
    return this.records.records.filter((record) => within(this.range, record.at));
  }

  /** Whether what is not loaded yet can lie in the wanted time. */
  private get maybeOlder(): boolean {
    const oldest = this.records.records.at(-1);
    return this.records.more && (this.range.from === null || !oldest || Date.parse(oldest.at) >= this.range.from);
  }

  private choose(filter: "kind" | "person" | "session", event: Event): void {
    this[filter] = (event.target as HTMLSelectElement).value;
    void this.look();
  }

  private readonly only = (event: CustomEvent<string>): void => {
    this.session = event.detail;
    void this.updateComplete.then(() => (this.sessionField.value = this.session));
    void this.look();
  };

  private readonly chooseTime = (): void => {
    this.range = rangeOf(this.fromField.value, this.untilField.value);
    void this.search();
  };

  private readonly verify = async (): Promise<void> => {
    this.verifying = true;
    this.verification = null;
    try {
      this.verification = await audit.verification();
    } catch (error) {
      this.verification = asProblem(error);
    } finally {
      this.verifying = false;
    }
  };

  private renderFilters() {
    const sessions = store.sessions;
    // One that was deleted, or that ended too long ago to be listed here.
    const unlisted = this.session !== "" && !sessions.some((session) => session.id === this.session);
    return html`<div class="filters" role="group" aria-label="Filters">
      <div class="field">
        <label for="kind">What</label>
        <select id="kind" @change=${(event: Event) => this.choose("kind", event)}>
          <option value="">Everything</option>
          ${auditGroups.map(
            ([name, kinds]) => html`<optgroup label=${name}>
              ${kinds.map((kind) => html`<option value=${kind}>${auditLabel(kind)}</option>`)}
            </optgroup>`,
          )}
        </select>
      </div>
      <div class="field">
        <label for="person">Who</label>
        <select id="person" @change=${(event: Event) => this.choose("person", event)}>
          <option value="">Everybody</option>
          ${(this.people.value ?? []).map((person) => html`<option value=${person.id}>${person.name}</option>`)}
        </select>
      </div>
      <div class="field">
        <label for="session">Session</label>
        <select id="session" @change=${(event: Event) => this.choose("session", event)}>
          <option value="">All</option>
          ${unlisted ? html`<option value=${this.session}>${this.session}</option>` : nothing}
          ${sessions.map((session) => html`<option value=${session.id}>${titleOf(session)}</option>`)}
        </select>
      </div>
      <div class="field">
        <label for="from">From</label>
        <input id="from" type="date" @change=${this.chooseTime} />
      </div>
      <div class="field">
        <label for="until">Until</label>
        <input id="until" type="date" @change=${this.chooseTime} />
      </div>
    </div>`;
  }

  private renderVerification() {
    const { verification } = this;
    if (this.verifying) return html`<p class="hint" role="status">Reading the whole log…</p>`;
    if (verification === null) return nothing;
    if (verification instanceof Error) return html`<es-problem .problem=${verification} lead="The log was not verified."></es-problem>`;
    return html`<div class="verdict ${verification.ok ? "ok" : ""}" role=${verification.ok ? "status" : "alert"}>
      ${icon(verification.ok ? "check" : "warning")}
      <div>
        <strong>
          ${verification.ok
            ? `All ${verification.records.toLocaleString()} records are there and unchanged.`
            : `The log was changed: ${verification.problems.length === 1 ? "1 problem" : `${verification.problems.length} problems`} in ${verification.records.toLocaleString()} records.`}
        </strong>
        ${verification.problems.length > 0
          ? html`<ul>
              ${verification.problems.map((problem) => html`<li>Record ${problem.seq}: ${problem.what}</li>`)}
            </ul>`
          : nothing}
        <p>
          Record ${verification.head.seq} has the hash <span class="mono">${verification.head.hash}</span>. Kept elsewhere, it proves later that nothing
          before it was changed.
        </p>
      </div>
      <button class="square" aria-label="Close" @click=${() => (this.verification = null)}>${icon("close")}</button>
    </div>`;
  }

  private renderRecords() {
    const { records, shown } = this;
    return html`${shown.length > 0 ? html`<es-audit-records .records=${shown} .names=${this.names} @only=${this.only}></es-audit-records>` : nothing}
      ${shown.length === 0 && records.loaded && !records.busy
        ? html`<p class="nothing" role="status">${this.maybeOlder ? "Nothing found so far." : "Nothing of the kind was recorded."}</p>`
        : nothing}
      <div class="more">
        <es-problem .problem=${records.problem} lead="The log could not be loaded."></es-problem>
        ${records.busy
          ? html`<p class="hint" role="status">Loading…</p>`
          : this.maybeOlder || records.problem
            ? html`<button class="outlined" @click=${() => void records.loadMore()}>${records.problem ? "Try again" : "Load more"}</button>`
            : nothing}
      </div>`;
  }

  override render() {
    return html`
      <header>
        <h1>Audit log</h1>
        <button class="outlined" ?disabled=${this.verifying} @click=${this.verify}>
          ${icon("shield")}${this.verifying ? "Verifying…" : "Verify"}
        </button>
        <a class="button outlined" href=${AUDIT_EXPORT_PATH} download="earthshine-audit.jsonl">${icon("download")}Export</a>
      </header>
      <div class="scroll">${this.renderVerification()} ${this.renderFilters()} ${this.renderRecords()}</div>
    `;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-audit-page": AuditLogPage;
  }
}
