/** The machines: which are here, what they can run, and how to add one. */

import { LitElement, css, html, nothing } from "lit";
import { customElement } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";

import type { Agent, Runner } from "../api/types";
import { Ticks, Watches } from "../store/controller";
import { store } from "../store/store";
import { copyText } from "../terminal/clipboard";
import "./agent-badge";
import { ago, fullTime, shortAge, since } from "./format";
import { icon } from "./icons";
import { marked } from "./marked";
import { base, buttons } from "./styles/shared";
import { notify } from "./toasts";

@customElement("es-runners-page")
export class RunnersPage extends LitElement {
  constructor() {
    super();
    new Watches(this, store);
    new Ticks(this, 5_000);
  }

  static override styles = [
    base,
    buttons,
    css`
      :host {
        display: grid;
        grid-template-rows: auto minmax(0, 1fr);
      }
      header {
        display: flex;
        align-items: center;
        min-height: 52px;
        padding: 8px 20px;
        border-bottom: 1px solid var(--line);
      }
      .scroll {
        overflow: auto;
        padding: 20px;
      }
      .list {
        display: grid;
        grid-template-columns: minmax(0, 920px);
        gap: 14px;
      }
      section {
        border: 1px solid var(--line);
        border-radius: var(--radius-large);
        background: var(--surface);
        padding: 16px 18px;
      }
      .head {
        display: flex;
        align-items: center;
        gap: 10px;
        flex-wrap: wrap;
      }
      h2 {
        font-size: 15px;
        font-weight: 620;
      }
      .state {
        display: inline-flex;
        align-items: center;
        gap: 6px;
        font-size: 12.5px;
        color: var(--ok);
      }
      .state::before {
        content: "";
        width: 7px;
        height: 7px;
        border-radius: 50%;
        background: currentColor;
      }
      .state.away {
        color: var(--warn);
      }
      .state.away::before {
        background: none;
        border: 1.5px solid currentColor;
      }
      .working {
        margin-left: auto;
        font-size: 12.5px;
        color: var(--text-2);
      }
      .facts {
        margin: 4px 0 12px;
        font-size: 12.5px;
        color: var(--text-3);
        display: flex;
        flex-wrap: wrap;
        gap: 2px 14px;
      }
      ul {
        list-style: none;
        padding: 0;
        margin: 0;
        border-top: 1px solid var(--line);
      }
      li {
        display: grid;
        grid-template-columns: auto 130px minmax(0, 1fr);
        align-items: center;
        gap: 12px;
        padding: 8px 0;
        border-bottom: 1px solid var(--line);
        font-size: 13px;
      }
      li:last-child {
        border-bottom: 0;
        padding-bottom: 0;
      }
      li.missing es-agent-badge {
        filter: grayscale(1);
        opacity: 0.65;
      }
      li.missing .name {
        color: var(--text-3);
      }
      .path,
      .why {
        color: var(--text-3);
        overflow-wrap: anywhere;
      }
      .why {
        color: var(--text-2);
      }
      .add p {
        color: var(--text-2);
        font-size: 13px;
        margin: 6px 0 12px;
      }
      pre {
        margin: 0;
        display: flex;
        align-items: center;
        gap: 8px;
        padding: 4px 4px 4px 12px;
        border: 1px solid var(--line);
        border-radius: 8px;
        background: var(--sunken);
        font: 12.5px/1.5 var(--mono);
      }
      pre code {
        flex: 1;
        overflow-x: auto;
        font: inherit;
        padding: 6px 0;
      }
      @media (max-width: 760px) {
        .scroll {
          padding: 12px;
        }
        li {
          grid-template-columns: auto minmax(0, 1fr);
          row-gap: 2px;
        }
        .path,
        .why {
          grid-column: 2;
        }
        li es-agent-badge {
          grid-row: span 2;
          align-self: start;
        }
      }
    `,
  ];

  private renderAgent(agent: Agent) {
    return html`<li class=${agent.available ? "" : "missing"}>
      <es-agent-badge agent=${agent.name}></es-agent-badge>
      <span class="name">${agent.label}</span>
      ${agent.available
        ? html`<span class="path mono">${agent.path ?? "Any program on this machine"}</span>`
        : html`<span class="why">${marked(agent.detail ?? "Not found on this machine.")}</span>`}
    </li>`;
  }

  private renderRunner(runner: Runner) {
    const connected = runner.state === "connected";
    return html`<section aria-label=${runner.name}>
      <div class="head">
        <h2>${runner.name}</h2>
        <span class="state ${runner.state}" title=${fullTime(runner.since)}>
          ${connected ? `Connected for ${shortAge(since(runner.since) ?? 0)}` : `Away, last seen ${ago(runner.since)}`}
        </span>
        ${runner.runningSessions > 0
          ? html`<a class="working" href="/">${runner.runningSessions} ${runner.runningSessions === 1 ? "session" : "sessions"} at work</a>`
          : nothing}
      </div>
      <div class="facts">
        <span>${runner.hostname}</span><span>${runner.platform}</span><span class="mono">${runner.home}</span><span>Earthshine ${runner.version}</span>
      </div>
      ${connected
        ? nothing
        : html`<p class="facts">Its sessions go on and keep their log there. They catch up by themselves when it is back.</p>`}
      <ul>
        ${runner.agents.map((agent) => this.renderAgent(agent))}
      </ul>
    </section>`;
  }

  override render() {
    const command = `earthshine runner --url ${location.origin} --token-file runner-token`;
    const loopback = ["127.0.0.1", "localhost", "[::1]"].includes(location.hostname);
    return html`
      <header><h1>Runners</h1></header>
      <div class="scroll">
        <div class="list">
          ${store.loaded ? nothing : html`<p role="status">Loading…</p>`}
          ${repeat(
            store.runners,
            (runner) => runner.id,
            (runner) => this.renderRunner(runner),
          )}
          <section class="add" aria-label="Add a machine">
            <h2>Add a machine</h2>
            <p>
              Install Earthshine there, copy the file <span class="mono">runner-token</span> from the server's state folder, and run this. The
              runner only dials out, so it works behind NAT and firewalls.
            </p>
            ${loopback
              ? html`<p class="why">
                  You reached this server at a loopback address, which other machines cannot reach: put the server's own address in its place.
                </p>`
              : nothing}
            <pre><code>${command}</code><button
              class="square"
              aria-label="Copy the command"
              title="Copy"
              @click=${async () => notify({ text: (await copyText(command)) ? "Copied" : "The browser did not allow copying." })}
            >${icon("copy")}</button></pre>
          </section>
        </div>
      </div>
    `;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-runners-page": RunnersPage;
  }
}
