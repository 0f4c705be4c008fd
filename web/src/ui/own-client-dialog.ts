/** A desktop in a client of one's own: a login for RDP that works once, how Moonlight gets in, and the operator's Guacamole. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, query, state } from "lit/decorators.js";

import { type RdpTarget, openInGuacamole, rdpConnection } from "../api/desktops";
import { type Problem, asProblem } from "../api/problem";
import type { ApplicationConnection, RdpConnection } from "../api/types";
import { Ticks } from "../store/controller";
import { copy } from "./copy";
import "./copy-line";
import { desktopIcon } from "./desktop-icons";
import { icon } from "./icons";
import { marked } from "./marked";
import { isOutOfReach, placeOf, programs, tunnelCommand } from "./own-client-commands";
import "./problem-note";
import { saveFile } from "./save-file";
import "./shown-once";
import { base, buttons, dialogs, fields } from "./styles/shared";

/** A client, and why it cannot be used here; empty when it can. */
export interface OwnClients {
  readonly rdp: string;
  readonly moonlight: string;
  /** Missing where there is no Guacamole web application. */
  readonly guacamole?: string;
}

export type Tab = keyof OwnClients;

@customElement("es-own-client-dialog")
export class OwnClientDialog extends LitElement {
  @state() private tab: Tab = "rdp";
  @state() private target: RdpTarget | null = null;
  @state() private obstacles: OwnClients = { rdp: "", moonlight: "" };
  @state() private login: RdpConnection | null = null;
  @state() private application: ApplicationConnection | null = null;
  @state() private program: string = programs[0].name;
  @state() private busy = false;
  @state() private problem: Problem | null = null;
  @query("dialog") private dialog!: HTMLDialogElement;
  private name = "";

  constructor() {
    super();
    new Ticks(this, 1_000);
  }

  static override styles = [
    base,
    buttons,
    dialogs,
    fields,
    css`
      dialog {
        width: 520px;
      }
      .body {
        display: grid;
        grid-template-columns: minmax(0, 1fr);
        gap: 14px;
      }
      p {
        color: var(--text-2);
        font-size: 13.5px;
        line-height: 1.5;
      }
      .tabs {
        display: flex;
        gap: 2px;
        padding: 2px;
        border: 1px solid var(--line);
        border-radius: 9px;
        background: var(--sunken);
      }
      .tabs button {
        flex: 1;
        height: 30px;
        padding: 0 8px;
        color: var(--text-2);
      }
      .tabs button[aria-selected="true"] {
        background: var(--raised);
        border-color: var(--line);
        color: var(--text);
      }
      .pair {
        display: grid;
        grid-template-columns: repeat(2, minmax(0, 1fr));
        gap: 10px;
      }
      .pair > div {
        display: grid;
        gap: 5px;
      }
      .row {
        display: flex;
        gap: 4px;
      }
      .actions {
        display: flex;
        flex-wrap: wrap;
        gap: 8px;
      }
      .reach {
        display: grid;
        gap: 8px;
        padding: 10px 12px;
        border-radius: var(--radius);
        background: var(--warn-soft);
      }
      .reach p {
        color: var(--text);
        font-size: 13px;
      }
      .program {
        display: grid;
        grid-template-columns: minmax(0, 1fr);
        gap: 8px;
      }
      ol {
        margin: 0;
        padding-left: 20px;
        display: grid;
        gap: 12px;
        font-size: 13.5px;
        line-height: 1.5;
      }
      ol es-copy-line {
        display: block;
        margin-top: 6px;
      }
      .why {
        padding: 10px 12px;
        border-radius: var(--radius);
        background: var(--hover);
        color: var(--text-2);
        font-size: 13px;
        overflow-wrap: anywhere;
      }
      @media (max-width: 460px) {
        .pair {
          grid-template-columns: minmax(0, 1fr);
        }
      }
    `,
  ];

  show(target: RdpTarget, name: string, obstacles: OwnClients, tab: Tab = "rdp"): void {
    this.target = target;
    this.tab = tab;
    this.name = name;
    this.obstacles = obstacles;
    this.forget();
    this.dialog.showModal();
  }

  /** The password is gone when the dialog is. */
  private forget(): void {
    this.login = this.application = null;
    this.problem = null;
  }

  private async ask(): Promise<void> {
    const { tab, target } = this;
    if (!target) return;
    this.busy = true;
    this.forget();
    try {
      if (tab === "guacamole") {
        const application = await openInGuacamole(target.id);
        if (this.dialog.open) this.application = application;
      } else {
        const login = await rdpConnection(target);
        if (this.dialog.open) this.login = login;
      }
    } catch (error) {
      this.problem = asProblem(error);
    } finally {
      this.busy = false;
    }
  }

  private choose(tab: Tab): void {
    this.tab = tab;
    this.problem = null;
  }

  private renderTabs() {
    const tab = (name: Tab, label: string) =>
      html`<button role="tab" aria-selected=${this.tab === name} @click=${() => this.choose(name)}>${label}</button>`;
    return html`<div class="tabs" role="tablist" aria-label="Client">
      ${tab("rdp", "RDP")}${tab("moonlight", "Moonlight")}${this.obstacles.guacamole === undefined ? nothing : tab("guacamole", "Guacamole")}
    </div>`;
  }

