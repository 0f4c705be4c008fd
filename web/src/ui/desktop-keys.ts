/** Keys that a phone's keyboard lacks, for a desktop. Modifiers stay down until the next key. */

import { LitElement, css, html } from "lit";
import { customElement, state } from "lit/decorators.js";

import { icon } from "./icons";
import { base, buttons } from "./styles/shared";

export const desktopModifiers = ["Control", "Alt", "Shift", "Meta"] as const;
export type DesktopModifier = (typeof desktopModifiers)[number];

const keys: readonly (readonly [string, string, string])[] = [
  ["Esc", "Escape", "Escape"],
  ["Tab", "Tab", "Tab"],
  ["↑", "ArrowUp", "ArrowUp"],
  ["↓", "ArrowDown", "ArrowDown"],
  ["←", "ArrowLeft", "ArrowLeft"],
  ["→", "ArrowRight", "ArrowRight"],
  ["Home", "Home", "Home"],
  ["End", "End", "End"],
  ["PgUp", "PageUp", "PageUp"],
  ["PgDn", "PageDown", "PageDown"],
  ["Del", "Delete", "Delete"],
  ...Array.from({ length: 12 }, (_, at) => [`F${at + 1}`, `F${at + 1}`, `F${at + 1}`] as const),
];
const short: Record<DesktopModifier, string> = { Control: "Ctrl", Alt: "Alt", Shift: "Shift", Meta: "Super" };

@customElement("es-desktop-keys")
export class DesktopKeys extends LitElement {
  @state() private armed: ReadonlySet<DesktopModifier> = new Set();

  static override styles = [
    base,
    buttons,
    css`
      :host {
        display: flex;
        gap: 4px;
        padding: 6px 8px;
        overflow-x: auto;
        scrollbar-width: none;
        background: var(--bg);
        border-top: 1px solid var(--line);
      }
      button {
        flex: 1 0 auto;
        min-width: 38px;
        height: 36px;
        padding: 0 8px;
        font: 500 13px/1 var(--mono);
        background: var(--surface);
        border-color: var(--line);
      }
    `,
  ];

  /** A key went through: the modifiers held for it go up. */
  used(): void {
    for (const modifier of this.armed) this.hold(modifier, false);
    this.armed = new Set();
  }

  get holds(): boolean {
    return this.armed.size > 0;
  }

  private toggle(modifier: DesktopModifier): void {
    const armed = new Set(this.armed);
    if (!armed.delete(modifier)) armed.add(modifier);
    this.hold(modifier, armed.has(modifier));
    this.armed = armed;
  }

  private hold(modifier: DesktopModifier, down: boolean): void {
    this.dispatchEvent(new CustomEvent("hold", { detail: { modifier, down } }));
  }

  private tap(key: string, code: string): void {
    this.dispatchEvent(new CustomEvent("tap", { detail: { key, code } }));
    this.used();
  }

  override render() {
    // The keyboard of the phone stays open: the focus does not move.
    const stay = (event: Event): void => event.preventDefault();
    return html`<button tabindex="-1" aria-label="Keyboard" @pointerdown=${stay} @click=${() => this.dispatchEvent(new Event("keyboard"))}>
        ${icon("keyboard")}
      </button>
      ${desktopModifiers.map(
        (modifier) => html`<button tabindex="-1" aria-pressed=${this.armed.has(modifier)} @pointerdown=${stay} @click=${() => this.toggle(modifier)}>
          ${short[modifier]}
        </button>`,
      )}
      ${keys.map(([label, key, code]) => html`<button tabindex="-1" aria-label=${key} @pointerdown=${stay} @click=${() => this.tap(key, code)}>${label}</button>`)}`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-desktop-keys": DesktopKeys;
  }
}
