/** A menu: under its button, or at the pointer as a context menu. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, property, query } from "lit/decorators.js";

import { type IconName, icon } from "./icons";
import { base, buttons } from "./styles/shared";

export interface MenuItem {
  readonly label: string;
  readonly icon?: IconName;
  readonly hint?: string;
  readonly danger?: boolean;
  readonly disabled?: boolean;
  readonly run: () => void;
}

const EDGE = 8;

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
    css`
      :host {
        display: contents;
      }
      .list {
        position: fixed;
        inset: auto;
        margin: 0;
        padding: 5px;
        min-width: 210px;
        max-height: 80vh;
        overflow: auto;
        border: 1px solid var(--line-strong);
        border-radius: 10px;
        background: var(--raised);
        color: var(--text);
        box-shadow: var(--shadow);
      }
      .list button {
        width: 100%;
        height: 32px;
        justify-content: flex-start;
        gap: 10px;
        padding: 0 10px;
        font-weight: 450;
        border-radius: 6px;
      }
      .list button .icon {
        color: var(--text-3);
      }
      .list button.danger .icon {
        color: inherit;
      }
      .list button:focus-visible {
        outline: none;
        background: var(--hover);
        box-shadow: inset 0 0 0 1px var(--line-strong);
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
    const { offsetWidth, offsetHeight } = this.list;
    this.list.style.left = `${Math.max(EDGE, Math.min(x, innerWidth - offsetWidth - EDGE))}px`;
    this.list.style.top = `${Math.max(EDGE, Math.min(y, innerHeight - offsetHeight - EDGE))}px`;
    this.entries[0]?.focus();
  }

  private readonly openUnderButton = (): void => {
    const box = this.opener?.getBoundingClientRect();
    if (!box) return;
    this.openAt(box.left, box.bottom + 6);
    this.list.style.left = `${Math.max(EDGE, box.right - this.list.offsetWidth)}px`;
  };

  private get entries(): HTMLButtonElement[] {
    return [...this.list.querySelectorAll<HTMLButtonElement>("button:not(:disabled)")];
  }

  private readonly key = (event: KeyboardEvent): void => {
    const { entries } = this;
    const at = entries.indexOf(this.shadowRoot?.activeElement as HTMLButtonElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: entries.length - 1 }[event.key];
    event.stopPropagation();
    if (event.key === "Tab") this.list.hidePopover();
    if (to === undefined) return;
    event.preventDefault();
    entries.at(to % entries.length)?.focus();
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
      <div class="list" popover role="menu" @keydown=${this.key}>
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
