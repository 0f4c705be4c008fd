/** Adds a machine: a code to type there, then two fingerprints to compare. */

import { LitElement, html, nothing } from "lit";
import { customElement, query, state } from "lit/decorators.js";

import { devices } from "../../api/devices";
import type { Machine, Pairing } from "../../api/types";
import { Ticks, Watches } from "../../store/controller";
import { store } from "../../store/store";
import "../copy-line";
import { duration } from "../format";
import { icon } from "../icons";
import { marked } from "../marked";
import { inGroups } from "../names";
import "../problem-note";
import { base, buttons, dialogs } from "../styles/shared";
import { notifyError } from "../toasts";
import { PairingWatch, pictureUrl } from "./pairing";
import { pairingDialogStyles } from "./pairing-dialog-styles";

@customElement("es-pairing-dialog")
export class PairingDialog extends LitElement {
  @state() private shared = false;
  @query("dialog") private dialog!: HTMLDialogElement;
  private readonly watch = new PairingWatch(this, () => this.dispatchEvent(new Event("over")));

  constructor() {
    super();
    new Watches(this, store);
    new Ticks(this, 500);
  }

  static override styles = [base, buttons, dialogs, pairingDialogStyles];

  async show(): Promise<void> {
    if (this.dialog.open) return;
    this.shared = false;
    this.dialog.showModal();
    await this.watch.start();
  }

  /** Go on with a machine that has presented its code. */
  resume(pairing: Pairing): void {
    if (this.dialog.open) return;
    this.shared = pairing.shared;
    this.watch.resume(pairing);
    this.dialog.showModal();
  }

  private readonly closed = (): void => {
    this.watch.leave();
    this.dispatchEvent(new Event("over"));
  };

  private readonly again = (): void => void this.watch.start();

  private readonly share = async (event: Event): Promise<void> => {
    const box = event.target as HTMLInputElement;
    const id = this.watch.pairing?.runnerId;
    if (!id) return;
    try {
      const runner = await devices.changeRunner(id, { shared: box.checked });
      this.shared = runner.shared;
      store.putRunner(runner);
    } catch (error) {
      box.checked = this.shared;
      notifyError("That was not changed.", error);
    }
  };

  private renderWaiting(pairing: Pairing) {
    return html`<p>Install Earthshine on the machine, then run this there. It only dials out, so it works behind NAT and firewalls.</p>
      ${pairing.command ? html`<es-copy-line .text=${pairing.command} label="Copy the command"></es-copy-line>` : nothing}
      ${pairing.code
        ? html`<div class="code-row">
            <div>
              <div class="label">Code</div>
              <div class="code" aria-label="Code">${inGroups(pairing.code)}</div>
              <p class="hint">It works once. Closing this window makes it void.</p>
            </div>
            ${pairing.qr ? html`<img class="qr" src=${pictureUrl(pairing.qr)} alt="The code, to scan" width="148" height="148" />` : nothing}
          </div>`
        : nothing}
      ${pairing.serverFingerprint
        ? html`<div class="label">This server's key</div>
            <div class="fingerprint small">${inGroups(pairing.serverFingerprint)}</div>
            <p class="hint">The command and the picture carry it: the machine then talks to no other server.</p>`
        : nothing}
      <div class="waiting" role="status">
        <span class="pulse"></span>
        <span>${this.watch.away ? "The server does not answer; asking again." : "Waiting for the machine"}</span>
        <span class="left" role="timer">${duration(Math.ceil(this.watch.left() / 1000) * 1000)} left</span>
      </div>`;
  }

  private renderMachine(machine: Machine) {
    return html`<dl aria-label="The machine">
        <dt>Name</dt>
        <dd>${machine.name}</dd>
        <dt>Host</dt>
        <dd>${machine.hostname}</dd>
        <dt>System</dt>
        <dd>${machine.platform}</dd>
        <dt>Address</dt>
        <dd class="mono">${machine.address}</dd>
      </dl>
      <div class="label">Fingerprint</div>
      <div class="fingerprint" aria-label="Fingerprint">${inGroups(machine.fingerprint)}</div>`;
  }

