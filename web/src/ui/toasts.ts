/** Short notices at the edge of the page; an error says what failed and what to do. */

import { LitElement, css, html } from "lit";
import { customElement, state } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";

import { asProblem } from "../api/problem";
import { CommandRefused } from "../feed/outbox";
import { icon } from "./icons";
import { marked } from "./marked";
import { base, buttons } from "./styles/shared";

export interface Notice {
  readonly text: string;
  readonly detail?: string;
  readonly tone?: "plain" | "bad";
  readonly action?: { readonly label: string; readonly run: () => void };
  /** Replaces an older notice of the same key. */
  readonly key?: string;
}

interface Shown extends Notice {
  readonly id: number;
}

const PLAIN_MS = 4_000;
const LONG_MS = 12_000;
const MAX_SHOWN = 4;

@customElement("es-toasts")
export class Toasts extends LitElement {
  @state() private shown: readonly Shown[] = [];
  private nextId = 1;

  static override styles = [
    base,
    buttons,
    css`
      :host {
        position: fixed;
        inset: auto 16px 16px auto;
        margin: 0;
        padding: 0;
        border: 0;
        background: none;
        color: var(--text);
        overflow: visible;
        display: grid;
        gap: 8px;
        width: min(400px, calc(100vw - 32px));
        pointer-events: none;
      }
      .toast {
        pointer-events: auto;
        display: flex;
        align-items: flex-start;
        gap: 10px;
        padding: 10px 8px 10px 14px;
        background: var(--raised);
        border: 1px solid var(--line-strong);
        border-radius: 10px;
        box-shadow: var(--shadow);
        animation: in 160ms ease-out;
      }
      .toast.bad > .icon {
        color: var(--bad);
        margin-top: 2px;
      }
      .text {
        flex: 1;
        min-width: 0;
        overflow-wrap: anywhere;
      }
      .detail {
        color: var(--text-2);
        font-size: 13px;
        margin-top: 2px;
      }
      .toast button {
        height: 26px;
      }
      .toast .square {
        width: 26px;
      }
      @keyframes in {
        from {
          opacity: 0;
          transform: translateY(8px);
        }
      }
      @media (max-width: 760px) {
        :host {
          inset: calc(var(--viewport-top, 0px) + 60px) 16px auto auto;
        }
      }
    `,
  ];

  override connectedCallback(): void {
    super.connectedCallback();
    this.popover = "manual";
  }

  /** Into the top layer, again: above a dialog that was opened since. */
  private raise(): void {
    if (this.matches(":popover-open")) this.hidePopover();
    this.showPopover();
  }

  show(notice: Notice): void {
    this.raise();
    const id = this.nextId;
    this.nextId += 1;
    const others = this.shown.filter((other) => !notice.key || other.key !== notice.key);
    this.shown = [...others, { ...notice, id }].slice(-MAX_SHOWN);
    setTimeout(() => this.hide(id), notice.tone === "bad" || notice.action ? LONG_MS : PLAIN_MS);
  }

  private hide(id: number): void {
    this.shown = this.shown.filter((notice) => notice.id !== id);
  }

  override render() {
    return html`<div role="status" aria-live="polite">
      ${repeat(
        this.shown,
        (notice) => notice.id,
        (notice) => html`<div class="toast ${notice.tone ?? "plain"}">
          ${notice.tone === "bad" ? icon("warning") : ""}
          <div class="text">
            <div>${notice.text}</div>
            ${notice.detail ? html`<div class="detail">${marked(notice.detail)}</div>` : ""}
          </div>
          ${notice.action
            ? html`<button
                class="outlined"
                @click=${() => {
                  notice.action?.run();
                  this.hide(notice.id);
                }}
              >
                ${notice.action.label}
              </button>`
            : ""}
          <button class="square" aria-label="Dismiss" @click=${() => this.hide(notice.id)}>${icon("close")}</button>
        </div>`,
      )}
    </div>`;
  }
}

/** Show a notice on the page. */
export function notify(notice: Notice): void {
  document.querySelector("es-toasts")?.show(notice);
}

/** Tell the person that something failed, and what to do. */
export function notifyError(what: string, error: unknown): void {
  const { message, remedy } = error instanceof CommandRefused ? error : asProblem(error);
  notify({ tone: "bad", text: what, detail: [message, remedy].filter(Boolean).join(" "), key: what });
}

declare global {
  interface HTMLElementTagNameMap {
    "es-toasts": Toasts;
  }
}
