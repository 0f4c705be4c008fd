/** The list before its first session: what this is and how to begin. */

import { LitElement, css, html, nothing } from "lit";
import { customElement } from "lit/decorators.js";

import { Watches } from "../store/controller";
import { store } from "../store/store";
import { icon, mark } from "./icons";
import { base, buttons } from "./styles/shared";

@customElement("es-sessions-empty")
export class SessionsEmpty extends LitElement {
  constructor() {
    super();
    new Watches(this, store);
  }

  static override styles = [
    base,
    buttons,
    css`
      :host {
        display: grid;
        justify-items: center;
        gap: 10px;
        padding: min(14vh, 110px) 24px 40px;
        text-align: center;
        color: var(--text-2);
      }
      h2 {
        font-size: 19px;
        letter-spacing: -0.015em;
        color: var(--text);
        margin-top: 8px;
      }
      p {
        max-width: 44ch;
      }
      .primary {
        height: 38px;
        margin: 12px 0 24px;
        padding: 0 18px;
        font-size: 14px;
      }
      ul {
        list-style: none;
        padding: 0;
        margin: 0;
        display: grid;
        gap: 10px;
        text-align: left;
        font-size: 13px;
        color: var(--text-3);
      }
      li {
        display: flex;
        gap: 10px;
        align-items: baseline;
      }
      li .icon {
        translate: 0 3px;
        color: var(--accent);
      }
      .warn {
        color: var(--warn);
      }
    `,
  ];

  override render() {
    if (!store.mayStart) {
      return html`${mark(52)}
        <h2>Nothing is shared with you</h2>
        <p>The session that you came for has ended, or is no longer shared. Ask whoever invited you for a new link.</p>`;
    }
    const connected = store.runners.filter((runner) => runner.state === "connected");
    const agents = [...new Set(connected.flatMap((runner) => runner.agents.filter((agent) => agent.available).map((agent) => agent.label)))];
    return html`
      ${mark(52)}
      <h2>No agent is at work</h2>
      <p>Start one on any of your machines. It keeps working when you close this page, and you can watch and steer it from here or from your phone.</p>
      <button
        class="primary"
        ?disabled=${connected.length === 0}
        @click=${() => this.dispatchEvent(new CustomEvent("start", { bubbles: true, composed: true }))}
      >
        ${icon("plus")}New session
      </button>
      <ul>
        <li class=${connected.length === 0 ? "warn" : ""}>
          ${icon("server")}
          ${connected.length === 0
            ? html`<span>No runner is connected. <a href="/runners">See how to connect one</a>.</span>`
            : html`<span>Connected: ${connected.map((runner) => runner.name).join(", ")}</span>`}
        </li>
        ${agents.length > 0 ? html`<li>${icon("spark")}<span>Ready: ${agents.join(", ")}</span></li>` : nothing}
        <li>${icon("keyboard")}<span>Press <kbd>N</kbd> to begin, <kbd>?</kbd> for all shortcuts</span></li>
      </ul>
    `;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-sessions-empty": SessionsEmpty;
  }
}
