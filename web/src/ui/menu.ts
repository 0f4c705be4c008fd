/** A menu: under its button, or at the pointer as a context menu. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, property, query } from "lit/decorators.js";

import { type IconName, icon } from "./icons";
import { EDGE, entriesOf, menuList, place, walk } from "./menu-list";
import { base, buttons } from "./styles/shared";

export interface MenuItem {
  readonly label: string;
  readonly icon?: IconName;
  readonly hint?: string;
  readonly danger?: boolean;
  readonly disabled?: boolean;
  readonly run: () => void;
}

@customElement("es-menu")
export class Menu extends LitElement {
  @property({ attribute: false }) items: readonly MenuItem[] = [];
  /** Name of the button; without one there is no button. */
  @property() label = "";
  @query(".list") private list!: HTMLElement;
  @query("button.opener") private opener?: HTMLButtonElement;

  static override styles = [
    base,
    buttons,
    menuList,
    css`
      :host {
        display: contents;
      }
      .list {
        min-width: 210px;
      }
      .list button {
        height: 32px;
        justify-content: flex-start;
        gap: 10px;
      }
      .list button .icon {
        color: var(--text-3);
      }
      .list button.danger .icon {
        color: inherit;
      }
      .no-icon {
        width: 16px;
      }
      .hint {
        margin-left: auto;
        padding-left: 18px;
        color: var(--text-3);
        font-size: 12px;
      }
      @media (pointer: coarse) {
        .hint.key {
          display: none;
        }
        .list button {
          height: 44px;
          font-size: 15px;
        }
      }
    `,
  ];

  /** Open with the top left corner here, or where it fits on the window. */
  openAt(x: number, y: number): void {
    this.list.showPopover();
    place(this.list, x, y);
    entriesOf(this.list)[0]?.focus();
  }

  private readonly openUnderButton = (): void => {
    const box = this.opener?.getBoundingClientRect();
    if (!box) return;
    this.openAt(box.left, box.bottom + 6);
    this.list.style.left = `${Math.max(EDGE, box.right - this.list.offsetWidth)}px`;
  };

  private choose(item: MenuItem): void {
    this.list.hidePopover();
    item.run();
  }

  override render() {
    return html`${this.label
        ? html`<button class="square opener" aria-haspopup="menu" aria-label=${this.label} title=${this.label} @click=${this.openUnderButton}>
            ${icon("more")}
          </button>`
        : nothing}
      <div class="list" popover role="menu" @keydown=${(event: KeyboardEvent) => walk(this.list, event)}>
        ${this.items.map(
          (item) => html`<button
            role="menuitem"
            class=${item.danger ? "danger" : ""}
            ?disabled=${item.disabled ?? false}
            @click=${() => this.choose(item)}
          >
            ${item.icon ? icon(item.icon) : html`<span class="no-icon"></span>`}${item.label}
            ${item.hint ? html`<span class="hint ${/Ctrl|Cmd/.test(item.hint) ? "key" : ""}">${item.hint}</span>` : nothing}
          </button>`,
        )}
      </div>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-menu": Menu;
  }
}
