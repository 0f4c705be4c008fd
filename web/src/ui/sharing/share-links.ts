/** Links to a session: whoever has one comes in. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";

import { type Problem, asProblem } from "../../api/problem";
import { sharing } from "../../api/sharing";
import type { ShareLink, ShareRole } from "../../api/types";
import { confirm } from "../confirm";
import { ago, fullTime } from "../format";
import { icon } from "../icons";
import "../problem-note";
import "../shown-once";
import { rows } from "../styles/page";
import { base, buttons, fields } from "../styles/shared";
import { notifyError } from "../toasts";
import { linkTimes, sessionRoleNames, shareRoles } from "./roles";

@customElement("es-share-links")
export class ShareLinks extends LitElement {
  @property() sessionId = "";
  @property({ attribute: false }) links: readonly ShareLink[] = [];
  @state() private busy = false;
  @state() private problem: Problem | null = null;
  @state() private made: { id: string; url: string } | null = null;
  @query("#link-role") private roleField!: HTMLSelectElement;
  @query("#link-time") private timeField!: HTMLSelectElement;

  static override styles = [
    base,
    buttons,
    fields,
    rows,
    css`
      form {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 8px;
        padding-bottom: 10px;
      }
      form select {
        width: auto;
      }
      .row {
        padding: 8px 0;
      }
    `,
  ];

  private changed(): void {
    this.dispatchEvent(new Event("changed"));
  }

  private readonly make = async (event: Event): Promise<void> => {
    event.preventDefault();
    this.busy = true;
    this.problem = null;
    try {
      this.made = await sharing.makeLink(this.sessionId, this.roleField.value as ShareRole, Number(this.timeField.value));
      this.changed();
      await this.updateComplete;
      this.shadowRoot?.querySelector("es-shown-once")?.focus();
    } catch (error) {
      this.problem = asProblem(error);
    } finally {
      this.busy = false;
    }
  };

  private async end(link: ShareLink): Promise<void> {
    const sure =
      link.uses === 0 ||
      (await confirm({
        title: "End this link?",
        text: "Nobody can come in with it any more, and whoever came with it and has no account is put out at once.",
        yes: "End it",
      }));
    if (!sure) return;
    try {
      await sharing.endLink(this.sessionId, link.id);
      if (this.made?.id === link.id) this.made = null;
    } catch (error) {
      notifyError("The link was not ended.", error);
    }
    this.changed();
  }

  private renderLink(link: ShareLink) {
    return html`<div class="row" role="listitem">
      <div>
        <div class="name">
          ${sessionRoleNames[link.role]}${this.made?.id === link.id ? html`<span class="tag good">new</span>` : nothing}
        </div>
        <div class="hint">
          until ${fullTime(link.expiresAt)} · ${link.uses === 0 ? "not used" : link.uses === 1 ? "used once" : `used ${link.uses} times`} · by
          ${link.createdBy}, ${ago(link.createdAt)}
        </div>
      </div>
      <button class="danger" aria-label="End this link" @click=${() => void this.end(link)}>End</button>
    </div>`;
  }

  override render() {
    return html`<h2>Links</h2>
      <form aria-label="Make a link" @submit=${this.make}>
        <select id="link-role" aria-label="Role of whoever has the link">
          ${shareRoles.map((role) => html`<option value=${role} ?selected=${role === "viewer"}>${sessionRoleNames[role]}</option>`)}
        </select>
        <span class="hint">for</span>
        <select id="link-time" aria-label="How long the link works">
          ${linkTimes.map(([seconds, words]) => html`<option value=${seconds} ?selected=${seconds === 86_400}>${words}</option>`)}
        </select>
        <button class="outlined" ?disabled=${this.busy}>${icon("link")}${this.busy ? "Making…" : "Make a link"}</button>
      </form>
      <es-problem .problem=${this.problem}></es-problem>
      ${this.made
        ? html`<es-shown-once
            label="Link to this session"
            .value=${this.made.url}
            note="Copy it now: it will not be shown again. Whoever has it comes in, without an account."
          ></es-shown-once>`
        : nothing}
      ${this.links.length > 0
        ? html`<div role="list" aria-label="Links">${this.links.map((link) => this.renderLink(link))}</div>`
        : html`<p class="hint">None. A link lets somebody without an account in, for a while.</p>`}`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-share-links": ShareLinks;
  }
}
