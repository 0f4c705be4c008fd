/** How this browser shows things, and who is signed in. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, state } from "lit/decorators.js";

import { api } from "../api/client";
import { FONT_SIZES, type Theme, preferences } from "../store/preferences";
import { Ticks, Watches } from "../store/controller";
import { store } from "../store/store";
import { copyText } from "../terminal/clipboard";
import { icon } from "./icons";
import { base, buttons, fields } from "./styles/shared";
import { notify, notifyError } from "./toasts";

const themes: Record<Theme, string> = { system: "System", dark: "Dark", light: "Light" };

@customElement("es-settings-page")
export class SettingsPage extends LitElement {
  @state() private link: { url: string; until: number } | null = null;
  @state() private busy = false;

  constructor() {
    super();
    new Watches(this, preferences, store);
    new Ticks(this, 1_000);
  }

  static override styles = [
    base,
    buttons,
    fields,
    css`
      :host {
        display: grid;
        grid-template-rows: auto minmax(0, 1fr);
      }
      header {
        display: flex;
        align-items: center;
        min-height: 52px;
        padding: 8px 20px;
        border-bottom: 1px solid var(--line);
      }
      .scroll {
        overflow: auto;
        padding: 8px 20px 32px;
      }
      .list {
        max-width: 720px;
      }
      h2 {
        font-size: 13px;
        font-weight: 600;
        color: var(--text-2);
        margin: 24px 0 6px;
      }
      .row {
        display: flex;
        align-items: center;
        gap: 16px;
        padding: 13px 0;
        border-top: 1px solid var(--line);
      }
      .row > :first-child {
        flex: 1;
        min-width: 0;
      }
      .name {
        font-weight: 550;
        font-size: 14px;
        color: var(--text);
      }
      .choice {
        display: flex;
        gap: 2px;
        padding: 2px;
        border-radius: 9px;
        background: var(--hover);
      }
      .choice button {
        height: 28px;
        color: var(--text-2);
      }
      .choice button[aria-pressed="true"] {
        background: var(--surface);
        color: var(--text);
        box-shadow: 0 1px 2px #0002;
      }
      .size {
        display: flex;
        align-items: center;
        gap: 4px;
      }
      output {
        min-width: 52px;
        text-align: center;
      }
      .sample {
        font-family: var(--mono);
        padding: 10px 14px;
        border: 1px solid var(--line);
        border-radius: 8px;
        background: var(--sunken);
        overflow: hidden;
        white-space: nowrap;
        margin-bottom: 14px;
      }
      .link {
        display: flex;
        gap: 8px;
        padding-bottom: 14px;
      }
      input[type="checkbox"] {
        width: 18px;
        height: 18px;
        accent-color: var(--accent);
      }
      @media (max-width: 760px) {
        .scroll {
          padding: 0 14px 24px;
        }
        .row {
          flex-wrap: wrap;
        }
      }
    `,
  ];

  private async makeLink(): Promise<void> {
    this.busy = true;
    try {
      const made = await api.signInCode();
      this.link = { url: made.url, until: Date.now() + made.expiresIn * 1000 };
    } catch (error) {
      notifyError("No sign-in link was made.", error);
    } finally {
      this.busy = false;
    }
  }

  private async signOut(): Promise<void> {
    try {
      await api.signOut();
      store.signedOut();
    } catch (error) {
      notifyError("You are still signed in.", error);
    }
  }

  private renderLink() {
    if (!this.link) return nothing;
    const left = Math.ceil((this.link.until - Date.now()) / 1000);
    if (left <= 0) return html`<p class="hint">That link has expired.</p>`;
    const { url } = this.link;
    return html`<div class="link">
        <input class="mono" readonly aria-label="Sign-in link" .value=${url} @focus=${(event: Event) => (event.target as HTMLInputElement).select()} />
        <button class="outlined" @click=${async () => notify({ text: (await copyText(url)) ? "Copied" : "The browser did not allow copying." })}>
          ${icon("copy")}Copy
        </button>
      </div>
      <p class="hint">It works once, for ${left >= 120 ? `${Math.ceil(left / 60)} more minutes` : `${left} more seconds`}. Whoever opens it is signed in as you.</p>`;
  }

  override render() {
    const { theme, fontSize, screenReader } = preferences.current;
    const { me } = store;
    return html`
      <header><h1>Settings</h1></header>
      <div class="scroll">
        <div class="list">
          <h2>Looks</h2>
          <div class="row">
            <div><div class="name">Theme</div><div class="hint">Agents that follow the theme are told when it changes.</div></div>
            <div class="choice" role="group" aria-label="Theme">
              ${(Object.keys(themes) as Theme[]).map(
                (name) => html`<button aria-pressed=${theme === name} @click=${() => preferences.set({ theme: name })}>${themes[name]}</button>`,
              )}
            </div>
          </div>
          <div class="row">
            <div><div class="name">Terminal letters</div></div>
            <div class="size">
              <button class="outlined square" aria-label="Smaller" ?disabled=${fontSize <= FONT_SIZES.min} @click=${() => preferences.set({ fontSize: fontSize - 1 })}>−</button>
              <output>${fontSize} px</output>
              <button class="outlined square" aria-label="Larger" ?disabled=${fontSize >= FONT_SIZES.max} @click=${() => preferences.set({ fontSize: fontSize + 1 })}>+</button>
            </div>
          </div>
          <div class="sample" style="font-size:${fontSize}px" aria-hidden="true">~/src/earthshine $ git log --oneline | head</div>
          <div class="row">
            <label for="reader"><span class="name">Tell a screen reader what the terminal prints</span></label>
            <input id="reader" type="checkbox" .checked=${screenReader} @change=${(event: Event) => preferences.set({ screenReader: (event.target as HTMLInputElement).checked })} />
          </div>

          <h2>You</h2>
          <div class="row">
            <div><div class="name">${me?.name}</div><div class="hint">${me?.isAdmin ? "Administrator" : "Signed in on this browser"}</div></div>
            <button class="outlined" @click=${this.signOut}>${icon("sign-out")}Sign out</button>
          </div>
          <div class="row">
            <div>
              <div class="name">Another device</div>
              <div class="hint">Make a link that signs you in there, for example on your phone.</div>
            </div>
            <button class="outlined" ?disabled=${this.busy} @click=${this.makeLink}>${icon("link")}${this.busy ? "Making…" : "Make a link"}</button>
          </div>
          ${this.renderLink()}

          <h2>About</h2>
          <div class="row"><div class="hint">Earthshine ${me?.version}, under the Apache License 2.0. <a href="/licences.txt" target="_blank">Licences of its parts</a></div></div>
        </div>
      </div>
    `;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-settings-page": SettingsPage;
  }
}
