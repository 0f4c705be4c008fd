/** The pages, at the thumb. */

import { LitElement, css, html, nothing } from "lit";
import { customElement } from "lit/decorators.js";

import { router } from "../router";
import { Watches } from "../store/controller";
import { store } from "../store/store";
import { type IconName, icon } from "./icons";
import { base, buttons } from "./styles/shared";

@customElement("es-tab-bar")
export class TabBar extends LitElement {
  constructor() {
    super();
    new Watches(this, router, store);
  }

  static override styles = [
    base,
    buttons,
    css`
      :host {
        border-top: 1px solid var(--line);
        background: var(--bg);
        padding-bottom: env(safe-area-inset-bottom);
      }
      nav {
        display: grid;
        grid-auto-flow: column;
        grid-auto-columns: 1fr;
        height: 56px;
      }
      a,
      button,
      button:hover {
        height: 100%;
        display: grid;
        place-content: center;
        justify-items: center;
        gap: 4px;
        font: 500 11px/1 var(--font);
        color: var(--text-3);
        text-decoration: none;
        background: none;
        border-radius: 0;
      }
      svg.icon {
        width: 20px;
        height: 20px;
      }
      a[aria-current] {
        color: var(--accent);
      }
      button {
        color: var(--text);
      }
    `,
  ];

  private tab(path: string, name: string, sign: IconName) {
    return html`<a href=${path} aria-current=${location.pathname === path ? "page" : nothing}>${icon(sign)}${name}</a>`;
  }

  override render() {
    return html`<nav aria-label="Pages">
      ${this.tab("/", "Sessions", "terminal")}
      ${store.mayStart
        ? html`<button @click=${() => this.dispatchEvent(new Event("start"))}>${icon("plus")}New</button>${this.tab("/runners", "Runners", "server")}`
        : nothing}
      ${this.tab("/settings", "Settings", "settings")}
    </nav>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-tab-bar": TabBar;
  }
}
