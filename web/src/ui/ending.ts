/** How a session ended, and what one can do now. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, property } from "lit/decorators.js";

import type { Session } from "../api/types";
import { duration, sentence } from "./format";
import { replayPath } from "../router";
import { icon } from "./icons";
import { marked } from "./marked";
import { endingOf, statusOf } from "./status";
import { base, buttons } from "./styles/shared";

@customElement("es-ending")
export class Ending extends LitElement {
  @property({ attribute: false }) session!: Session;
  @property({ type: Boolean }) canControl = false;
  /** Who stopped it; `null` when it ended by itself. */
  @property({ attribute: false }) stoppedBy: string | null = null;

  static override styles = [
    base,
    buttons,
    css`
      :host {
        display: flex;
        align-items: center;
        gap: 12px;
        padding: 12px 16px calc(12px + env(safe-area-inset-bottom));
        border-top: 1px solid var(--line);
        background: var(--surface);
      }
      .sign {
        width: 30px;
        height: 30px;
        border-radius: 50%;
        display: grid;
        place-items: center;
        flex: none;
        color: var(--ok);
        background: var(--ok-soft);
      }
      .bad .sign,
      .sign.bad {
        color: var(--bad);
        background: var(--bad-soft);
      }
      .sign.muted {
        color: var(--text-2);
        background: var(--hover);
      }
      .text {
        flex: 1;
        min-width: 0;
      }
      strong {
        font-weight: 600;
      }
      .more {
        color: var(--text-2);
        font-size: 13px;
        overflow-wrap: anywhere;
      }
    `,
  ];

  override render() {
    const { session } = this;
    const tone = this.stoppedBy === null && statusOf(session).tone === "bad" ? "bad" : session.exitCode === 0 ? "ok" : "muted";
    const from = Date.parse(session.startedAt ?? session.createdAt);
    const took = session.endedAt ? duration(Date.parse(session.endedAt) - from) : "";
    const remedy = session.state === "failed" ? session.reason?.remedy : "";
    return html`<span class="sign ${tone}">${icon(tone === "bad" ? "warning" : tone === "ok" ? "check" : "stop")}</span>
      <div class="text" role="status">
        <strong>${sentence(endingOf(session, this.stoppedBy))}</strong>
        <div class="more">
          ${remedy ? marked(sentence(remedy)) : (took ? `It ran for ${took}. The whole log is kept.` : "The whole log is kept.")}
        </div>
      </div>
      ${session.hasDesktop ? html`<a class="button outlined" href=${replayPath(session.id)}>Replay</a>` : nothing}
      ${this.canControl
        ? html`<button class="outlined" @click=${() => this.dispatchEvent(new Event("again"))}>Start again</button>`
        : nothing}`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-ending": Ending;
  }
}
