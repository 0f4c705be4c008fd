/** Which agent: those of a runner, with why some cannot be had. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, property } from "lit/decorators.js";

import type { Agent } from "../api/types";
import "./agent-badge";
import { marked } from "./marked";
import { base } from "./styles/shared";

@customElement("es-agent-picker")
export class AgentPicker extends LitElement {
  @property({ attribute: false }) agents: readonly Agent[] = [];
  @property() chosen = "";

  static override styles = [
    base,
    css`
      .grid {
        display: grid;
        grid-template-columns: repeat(auto-fill, minmax(146px, 1fr));
        gap: 8px;
      }
      label {
        position: relative;
        display: flex;
        align-items: center;
        gap: 10px;
        padding: 8px 10px;
        min-height: 46px;
        border: 1px solid var(--line);
        border-radius: 9px;
        cursor: pointer;
        font-weight: 500;
        font-size: 13.5px;
        transition: border-color var(--quick);
      }
      label:hover {
        border-color: var(--line-strong);
      }
      input {
        position: absolute;
        opacity: 0;
        inset: 0;
        margin: 0;
        cursor: inherit;
      }
      label:has(:checked) {
        border-color: var(--accent);
        background: var(--accent-soft);
      }
      label:has(:focus-visible) {
        outline: 2px solid var(--accent);
        outline-offset: 2px;
      }
      label:has(:disabled) {
        cursor: default;
        border-style: dashed;
        color: var(--text-3);
      }
      label:has(:disabled) es-agent-badge {
        filter: grayscale(1);
        opacity: 0.6;
      }
      ul {
        margin: 10px 0 0;
        padding: 0;
        list-style: none;
        display: grid;
        gap: 3px;
        font-size: 12.5px;
        color: var(--text-3);
      }
      summary {
        margin-top: 10px;
        font-size: 12.5px;
        color: var(--text-3);
        cursor: pointer;
        width: fit-content;
      }
      strong {
        font-weight: 550;
        color: var(--text-2);
      }
    `,
  ];

  private choose(name: string): void {
    this.dispatchEvent(new CustomEvent("choose", { detail: name }));
  }

  override render() {
    const missing = this.agents.filter((agent) => !agent.available);
    return html`<div class="grid" role="radiogroup" aria-label="Agent">
        ${this.agents.map(
          (agent) => html`<label title=${agent.available ? (agent.path ?? "") : (agent.detail ?? "")}>
            <input
              type="radio"
              name="agent"
              value=${agent.name}
              .checked=${agent.name === this.chosen}
              ?disabled=${!agent.available}
              aria-describedby=${agent.available ? nothing : "missing"}
              @change=${() => this.choose(agent.name)}
            />
            <es-agent-badge agent=${agent.name}></es-agent-badge>
            <span class="ellipsis">${agent.label}</span>
          </label>`,
        )}
      </div>
      ${missing.length > 0
        ? html`<details id="missing">
            <summary>${missing.length === 1 ? "One agent is" : `${missing.length} agents are`} not installed on this machine</summary>
            <ul>
              ${missing.map((agent) => html`<li><strong>${agent.label}</strong>: ${marked(agent.detail ?? "not found on this machine.")}</li>`)}
            </ul>
          </details>`
        : nothing}`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-agent-picker": AgentPicker;
  }
}
