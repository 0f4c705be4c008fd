/** The desktop's toolbar: who has control, how it looks and sounds, and the rest in a menu. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, property } from "lit/decorators.js";

import type { DesktopClient } from "../desktop/client";
import { controlWords } from "../desktop/control";
import { colourOf } from "../desktop/cursor";
import type { Preset } from "../desktop/messages";
import type { DesktopViewer } from "../desktop/viewer";
import { Watches } from "../store/controller";
import { preferences } from "../store/preferences";
import { desktopIcon } from "./desktop-icons";
import type { Way } from "./desktop-ways";
import "./desktop-ways";
import { icon } from "./icons";
import "./menu";
import type { MenuItem } from "./menu";
import { base, buttons, fields } from "./styles/shared";

const presets: readonly (readonly [Preset, string, string])[] = [
  ["text", "Text", "sharp letters, fewest bytes"],
  ["balanced", "Balanced", "for most work"],
  ["motion", "Motion", "smooth video"],
];

@customElement("es-desktop-bar")
export class DesktopBar extends LitElement {
  @property({ attribute: false }) viewer!: DesktopClient;
  /** What the menu holds beside what the bar knows itself. */
  @property({ attribute: false }) menu: readonly MenuItem[] = [];
  @property({ attribute: false }) ways: readonly Way[] = [];
  @property({ type: Boolean }) statistics = false;
  @property({ type: Boolean }) recording = false;
  @property({ type: Boolean }) fullScreen = false;

  constructor() {
    super();
    new Watches(this, preferences);
  }

  static override styles = [
    base,
    buttons,
    fields,
    css`
      :host {
        display: flex;
        align-items: center;
        gap: 4px;
        min-height: 40px;
        padding: 3px 8px 3px 12px;
        border-bottom: 1px solid var(--line);
        background: var(--bg);
        min-width: 0;
        container-type: inline-size;
      }
      .control {
        display: flex;
        align-items: center;
        gap: 8px;
        flex: 1 1 auto;
        min-width: 0;
        overflow: hidden;
        font-size: 12.5px;
        color: var(--text-2);
      }
      .control.mine .words {
        color: var(--ok);
        font-weight: 550;
      }
      .control button {
        height: 28px;
        padding: 0 10px;
      }
      .people {
        display: flex;
      }
      .person {
        width: 22px;
        height: 22px;
        margin-left: -5px;
        border-radius: 50%;
        border: 2px solid var(--bg);
        display: grid;
        place-content: center;
        font-size: 10.5px;
        font-weight: 650;
        color: #fff;
        text-transform: uppercase;
      }
      .person:first-child {
        margin-left: 0;
      }
      .words {
        flex: 1 1 60px;
      }
      select {
        flex: none;
        width: auto !important;
        height: 28px;
        padding: 2px 6px !important;
        font-size: 12.5px !important;
      }
      .square {
        width: 30px;
        height: 30px;
      }
      .recording {
        height: 28px;
        padding: 0 9px;
        color: var(--bad);
      }
      .recording i {
        width: 9px;
        height: 9px;
        border-radius: 50%;
        background: var(--bad);
      }
      .gap {
        width: 1px;
        height: 18px;
        background: var(--line);
        margin: 0 3px;
      }
      @container (max-width: 640px) {
        .people {
          display: none !important;
        }
      }
      @container (max-width: 520px) {
        .roomy {
          display: none !important;
        }
      }
      @container (max-width: 400px) {
        select,
        .gap {
          display: none !important;
        }
      }
    `,
  ];

  private tell(name: string): void {
    this.dispatchEvent(new CustomEvent("act", { detail: name }));
  }

  private renderControl() {
    const { control } = this.viewer;
    const act = (label: string, run: () => void, short: string = label) =>
      html`<button class="outlined" aria-label=${label} @click=${run}>
        <span>${short}<span class="roomy">${label.slice(short.length)}</span></span>
      </button>`;
    const wish = this.viewer;
    let button: unknown = nothing;
    if (control.mine) button = act("Release", () => wish.wish({ type: "give-control", to: 0 }));
    else if (control.holder && control.mayControl) {
      button = html`${control.me?.asks
        ? html`<span class="roomy">asked</span>`
        : act("Ask", () => wish.wish({ type: "ask-for-control" }))}${act("Take control", () => wish.wish({ type: "take-control" }), "Take")}`;
    }
    return html`<div class="control ${control.mine ? "mine" : ""}">
      <span class="words ellipsis" role="status">${controlWords(control)}</span>
      ${button}
      ${control.asking.map((asker) => act(`Give to ${asker.name}`, () => wish.wish({ type: "give-control", to: asker.number })))}
    </div>`;
  }

  private renderPeople() {
    const { me, others } = this.viewer.control;
    if (others.length === 0 || !me) return nothing;
    const shown = [me, ...others].slice(0, 5);
    const names = [me, ...others].map((viewer) => (viewer === me ? "you" : viewer.name)).join(", ");
    return html`<div class="people" role="img" aria-label="Watching: ${names}" title="Watching: ${names}">
      ${shown.map((viewer) => html`<span class="person" style="background:${colourOf(viewer.number)}">${[...viewer.name][0] ?? "?"}</span>`)}
    </div>`;
  }

  private renderPresets(native: DesktopViewer) {
    return html`<select
      aria-label="Picture"
      title="What the picture cares for, for everybody"
      ?disabled=${!native.control.mayControl || native.pictures !== "h264"}
      @change=${(event: Event) => native.setPreset((event.target as HTMLSelectElement).value as Preset)}
    >
      ${presets.map(([name, label, what]) => html`<option value=${name} title=${what} ?selected=${native.desktop?.preset === name}>${label}</option>`)}
    </select>`;
  }

  override render() {
    const { viewer } = this;
    const { native } = viewer;
    const { shareClipboard } = preferences.current;
    return html`
      ${this.renderControl()} ${this.renderPeople()} ${native ? this.renderPresets(native) : nothing}
      ${this.ways.length > 0 ? html`<es-desktop-ways .ways=${this.ways}></es-desktop-ways>` : nothing}
      <span class="gap"></span>
      ${this.recording
        ? html`<button class="recording" title="Stop recording" aria-label="Stop recording" @click=${() => this.tell("record")}><i></i>Rec</button>`
        : nothing}
      ${native?.desktop?.audio
        ? html`<button class="square" aria-label="Sound" title="Sound" aria-pressed=${native.hears} @click=${() => native.listen(!native.hears)}>
            ${desktopIcon(native.hears ? "sound" : "silent")}
          </button>`
        : nothing}
      <button
        class="square roomy"
        aria-label="Share the clipboard"
        title="Share the clipboard: what is copied on one side is on the other at once"
        aria-pressed=${shareClipboard}
        @click=${() => this.tell("clipboard")}
      >
        ${desktopIcon("clipboard")}
      </button>
      <button class="square roomy" aria-label="Screenshot" title="Screenshot" @click=${() => this.tell("screenshot")}>${desktopIcon("camera")}</button>
      ${native
        ? html`<button class="square roomy" aria-label="Statistics" title="Statistics" aria-pressed=${this.statistics} @click=${() => this.tell("statistics")}>
            ${desktopIcon("gauge")}
          </button>`
        : nothing}
      <button class="square" aria-label="Full screen" title="Full screen (Ctrl-Alt-Enter)" aria-pressed=${this.fullScreen} @click=${() => this.tell("full-screen")}>
        ${icon("expand")}
      </button>
      <es-menu .items=${this.menu} label="More of the desktop"></es-menu>
    `;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-desktop-bar": DesktopBar;
  }
}
