/** "See it by": the ways to a desktop, each with what it is good for or why it cannot be taken. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, property, query } from "lit/decorators.js";

import type { MethodName } from "../desktop/methods";
import { desktopIcon } from "./desktop-icons";
import { icon } from "./icons";
import { marked } from "./marked";
import { EDGE, entriesOf, menuList, place, walk } from "./menu-list";
import { base, buttons } from "./styles/shared";

export interface Way {
  readonly name: MethodName;
  readonly label: string;
  /** What it is good for, where the name does not say it. */
  readonly what?: string;
  /** Why it cannot be taken; empty when it can. */
  readonly obstacle: string;
  /** Why it did not work just now; empty when it has not failed. */
  readonly failure: string;
  readonly chosen: boolean;
  readonly choose: () => void;
}

const goodFor: Record<MethodName, string> = {
  native: "Sharp and quick, with sound",
  webrtc: "For lossy networks",
  vnc: "Plain and sturdy, no sound",
  rdp: "Through xrdp, no sound",
  guacamole: "Through guacd",
  moonlight: "In a client of your own: television, phone, computer",
};

/** What is said under a way's name. */
export function wayWords(way: Pick<Way, "name" | "what" | "obstacle" | "failure">): string {
  if (way.obstacle) return way.obstacle;
  return way.failure ? `It did not work: ${way.failure}` : (way.what ?? goodFor[way.name]);
}

@customElement("es-desktop-ways")
export class DesktopWays extends LitElement {
  @property({ attribute: false }) ways: readonly Way[] = [];
  @query(".list") private list!: HTMLElement;
  @query(".opener") private opener!: HTMLButtonElement;

  static override styles = [
    base,
    buttons,
    menuList,
    css`
      :host {
        flex: none;
      }
      .opener {
        height: 28px;
        padding: 0 6px 0 9px;
        gap: 6px;
        font-size: 12.5px;
      }
      .list {
        width: min(330px, calc(100vw - 16px));
      }
      h2 {
        margin: 6px 10px 4px;
        font-size: 12px;
        font-weight: 550;
        color: var(--text-3);
      }
      .list button {
        display: grid;
        grid-template-columns: 16px minmax(0, 1fr);
        align-items: start;
        gap: 1px 10px;
        height: auto;
        min-height: 44px;
        padding: 6px 10px;
        text-align: left;
        white-space: normal;
      }
      .list button .icon {
        grid-row: span 2;
        margin-top: 1px;
        color: var(--accent);
      }
      .what {
        grid-column: 2;
        color: var(--text-2);
        font-size: 12.5px;
        line-height: 1.4;
        overflow-wrap: anywhere;
      }
      .failed .what {
        color: var(--warn);
      }
      .list button:disabled {
        opacity: 1;
        color: var(--text-3);
      }
      .list button:disabled .what {
        color: var(--text-3);
      }
      /* The bar is the container. */
      @container (max-width: 430px) {
        .opener .name {
          display: none;
        }
      }
      .own {
        margin-top: 5px;
        padding-top: 5px;
        border-top: 1px solid var(--line);
      }
      .list .own button .icon {
        color: var(--text-3);
      }
    `,
  ];

  /** Open under the button, or at a place of the page where the button does not show. */
  show(): void {
    this.dispatchEvent(new CustomEvent("look", { bubbles: true, composed: true }));
    this.list.showPopover();
    const box = this.opener.getBoundingClientRect();
    const right = box.width > 0 ? box.right : innerWidth - EDGE;
    const top = box.width > 0 ? box.bottom + 6 : (this.parentElement?.getBoundingClientRect().bottom ?? 60);
    place(this.list, right - this.list.offsetWidth, top);
    (this.list.querySelector<HTMLButtonElement>("[aria-checked=true]") ?? entriesOf(this.list)[0])?.focus();
  }

  private choose(run: () => void): void {
    this.list.hidePopover();
    run();
  }

  private renderWay(way: Way) {
    const own = way.name === "moonlight";
    return html`<button
      role="menuitemradio"
      aria-checked=${way.chosen}
      class=${way.failure && !way.obstacle ? "failed" : ""}
      ?disabled=${way.obstacle !== "" && !way.chosen}
      @click=${() => this.choose(own ? () => this.tell("moonlight") : way.choose)}
    >
      ${way.chosen ? icon("check") : html`<span></span>`}<span>${way.label}</span><span class="what">${marked(wayWords(way))}</span>
    </button>`;
  }

  private tell(tab: "rdp" | "moonlight" = "rdp"): void {
    this.dispatchEvent(new CustomEvent("own-client", { detail: tab, bubbles: true, composed: true }));
  }

  override render() {
    const chosen = this.ways.find((way) => way.chosen);
    const failed = this.ways.filter((way) => way.failure && !way.obstacle).map((way) => way.label);
    const title = failed.length > 0 ? `See it by another way. Did not work: ${failed.join(", ")}` : "See it by another way";
    return html`<button class="opener" aria-haspopup="menu" aria-label="See it by" title=${title} @click=${() => this.show()}>
        ${desktopIcon("ways")}${chosen ? html`<span class="name">${chosen.label}</span>` : nothing}${icon("chevron-down")}
      </button>
      <div class="list" popover role="menu" aria-label="See it by" @keydown=${(event: KeyboardEvent) => walk(this.list, event)}>
        <h2>See it by</h2>
        ${this.ways.map((way) => this.renderWay(way))}
        <div class="own">
          <button role="menuitem" @click=${() => this.choose(() => this.tell())}>
            ${desktopIcon("outside")}<span>Open in your own client…</span><span class="what">RDP or Moonlight, on your machine</span>
          </button>
        </div>
      </div>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-desktop-ways": DesktopWays;
  }
}
