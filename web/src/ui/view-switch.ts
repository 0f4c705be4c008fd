/** Terminal, desktop, or both beside each other. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, property } from "lit/decorators.js";

import { type DesktopIconName, desktopIcon } from "./desktop-icons";
import { icon } from "./icons";
import { base, buttons } from "./styles/shared";

export const sessionViews = ["terminal", "desktop", "split"] as const;
export type SessionView = (typeof sessionViews)[number];

/** The view to show: both only where there is room for them. */
export function viewFor(wanted: string, hasDesktop: boolean, narrow: boolean): SessionView {
  if (!hasDesktop) return "terminal";
  const view = sessionViews.find((known) => known === wanted) ?? "split";
  return narrow && view === "split" ? "desktop" : view;
}

/** The view after this one. */
export function nextView(view: SessionView, narrow: boolean): SessionView {
  const among = narrow ? (["terminal", "desktop"] as const) : sessionViews;
  return among[(among.indexOf(view as "terminal") + 1) % among.length] ?? "terminal";
}

const words: Record<SessionView, readonly [string, DesktopIconName | null]> = {
  terminal: ["Terminal", null],
  desktop: ["Desktop", "desktop"],
  split: ["Both", "split"],
};

@customElement("es-view-switch")
export class ViewSwitch extends LitElement {
  @property() view: SessionView = "terminal";
  @property({ type: Boolean }) narrow = false;

  static override styles = [
    base,
    buttons,
    css`
      :host {
        display: inline-flex;
        flex: none;
        gap: 2px;
        padding: 2px;
        border: 1px solid var(--line);
        border-radius: 9px;
        background: var(--surface);
      }
      button {
        height: 26px;
        padding: 0 9px;
        border-radius: 6px;
        color: var(--text-2);
      }
      @media (max-width: 1240px) {
        button span {
          display: none;
        }
      }
      @media (pointer: coarse) {
        button {
          height: 36px;
          min-width: 40px;
        }
      }
    `,
  ];

  override render() {
    return html`${sessionViews.map((view) => {
      if (view === "split" && this.narrow) return nothing;
      const [label, name] = words[view];
      return html`<button
        aria-pressed=${this.view === view}
        aria-label=${label}
        title="${label} (Ctrl-F6 changes)"
        @click=${() => this.dispatchEvent(new CustomEvent<SessionView>("view", { detail: view }))}
      >
        ${name ? desktopIcon(name) : icon("terminal")}<span>${label}</span>
      </button>`;
    })}`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-view-switch": ViewSwitch;
  }
}
