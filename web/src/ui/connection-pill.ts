/** How the page is connected to the session, and why not. */

import { LitElement, css, html } from "lit";
import { customElement, property } from "lit/decorators.js";

import type { Status } from "../feed/link";
import { Ticks } from "../store/controller";
import { base, buttons } from "./styles/shared";

export interface PillText {
  readonly tone: "ok" | "warn" | "bad" | "muted";
  readonly text: string;
  /** The short form for narrow windows. */
  readonly short: string;
  readonly retry?: string;
}

export interface PillInput {
  readonly status: Status;
  readonly drawn: boolean;
  readonly online: boolean;
  readonly over: boolean;
  readonly runnerName: string;
  readonly runnerConnected: boolean;
  readonly now: number;
}

export function pillText(input: PillInput): PillText {
  const { status, now } = input;
  switch (status.state) {
    case "idle":
    case "connecting":
    case "greeting":
      return { tone: "muted", text: status.attempts > 0 ? `Reconnecting: ${status.why}` : "Connecting", short: "Connecting" };
    case "waiting": {
      if (!input.online) {
        return { tone: "bad", text: "You are offline. What the agent does meanwhile is kept.", short: "Offline", retry: "Try now" };
      }
      const seconds = Math.max(0, Math.ceil(((status.retryAt ?? now) - now) / 1000));
      const when = seconds > 0 ? `in ${seconds} s` : "now";
      return { tone: "bad", text: `Reconnecting ${when}: ${status.why}`, short: `Retry ${when}`, retry: "Try now" };
    }
    case "ended":
      return {
        tone: "bad",
        text: status.end ? `${status.end.why} ${status.end.remedy}` : "Not connected.",
        short: "Not connected",
        retry: status.end?.code === "superseded" ? "Take it back" : "Try again",
      };
    case "replaying":
      return { tone: "muted", text: "Catching up", short: "Catching up" };
    case "live":
      if (!input.drawn) return { tone: "muted", text: "Catching up", short: "Catching up" };
      if (input.over) return { tone: "muted", text: "Complete log", short: "Complete log" };
      if (!input.runnerConnected) {
        return {
          tone: "warn",
          text: `Runner ${input.runnerName} is away; the agent keeps working`,
          short: "Runner away",
        };
      }
      return { tone: "ok", text: "Live", short: "Live" };
  }
}

@customElement("es-connection-pill")
export class ConnectionPill extends LitElement {
  @property({ attribute: false }) input: Omit<PillInput, "now" | "online"> | null = null;
  /** For tests and styles: how it stands. */
  @property({ reflect: true }) tone: PillText["tone"] = "muted";

  constructor() {
    super();
    new Ticks(this, 500);
  }

  static override styles = [
    base,
    buttons,
    css`
      :host {
        display: flex;
        min-width: 0;
      }
      .pill {
        display: flex;
        align-items: center;
        gap: 7px;
        min-width: 0;
        height: 26px;
        padding: 0 10px;
        border-radius: 99px;
        font-size: 12.5px;
        color: var(--text-2);
        background: var(--hover);
      }
      .dot {
        width: 7px;
        height: 7px;
        border-radius: 50%;
        flex: none;
        background: var(--text-3);
      }
      .ok .dot {
        background: var(--ok);
      }
      .warn {
        color: var(--warn);
        background: var(--warn-soft);
      }
      .bad {
        color: var(--bad);
        background: var(--bad-soft);
      }
      .warn .dot,
      .bad .dot {
        background: currentColor;
      }
      .muted .dot {
        animation: breathe 1.4s ease-in-out infinite;
      }
      .muted.still .dot {
        animation: none;
      }
      .short {
        display: none;
      }
      button {
        height: 20px;
        padding: 0 8px;
        margin-right: -6px;
        font-size: 12px;
        border-radius: 99px;
        color: inherit;
        border-color: currentColor;
      }
      @keyframes breathe {
        50% {
          opacity: 0.3;
        }
      }
      @media (max-width: 760px) {
        .long {
          display: none;
        }
        .short {
          display: inline;
        }
        button {
          height: 24px;
        }
      }
    `,
  ];

  private get pill(): PillText | null {
    return this.input && pillText({ ...this.input, now: Date.now(), online: navigator.onLine });
  }

  override willUpdate(): void {
    this.tone = this.pill?.tone ?? "muted";
  }

  override render() {
    const { pill } = this;
    if (!pill || !this.input) return html``;
    const still = this.input.over ? "still" : "";
    return html`<div class="pill ${pill.tone} ${still}" title=${pill.text}>
      <span class="dot"></span>
      <span class="ellipsis" role="status">
        <span class="long">${pill.text}</span><span class="short">${pill.short}</span>
      </span>
      ${pill.retry
        ? html`<button @click=${() => this.dispatchEvent(new Event("retry"))}>${pill.retry}</button>`
        : ""}
    </div>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-connection-pill": ConnectionPill;
  }
}