  private renderPresented(machine: Machine) {
    return html`<p>A machine has used the code. Names can be made up; the fingerprint cannot.</p>
      ${this.renderMachine(machine)}
      <p><strong>The machine must show the same fingerprint now.</strong> If it shows another one or nothing, somebody else answered: refuse.</p>`;
  }

  private renderPaired(pairing: Pairing) {
    const runner = pairing.runnerId ? store.runner(pairing.runnerId) : undefined;
    const name = runner?.name ?? pairing.machine?.name ?? "The machine";
    const connected = runner?.state === "connected";
    return html`<div class="done" role="status">
        ${icon("check")}
        <div>
          <strong>${name} is ${connected ? "connected" : "paired"}.</strong>
          <p>${connected ? "You can start agents there now." : "Start the runner there, and it connects:"}</p>
        </div>
      </div>
      ${connected ? nothing : html`<es-copy-line text="earthshine runner" label="Copy the command"></es-copy-line>`}
      <label class="share">
        <input type="checkbox" role="switch" .checked=${this.shared} ?disabled=${!pairing.runnerId} @change=${this.share} />
        <span>Let all members use it<span class="hint">Their agents run there as the machine's own user and can read its files.</span></span>
      </label>`;
  }

  private renderOver(pairing: Pairing) {
    const words = {
      expired: "The code has expired. Nothing was given out.",
      refused: "Refused. The code is void, and nothing was given out.",
    }[pairing.state as "expired" | "refused"];
    return html`<p role="status">${marked(pairing.detail || words)}</p>`;
  }

  private renderBody(pairing: Pairing) {
    switch (pairing.state) {
      case "waiting":
        return this.renderWaiting(pairing);
      case "presented":
        return pairing.machine ? this.renderPresented(pairing.machine) : nothing;
      case "confirmed":
        return html`${pairing.machine ? this.renderMachine(pairing.machine) : nothing}
          <div class="waiting" role="status"><span class="pulse"></span><span>Confirmed. The machine fetches its credential…</span></div>`;
      case "paired":
        return this.renderPaired(pairing);
      case "refused":
      case "expired":
        return this.renderOver(pairing);
    }
  }

  private renderFooter(pairing: Pairing | null) {
    const { watch } = this;
    if (pairing?.state === "presented") {
      return html`<button class="danger" ?disabled=${watch.busy} @click=${() => void watch.refuse()}>Refuse</button>
        <button class="primary" ?disabled=${watch.busy} @click=${() => void watch.confirm()}>The fingerprints are the same</button>`;
    }
    const over = pairing?.state === "expired" || pairing?.state === "refused" || (pairing === null && watch.problem !== null);
    return html`${over ? html`<button class="outlined" ?disabled=${watch.busy} @click=${this.again}>New code</button>` : nothing}
      <button class=${pairing?.state === "paired" ? "primary" : ""} @click=${() => this.dialog.close()}>
        ${pairing?.state === "paired" ? "Done" : over || !pairing ? "Close" : "Cancel"}
      </button>`;
  }

  override render() {
    const { pairing, problem, busy } = this.watch;
    return html`<dialog aria-labelledby="title" @close=${this.closed}>
      <header>
        <h2 id="title">${pairing?.state === "presented" ? "Is this your machine?" : "Add a machine"}</h2>
        <button class="square" aria-label="Close" @click=${() => this.dialog.close()}>${icon("close")}</button>
      </header>
      <div class="body">
        ${pairing ? this.renderBody(pairing) : busy ? html`<p role="status">Making a code…</p>` : nothing}
        <es-problem .problem=${problem}></es-problem>
      </div>
      <footer>${this.renderFooter(pairing)}</footer>
    </dialog>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-pairing-dialog": PairingDialog;
  }
}
