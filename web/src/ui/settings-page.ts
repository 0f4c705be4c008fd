/** How this browser shows things, and who is signed in. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, state } from "lit/decorators.js";

import { accounts } from "../api/accounts";
import { FONT_SIZES, type Theme, preferences } from "../store/preferences";
import { Ticks, Watches } from "../store/controller";
import { store } from "../store/store";
import { icon } from "./icons";
import { roleNames } from "./names";
import { signOut } from "./person-menu";
import { places } from "./places";
import "./shown-once";
import { pages, rows } from "./styles/page";
import { base, buttons, fields } from "./styles/shared";
import { notifyError } from "./toasts";

/** The pages that phones have no tab for. */
const placeRows = [
  ["/account", "Account", "Password, passkeys, sign-ins, API tokens, keys for agents"],
  ["/people", "People", "Who may use this server"],
  ["/audit", "Audit log", "What was done, by whom, from where"],
] as const;
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
    pages,
    rows,
    css`
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
      a.row {
        color: inherit;
        text-decoration: none;
      }
      a.row:hover {
        background: var(--hover);
      }
    `,
  ];

  private async makeLink(): Promise<void> {
    this.busy = true;
    try {
      const made = await accounts.signInCode();
      this.link = { url: made.url, until: Date.now() + made.expiresIn * 1000 };
    } catch (error) {
      notifyError("No sign-in link was made.", error);
    } finally {
      this.busy = false;
    }
  }

  private renderLink() {
    if (!this.link) return nothing;
    return html`<es-shown-once
      label="Sign-in link"
      .value=${this.link.url}
      .until=${this.link.until}
      note="It works once. Whoever opens it is signed in as you."
    ></es-shown-once>`;
  }

  private renderYou() {
    const { me } = store;
    if (!me) return nothing;
    if (me.role === "guest") {
      return html`<div class="row">
        <div><div class="name">${me.name}</div><div class="hint">A guest: you see what was shared with you.</div></div>
        <button class="outlined" @click=${signOut}>${icon("sign-out")}Leave</button>
      </div>`;
    }
    return html`<div class="row">
        <div><div class="name">${me.name}</div><div class="hint">${roleNames[me.role]}</div></div>
        <button class="outlined" @click=${signOut}>${icon("sign-out")}Sign out</button>
      </div>
      ${placeRows
        .filter(([path]) => places().some((place) => place.path === path))
        .map(
          ([path, name, hint]) => html`<a class="row" href=${path}>
            <div><div class="name">${name}</div><div class="hint">${hint}</div></div>
            ${icon("chevron-right")}
          </a>`,
        )}
      <div class="row">
        <div>
          <div class="name">Another device</div>
          <div class="hint">Make a link that signs you in there, for example on your phone.</div>
        </div>
        <button class="outlined" ?disabled=${this.busy} @click=${this.makeLink}>${icon("link")}${this.busy ? "Making…" : "Make a link"}</button>
      </div>
      ${this.renderLink()}`;
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
          ${this.renderYou()}

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
