/** What happened in a session besides output: prompts, interrupts, gaps, beginning and end. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, property } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";

import type { TimelineEntry } from "../terminal/viewing";
import { clockTime, fullTime, signalName, size } from "./format";
import { icon } from "./icons";
import { base, buttons } from "./styles/shared";

interface Line {
  readonly title: string;
  readonly text?: string;
  readonly tone?: "ok" | "bad" | "warn";
}

export function lineOf(entry: TimelineEntry): Line {
  switch (entry.kind) {
    case "started":
      return { title: `${entry.agent} started`, text: entry.branch ?? "", tone: "ok" };
    case "prompted":
      return { title: entry.by ? `${entry.by} wrote` : "Prompt", text: entry.text };
    case "interrupted":
      return { title: `Interrupted${entry.by ? ` by ${entry.by}` : ""}`, tone: "warn" };
    case "stopping":
      return { title: `${entry.how === "kill" ? "Killed" : "Stopped"}${entry.by ? ` by ${entry.by}` : ""}`, tone: "warn" };
    case "exited":
      if (entry.signal !== null) return { title: `Ended by ${signalName(entry.signal)}`, tone: "warn" };
      return { title: `Ended with exit code ${entry.exitCode ?? "?"}`, tone: entry.exitCode === 0 ? "ok" : "bad" };
    case "failed":
      return { title: "Failed", text: [entry.detail, entry.remedy].filter(Boolean).join(" "), tone: "bad" };
    case "gap":
      return {
        title: `${size(entry.bytes)} of output missing`,
        text: entry.reason || "The runner's spool was full.",
        tone: "bad",
      };
  }
}

@customElement("es-timeline")
export class Timeline extends LitElement {
  @property({ attribute: false }) entries: readonly TimelineEntry[] = [];

  static override styles = [
    base,
    buttons,
    css`
      :host {
        display: flex;
        flex-direction: column;
        width: 264px;
        min-height: 0;
        border-left: 1px solid var(--line);
        background: var(--bg);
      }
      header {
        display: flex;
        align-items: center;
        padding: 8px 8px 4px 16px;
      }
      h2 {
        flex: 1;
        font-size: 12.5px;
        font-weight: 600;
        color: var(--text-2);
      }
      header button {
        height: 28px;
        width: 28px;
      }
      ol {
        list-style: none;
        margin: 0;
        padding: 0 8px 12px;
        overflow: auto;
        flex: 1;
      }
      li button {
        width: 100%;
        height: auto;
        display: grid;
        grid-template-columns: 14px 1fr auto;
        gap: 2px 8px;
        padding: 7px 8px;
        text-align: left;
        white-space: normal;
        line-height: 1.4;
        justify-content: stretch;
      }
      .dot {
        width: 7px;
        height: 7px;
        border-radius: 50%;
        background: var(--accent);
        margin-top: 6px;
      }
      .ok .dot {
        background: var(--ok);
      }
      .warn .dot {
        background: var(--warn);
      }
      .bad .dot {
        background: var(--bad);
      }
      .bad .title {
        color: var(--bad);
      }
      .title {
        overflow-wrap: anywhere;
      }
      time {
        font-weight: 400;
        font-size: 11.5px;
        color: var(--text-3);
        padding-top: 1px;
      }
      .text {
        grid-column: 2 / -1;
        font-weight: 400;
        font-size: 12.5px;
        color: var(--text-2);
        display: -webkit-box;
        -webkit-line-clamp: 4;
        line-clamp: 4;
        -webkit-box-orient: vertical;
        overflow: hidden;
        overflow-wrap: anywhere;
        white-space: pre-line;
      }
      .empty {
        padding: 8px 16px;
        color: var(--text-3);
        font-size: 13px;
      }
      @media (max-width: 760px) {
        :host {
          position: absolute;
          inset: 0;
          z-index: 8;
          width: auto;
          border: none;
        }
      }
    `,
  ];

  override render() {
    return html`<header>
        <h2>Timeline</h2>
        <button class="square" aria-label="Close timeline" @click=${() => this.dispatchEvent(new Event("close"))}>${icon("close")}</button>
      </header>
      ${this.entries.length === 0 ? html`<p class="empty">Prompts, interrupts and the end will show here.</p>` : nothing}
      <ol>
        ${repeat(
          this.entries,
          (entry) => entry.seq,
          (entry) => {
            const line = lineOf(entry);
            return html`<li>
              <button
                class=${line.tone ?? ""}
                title="Show in the terminal"
                @click=${() => this.dispatchEvent(new CustomEvent("reveal", { detail: entry.seq }))}
              >
                <span class="dot"></span>
                <span class="title">${line.title}</span>
                <time title=${fullTime(entry.ts)}>${clockTime(entry.ts)}</time>
                ${line.text ? html`<span class="text">${line.text}</span>` : nothing}
              </button>
            </li>`;
          },
        )}
      </ol>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-timeline": Timeline;
  }
}
