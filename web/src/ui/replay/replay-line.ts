/** The time line: what is recorded, what happened, and where one is. A slider to drag and to step. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, property, state } from "lit/decorators.js";

import { type Line, type Mark, clock } from "../../replay/moments";
import { clockTime } from "../format";
import { base } from "../styles/shared";
import { lineOf } from "../timeline";

/** Marks nearer to each other, in shares of the line, are drawn as one. */
const NEAR = 0.004;

@customElement("es-replay-line")
export class ReplayLine extends LitElement {
  @property({ attribute: false }) line: Line | null = null;
  @property({ attribute: false }) marks: readonly Mark[] = [];
  @property({ type: Number }) position = 0;
  @state() private pointed: number | null = null;
  private dragging = false;

  static override styles = [
    base,
    css`
      :host {
        display: block;
        touch-action: none;
        user-select: none;
        -webkit-user-select: none;
      }
      .slider {
        position: relative;
        height: 40px;
        cursor: pointer;
        border-radius: 6px;
      }
      .slider:focus-visible {
        outline-offset: -2px;
      }
      .track,
      .span,
      .done {
        position: absolute;
        top: 23px;
        height: 6px;
        border-radius: 3px;
      }
      .track {
        left: 0;
        right: 0;
        background: repeating-linear-gradient(135deg, var(--line) 0 3px, transparent 3px 7px);
        border-radius: 3px;
        outline: 1px solid var(--line);
      }
      .span {
        background: var(--line-strong);
        min-width: 2px;
      }
      .done {
        left: 0;
        background: var(--accent);
        opacity: 0.85;
      }
      .mark {
        position: absolute;
        top: 8px;
        width: 3px;
        height: 10px;
        margin-left: -1.5px;
        border-radius: 2px;
        background: var(--accent);
      }
      .mark.ok {
        background: var(--ok);
      }
      .mark.warn {
        background: var(--warn);
      }
      .mark.bad {
        background: var(--bad);
      }
      .mark.near {
        height: 14px;
        top: 5px;
      }
      .thumb {
        position: absolute;
        top: 18px;
        width: 16px;
        height: 16px;
        margin-left: -8px;
        border-radius: 50%;
        background: var(--text);
        border: 3px solid var(--bg);
        box-shadow: 0 0 0 1px var(--line-strong);
      }
      .tip {
        position: absolute;
        bottom: calc(100% + 2px);
        max-width: min(320px, 80vw);
        padding: 5px 9px;
        border: 1px solid var(--line-strong);
        border-radius: 7px;
        background: var(--raised);
        box-shadow: var(--shadow);
        font-size: 12.5px;
        white-space: nowrap;
        pointer-events: none;
        z-index: 3;
      }
      .tip .text {
        color: var(--text-2);
        display: block;
      }
      @media (pointer: coarse) {
        .slider {
          height: 52px;
        }
        .track,
        .span,
        .done {
          top: 30px;
          height: 8px;
        }
        .thumb {
          top: 23px;
          width: 22px;
          height: 22px;
          margin-left: -11px;
        }
        .mark {
          top: 11px;
        }
      }
    `,
  ];

  private share(at: number): number {
    const { line } = this;
    return line ? Math.min(1, Math.max(0, (at - line.from) / (line.to - line.from))) : 0;
  }

  private timeAt(event: PointerEvent): number {
    const { line } = this;
    const box = (this.renderRoot as ShadowRoot).querySelector(".slider")?.getBoundingClientRect();
    if (!line || !box || box.width === 0) return 0;
    return line.from + Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * (line.to - line.from);
  }

  private seek(at: number): void {
    this.dispatchEvent(new CustomEvent("seek", { detail: at }));
  }

  private readonly down = (event: PointerEvent): void => {
    if (event.button !== 0) return;
    this.dragging = true;
    (event.currentTarget as HTMLElement).setPointerCapture(event.pointerId);
    this.seek(this.snapped(this.timeAt(event)));
  };

  private readonly move = (event: PointerEvent): void => {
    this.pointed = this.timeAt(event);
    if (this.dragging) this.seek(this.pointed);
  };

  private readonly up = (): void => {
    this.dragging = false;
  };

  /** A mark that was all but hit. */
  private markAt(at: number): Mark | null {
    const { line } = this;
    if (!line) return null;
    const near = this.marks.filter((mark) => Math.abs(mark.ts - at) <= (line.to - line.from) * NEAR * 1.5);
    return near.sort((a, b) => Math.abs(a.ts - at) - Math.abs(b.ts - at))[0] ?? null;
  }

  private snapped(at: number): number {
    return this.markAt(at)?.ts ?? at;
  }

  private renderTip() {
    const { line, pointed } = this;
    if (!line || pointed === null) return nothing;
    const mark = this.markAt(pointed);
    const share = this.share(mark?.ts ?? pointed);
    const said = mark ? lineOf(mark) : null;
    const side = share > 0.5 ? `right:${((1 - share) * 100).toFixed(2)}%` : `left:${(share * 100).toFixed(2)}%`;
    return html`<div class="tip" style=${side}>
      ${clock((mark?.ts ?? pointed) - line.from)} · ${clockTime(mark?.ts ?? pointed)}
      ${said ? html`<span class="text ellipsis">${said.title}${said.text ? `: ${said.text}` : ""}</span>` : nothing}
    </div>`;
  }

  override render() {
    const { line } = this;
    if (!line) return nothing;
    const percent = (at: number): string => `${(this.share(at) * 100).toFixed(3)}%`;
    let last = -1;
    const shown = this.marks.filter((mark) => {
      const share = this.share(mark.ts);
      if (share - last < NEAR && !["exited", "failed"].includes(mark.kind)) return false;
      last = share;
      return true;
    });
    const near = this.pointed === null ? null : this.markAt(this.pointed);
    return html`<div
      class="slider"
      role="slider"
      tabindex="0"
      aria-label="Time"
      aria-valuemin="0"
      aria-valuemax=${Math.round((line.to - line.from) / 1000)}
      aria-valuenow=${Math.round((this.position - line.from) / 1000)}
      aria-valuetext="${clock(this.position - line.from)} of ${clock(line.to - line.from)}"
      @pointerdown=${this.down}
      @pointermove=${this.move}
      @pointerup=${this.up}
      @pointercancel=${this.up}
      @pointerleave=${() => (this.pointed = null)}
    >
      <div class="track"></div>
      ${line.spans.map((span) => html`<div class="span" style="left:${percent(span.from)};width:${((this.share(span.to) - this.share(span.from)) * 100).toFixed(3)}%"></div>`)}
      <div class="done" style="width:${percent(this.position)}"></div>
      ${shown.map((mark) => html`<div class="mark ${lineOf(mark).tone ?? ""} ${mark === near ? "near" : ""}" data-kind=${mark.kind} style="left:${percent(mark.ts)}"></div>`)}
      <div class="thumb" style="left:${percent(this.position)}"></div>
      ${this.renderTip()}
    </div>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-replay-line": ReplayLine;
  }
}
