/** Finds text in the terminal. */

import { LitElement, css, html } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";

import type { Matches, Search } from "../terminal/search";
import { icon } from "./icons";
import { base, buttons, fields } from "./styles/shared";

@customElement("es-search-bar")
export class SearchBar extends LitElement {
  @property({ attribute: false }) search: Search | null = null;
  @state() private found: Matches = { index: -1, count: 0 };
  @state() private caseSensitive = false;
  @state() private regex = false;
  @query("input") private input!: HTMLInputElement;

  static override styles = [
    base,
    buttons,
    fields,
    css`
      :host {
        position: absolute;
        top: 8px;
        right: 20px;
        z-index: 5;
        max-width: calc(100% - 28px);
      }
      form {
        display: flex;
        align-items: center;
        gap: 2px;
        padding: 4px;
        background: var(--raised);
        border: 1px solid var(--line-strong);
        border-radius: 9px;
        box-shadow: var(--shadow);
      }
      input:not([type="checkbox"]) {
        width: 200px;
        flex: 1;
        height: 28px;
        padding: 0 8px;
      }
      .count {
        min-width: 62px;
        padding: 0 8px;
        font-size: 12px;
        color: var(--text-3);
        text-align: right;
        white-space: nowrap;
      }
      button.square {
        height: 28px;
        width: 28px;
        font-size: 12px;
      }
    `,
  ];

  override firstUpdated(): void {
    this.search?.onMatches((matches) => (this.found = matches));
    this.focus();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.search?.clear();
    this.search?.onMatches(() => {});
  }

  override focus(): void {
    this.input.focus();
    this.input.select();
  }

  private find(direction: "next" | "previous" | "as-typed"): void {
    this.search?.find(this.input.value, { caseSensitive: this.caseSensitive, regex: this.regex }, direction);
  }

  private toggle(which: "caseSensitive" | "regex"): void {
    this[which] = !this[which];
    this.find("as-typed");
  }

  private readonly key = (event: KeyboardEvent): void => {
    if (event.key === "Escape") this.close();
    else if (event.key === "Enter") this.find(event.shiftKey ? "next" : "previous");
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  private close(): void {
    this.dispatchEvent(new Event("close"));
  }

  private get count(): string {
    if (!this.input?.value) return "";
    if (this.found.count === 0) return "No match";
    return this.found.index >= 0 ? `${this.found.index + 1} of ${this.found.count}` : `${this.found.count}`;
  }

  override render() {
    return html`<form role="search" @submit=${(event: Event) => event.preventDefault()}>
      <input type="search" aria-label="Find in terminal" placeholder="Find" spellcheck="false" autocapitalize="off" autocomplete="off" @input=${() => this.find("as-typed")} @keydown=${this.key} />
      <span class="count" role="status">${this.count}</span>
      <button type="button" class="square" aria-pressed=${this.caseSensitive} title="Match case" aria-label="Match case" @click=${() => this.toggle("caseSensitive")}>Aa</button>
      <button type="button" class="square" aria-pressed=${this.regex} title="Regular expression" aria-label="Regular expression" @click=${() => this.toggle("regex")}>.*</button>
      <button type="button" class="square" title="Older match (Enter)" aria-label="Older match" @click=${() => this.find("previous")}>${icon("up")}</button>
      <button type="button" class="square" title="Newer match (Shift-Enter)" aria-label="Newer match" @click=${() => this.find("next")}>${icon("down")}</button>
      <button type="button" class="square" title="Close (Esc)" aria-label="Close search" @click=${this.close}>${icon("close")}</button>
    </form>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-search-bar": SearchBar;
  }
}
