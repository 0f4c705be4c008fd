/** The machines: which are here, what they can run, and how to add one. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, query, state } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";

import { devices } from "../../api/devices";
import type { Pairing } from "../../api/types";
import { Ticks, Watches } from "../../store/controller";
import { store } from "../../store/store";
import { icon } from "../icons";
import { pages } from "../styles/page";
import { base, buttons } from "../styles/shared";
import "./pairing-dialog";
import type { PairingDialog } from "./pairing-dialog";
import "./runner-card";
import "./static-token";

@customElement("es-runners-page")
export class RunnersPage extends LitElement {
  /** Machines that wait for an answer, because the page was left meanwhile. */
  @state() private waiting: readonly Pairing[] = [];
  @query("es-pairing-dialog") private pairing!: PairingDialog;

  constructor() {
    super();
    new Watches(this, store);
    new Ticks(this, 5_000);
  }

  static override styles = [
    base,
    buttons,
    pages,
    css`
      .scroll {
        padding-top: 20px;
      }
      .list {
        max-width: none;
        display: grid;
        grid-template-columns: minmax(0, 920px);
        gap: 14px;
      }
      .none {
        color: var(--text-2);
        padding: 24px 0;
      }
      .asks {
        display: flex;
        align-items: center;
        gap: 12px;
        padding: 10px 16px;
        border: 1px solid var(--warn);
        border-radius: var(--radius);
        background: var(--warn-soft);
      }
      .asks span {
        flex: 1;
        min-width: 0;
        overflow-wrap: anywhere;
      }
      @media (max-width: 760px) {
        .scroll {
          padding: 12px;
        }
      }
    `,
  ];

  override connectedCallback(): void {
    super.connectedCallback();
    void this.lookForWaiting();
  }

  private readonly lookForWaiting = async (): Promise<void> => {
    try {
      const { pairings } = await devices.pairings();
      this.waiting = pairings.filter((pairing) => pairing.state === "presented");
    } catch {
      // The dialog for a new machine tells what is wrong, to whoever wants one.
    }
  };

  /** Also for the palette. */
  addMachine(): void {
    void this.pairing.show();
  }

  override render() {
    return html`
      <header>
        <h1>Runners</h1>
        <button class="primary" @click=${this.addMachine}>${icon("plus")}Add a machine</button>
      </header>
      <div class="scroll">
        <div class="list">
          ${this.waiting.map(
            (pairing) => html`<div class="asks" role="status">
              ${icon("warning")}
              <span>${pairing.machine?.name ?? "A machine"} wants to be added and waits for you.</span>
              <button class="outlined" @click=${() => this.pairing.resume(pairing)}>Look</button>
            </div>`,
          )}
          ${store.loaded ? nothing : html`<p role="status">Loading…</p>`}
          ${store.loaded && store.runners.length === 0
            ? html`<p class="none">No machine yet. Add the first one: agents work there, and you watch and steer them from here.</p>`
            : nothing}
          ${repeat(
            store.runners,
            (runner) => runner.id,
            (runner) => html`<es-runner-card .runner=${runner}></es-runner-card>`,
          )}
          ${store.me?.isAdmin ? html`<es-static-token></es-static-token>` : nothing}
        </div>
      </div>
      <es-pairing-dialog @over=${this.lookForWaiting}></es-pairing-dialog>
    `;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-runners-page": RunnersPage;
  }
}
