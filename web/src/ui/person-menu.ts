/** Who is signed in, and what belongs to them. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, query } from "lit/decorators.js";

import { accounts } from "../api/accounts";
import { router } from "../router";
import { Watches } from "../store/controller";
import { preferences } from "../store/preferences";
import { store } from "../store/store";
import { icon } from "./icons";
import "./menu";
import type { Menu, MenuItem } from "./menu";
import { roleNames } from "./names";
import { base, buttons } from "./styles/shared";
import { notifyError } from "./toasts";

/** End this browser's sign-in. */
export async function signOut(): Promise<void> {
  try {
    await accounts.signOut();
    store.signedOut();
  } catch (error) {
    notifyError("You are still signed in.", error);
  }
}

@customElement("es-person-menu")
export class PersonMenu extends LitElement {
  @query("es-menu") private menu!: Menu;

  constructor() {
    super();
    new Watches(this, store, preferences);
  }

  static override styles = [
    base,
    buttons,
    css`
      button {
        width: 100%;
        height: 40px;
        justify-content: flex-start;
        gap: 10px;
        padding: 0 10px;
        color: var(--text-2);
      }
      .role {
        margin-left: auto;
        font-size: 12px;
        font-weight: 400;
        color: var(--text-3);
      }
      .me {
        min-width: 0;
        line-height: 1.5;
      }
    `,
  ];

  private get items(): MenuItem[] {
    const theme = preferences.shade === "dark" ? "light" : "dark";
    const guest = store.me?.role === "guest";
    return [
      ...(guest
        ? []
        : ([
            { label: "Account", icon: "person", hint: "G A", run: () => router.go("/account") },
            { label: "Let a command line in", icon: "device", run: () => router.go("/device") },
          ] satisfies MenuItem[])),
      { label: `Use the ${theme} theme`, icon: "spark", run: () => preferences.set({ theme }) },
      { label: guest ? "Leave" : "Sign out", icon: "sign-out", run: () => void signOut() },
    ];
  }

  private readonly open = (event: Event): void => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    this.menu.openAt(box.left, box.top - this.items.length * 34 - 16);
  };

  override render() {
    const { me } = store;
    if (!me) return nothing;
    return html`<button aria-haspopup="menu" aria-label="${me.name}: account and sign-out" @click=${this.open}>
        ${icon("person")}<span class="me ellipsis">${me.name}</span><span class="role">${roleNames[me.role]}</span>
      </button>
      <es-menu .items=${this.items}></es-menu>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-person-menu": PersonMenu;
  }
}
