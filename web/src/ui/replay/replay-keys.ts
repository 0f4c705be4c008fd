/** What plays, steps and speeds up; and what happened last. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, property } from "lit/decorators.js";

import { type Line, type Mark, clock } from "../../replay/moments";
import { clockTime, fullTime } from "../format";
import "../menu";
import type { MenuItem } from "../menu";
import { base, buttons } from "../styles/shared";
import { lineOf as wordsOf } from "../timeline";
import { transportIcon } from "./icons";

@customElement("es-replay-keys")
export class ReplayKeys extends LitElement {
  @property({ attribute: false }) line: Line | null = null;
  @property({ attribute: false }) latest: Mark | null = null;
  @property({ attribute: false }) menu: readonly MenuItem[] = [];
  @property({ type: Number }) position = 0;
  @property({ type: Number }) speed = 1;
  @property({ type: Boolean }) playing = false;

  static override styles = [
    base,
    buttons,
    css`
      :host {
        display: flex;
        align-items: center;
        gap: 4px;
        min-width: 0;
      }
      .play {
        width: 44px;
        padding: 0;
        margin-right: 4px;
      }
      .time {
        margin: 0 10px 0 8px;
        font-size: 13px;
        font-weight: 550;
        white-space: nowrap;
      }
      .of,
      .latest time,
      .latest .text {
        color: var(--text-3);
        font-weight: 450;
      }
      .latest {
        flex: 1;
        color: var(--text-2);
        font-size: 12.5px;
      }
      .latest time {
        margin-right: 4px;
      }
      .speed {
        color: var(--accent);
        padding: 0 8px;
      }
      @media (max-width: 760px) {
        :host {
          flex-wrap: wrap;
        }
        .latest {
          order: 9;
          flex: 1 0 100%;
          min-height: 20px;
          padding: 2px 2px 0;
        }
        .time {
          flex: 1;
          margin: 0 4px;
        }
      }
      @media (max-width: 1000px) and (max-height: 500px) {
        .latest {
          display: none;
        }
        .time {
          flex: 1;
        }
      }
    `,
  ];

  private tell(name: string): void {
    this.dispatchEvent(new CustomEvent("act", { detail: name }));
  }

  private renderKey(name: "back" | "on" | "before" | "next", label: string, key: string) {
    return html`<button class="square" ?disabled=${!this.line} aria-label=${label} title="${label} (${key})" @click=${() => this.tell(name)}>
      ${transportIcon(name)}
    </button>`;
  }

  override render() {
    const { line, position, latest, playing } = this;
    const words = latest ? wordsOf(latest) : null;
    const verb = playing ? "Pause" : "Play";
    return html`
      <button class="primary play" ?disabled=${!line} aria-label=${verb} title="${verb} (Space)" @click=${() => this.tell("toggle")}>
        ${transportIcon(playing ? "pause" : "play")}
      </button>
      ${this.renderKey("back", "Back 5 seconds", "←")} ${this.renderKey("on", "On 5 seconds", "→")}
      ${this.renderKey("before", "Event before", "↑")} ${this.renderKey("next", "Next event", "↓")}
      <span class="time" title=${line ? fullTime(position) : ""}>${line ? html`${clock(position - line.from)}<span class="of"> / ${clock(line.to - line.from)}</span>` : "–"}</span>
      <span class="latest ellipsis" aria-live="polite">
        ${words && latest ? html`<time>${clockTime(latest.ts)}</time>${words.title}${words.text ? html`<span class="text">: ${words.text}</span>` : nothing}` : nothing}
      </span>
      ${this.speed !== 1 ? html`<button class="speed" title="Normal speed" @click=${() => this.tell("normal-speed")}>${this.speed}×</button>` : nothing}
      <es-menu .items=${this.menu} label="Speed and more"></es-menu>
    `;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-replay-keys": ReplayKeys;
  }
}
