/** An agent as a small square: a letter and a colour of its own. */

import { LitElement, css, html } from "lit";
import { customElement, property } from "lit/decorators.js";

import { base } from "./styles/shared";

const known: Record<string, readonly [letters: string, hue: number]> = {
  claude: ["Cl", 32],
  codex: ["Cx", 165],
  gemini: ["Ge", 222],
  opencode: ["Oc", 280],
  shell: ["$", 205],
  command: [">_", 205],
};

@customElement("es-agent-badge")
export class AgentBadge extends LitElement {
  @property() agent = "";

  static override styles = [
    base,
    css`
      :host {
        display: inline-grid;
        place-items: center;
        width: 28px;
        height: 28px;
        flex: none;
        border-radius: 7px;
        font: 600 11.5px/1 var(--mono);
        letter-spacing: -0.04em;
        color: hsl(var(--hue) var(--chroma) var(--badge-ink));
        background: hsl(var(--hue) var(--chroma) 55% / 0.16);
      }
    `,
  ];

  override willUpdate(): void {
    this.style.setProperty("--hue", String(this.look[1]));
    this.style.setProperty("--chroma", this.look[0] === "$" || this.look[0] === ">_" ? "14%" : "48%");
  }

  private get look(): readonly [letters: string, hue: number] {
    return known[this.agent] ?? [this.agent.slice(0, 2) || "?", 205];
  }

  override render() {
    return html`<span aria-hidden="true">${this.look[0]}</span>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-agent-badge": AgentBadge;
  }
}
