/** For people who came by a one-time link and could not come back without another. */

import { LitElement, css, html } from "lit";
import { customElement } from "lit/decorators.js";

import type { Route } from "../router";
import { preferences } from "../store/preferences";
import { store } from "../store/store";
import { icon } from "./icons";
import { base, buttons } from "./styles/shared";

/** Not beside a terminal, which needs the room, and not where one is about to do it. */
export function wantsWayBack(route: Route): boolean {
  const { me } = store;
  if (!me || me.hasCredentials || me.role === "guest" || route.page === "session" || route.page === "account") return false;
  return preferences.current.comeBackDismissed !== me.personId;
}

@customElement("es-come-back-banner")
export class ComeBackBanner extends LitElement {
  static override styles = [
    base,
    buttons,
    css`
      .banner {
        display: flex;
        align-items: center;
        gap: 12px;
        padding: 6px 8px 6px 20px;
        border-bottom: 1px solid var(--line);
        background: var(--accent-soft);
        font-size: 13px;
        color: var(--text-2);
      }
      span {
        flex: 1;
        min-width: 0;
      }
      svg.icon {
        color: var(--accent);
      }
      @media (max-width: 760px) {
        .banner {
          padding-left: 14px;
        }
        .banner > svg.icon {
          display: none;
        }
      }
    `,
  ];

  override render() {
    return html`<div class="banner" role="status">
      ${icon("key")}
      <span>You came by a one-time link. <a href="/account">Add a passkey or a password</a>, so that you can come back.</span>
      <button class="square" aria-label="Dismiss" title="Dismiss" @click=${() => preferences.set({ comeBackDismissed: store.me?.personId ?? "" })}>${icon("close")}</button>
    </div>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-come-back-banner": ComeBackBanner;
  }
}