  private renderField(label: string, value: string) {
    const id = `field-${label}`;
    return html`<div>
      <label for=${id}>${label}</label>
      <div class="row">
        <input id=${id} class="mono" readonly spellcheck="false" .value=${value} @focus=${(event: Event) => (event.target as HTMLInputElement).select()} />
        <button class="square" aria-label="Copy the ${label.toLowerCase()}" title="Copy" @click=${() => void copy(value)}>${icon("copy")}</button>
      </div>
    </div>`;
  }

  private renderLogin(login: RdpConnection) {
    const until = Date.parse(login.expiresAt);
    if (until <= Date.now()) {
      return html`<div class="why">That has expired.</div>
        <div class="actions">${this.renderAsk("Get another")}</div>`;
    }
    const program = programs.find(({ name }) => name === this.program) ?? programs[0];
    const command = program.command(login);
    return html`
      <div class="pair">${this.renderField("Address", placeOf(login))}${this.renderField("User", login.user)}</div>
      <es-shown-once
        label="Password, for one connection"
        .value=${login.password}
        .until=${until}
        note=${login.viewOnly ? "You can watch with it, not steer. It is not shown again." : "It is not shown again."}
      ></es-shown-once>
      ${isOutOfReach(login.address, location.hostname)
              ? html`<div class="reach">
                  <p>This address is on the machine that Earthshine runs on. From yours, open a way there first, and leave it open:</p>
                  <es-copy-line text=${tunnelCommand(login, location.hostname)} label="Copy the ssh command"></es-copy-line>
                </div>`
              : nothing}
            <div class="program">
              <div class="tabs" role="tablist" aria-label="Program">
                ${programs.map(
                  ({ name }) => html`<button role="tab" aria-selected=${name === program.name} @click=${() => (this.program = name)}>${name}</button>`,
                )}
              </div>
              ${command ? html`<es-copy-line text=${command} label="Copy the command"></es-copy-line>` : nothing}
              <p>${program.words}</p>
            </div>
            <div class="actions">
              <button class="outlined" @click=${() => saveFile(new Blob([login.file], { type: "application/x-rdp" }), this.name, "rdp")}>
                ${icon("download")}Download .rdp file
              </button>
            </div>
    `;
  }

  private renderAsk(label: string) {
    return html`<button class="primary" ?disabled=${this.busy} @click=${() => void this.ask()}>${this.busy ? "One moment…" : label}</button>`;
  }

  private renderRdp() {
    const { login, obstacles, problem } = this;
    if (login) return this.renderLogin(login);
    if (obstacles.rdp) return html`<div class="why">${marked(obstacles.rdp)}</div>`;
    return html`<p>
        xfreerdp, Remmina and Microsoft's client can show this desktop. They get a user and a password of their own, for one connection that is opened in the next minutes.
      </p>
      ${problem ? html`<es-problem .problem=${problem}></es-problem>` : nothing}
      <div class="actions">${this.renderAsk("Get a login")}</div>`;
  }

  private renderMoonlight() {
    return html`${this.obstacles.moonlight ? html`<div class="why">${marked(this.obstacles.moonlight)}</div>` : nothing}
      <p>Moonlight runs on phones, tablets, televisions and computers. A machine that is a Moonlight host gives each app a display of its own.</p>
      <ol>
        <li>On the runner's machine, in <code class="said">earthshine.toml</code>, then start the runner again:<es-copy-line text=${"[runner.moonlight]\nenabled = true"} label="Copy the setting"></es-copy-line></li>
        <li>In Moonlight, add the machine by its address. It shows four digits.</li>
        <li>On the runner's machine, let it in with those digits:<es-copy-line text="earthshine moonlight accept 1234" label="Copy the command"></es-copy-line></li>
        <li>Choose an app in Moonlight. It goes on when you leave, and is there when you come back.</li>
      </ol>
      <p>The ports and other settings are in the guide “Use a Moonlight client”.</p>`;
  }

  private renderGuacamole() {
    const { application, obstacles, problem } = this;
    if (obstacles.guacamole) return html`<div class="why">${marked(obstacles.guacamole)}</div>`;
    const expired = application !== null && Date.parse(application.expiresAt) <= Date.now();
    if (application && !expired) {
      return html`<p>
          It is there as “${application.name}”${application.viewOnly ? ", to watch, not to steer" : ""}. Open it within five minutes, signed in there with the name that you have here.
        </p>
        <div class="actions">
          <a class="button primary" href=${application.url} target="_blank" rel="noopener noreferrer">${desktopIcon("outside")}Open Guacamole</a>
        </div>`;
    }
    return html`<p>The Guacamole that runs beside this server can show this desktop. It gets a connection for you, for one visit.</p>
      ${expired ? html`<div class="why">That has expired.</div>` : nothing}
      ${problem ? html`<es-problem .problem=${problem}></es-problem>` : nothing}
      <div class="actions">${this.renderAsk(expired ? "Get another" : "Get a connection")}</div>`;
  }

  private renderTab() {
    if (this.tab === "guacamole") return this.renderGuacamole();
    return this.tab === "rdp" ? this.renderRdp() : this.renderMoonlight();
  }

  override render() {
    return html`<dialog aria-labelledby="title" @close=${() => this.forget()}>
      <header>
        <h2 id="title">Open in your own client</h2>
        <button class="square" aria-label="Close" @click=${() => this.dialog.close()}>${icon("close")}</button>
      </header>
      <div class="body">${this.renderTabs()}${this.renderTab()}</div>
    </dialog>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-own-client-dialog": OwnClientDialog;
  }
}
