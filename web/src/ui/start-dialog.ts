/** Starts a session: everything has a sensible beginning, so that one more click is enough. */

import { LitElement, html, nothing } from "lit";
import { customElement, query, state } from "lit/decorators.js";

import { api, newCommandId } from "../api/client";
import { asProblem } from "../api/problem";
import type { Session } from "../api/types";
import { router, sessionPath } from "../router";
import { Watches } from "../store/controller";
import { preferences } from "../store/preferences";
import { store } from "../store/store";
import "./agent-picker";
import { CommandLineError } from "./command-line";
import "./folder-picker";
import type { FolderChoice } from "./folder-picker";
import { icon } from "./icons";
import { marked } from "./marked";
import { DESKTOP_SIZES, type StartForm, agentFor, agentsOf, initialForm, likelyCells, noDesktopWhy, requestFor } from "./start-form";
import { base, buttons, dialogs, fields } from "./styles/shared";
import { startDialogStyles } from "./styles/start-dialog";

/** What surrounds the terminal on the session page, in CSS pixels. */
const AROUND = { width: 270, height: 130 };

@customElement("es-start-dialog")
export class StartDialog extends LitElement {
  @state() private form: StartForm = initialForm([], preferences.current);
  @state() private isRepository: boolean | null = null;
  @state() private busy = false;
  @state() private problem: { text: string; remedy: string } | null = null;
  @query("dialog") private dialog!: HTMLDialogElement;
  /** One id per filled form: pressing Start twice starts once. */
  private commandId = newCommandId();

  constructor() {
    super();
    new Watches(this, store);
  }

  static override styles = [base, buttons, fields, dialogs, startDialogStyles];

  get open(): boolean {
    return this.dialog?.open ?? false;
  }

  async show(like?: Session): Promise<void> {
    if (this.open) return;
    this.form = initialForm(store.runners, preferences.current, like);
    this.isRepository = like?.worktree ? true : null;
    this.problem = null;
    this.commandId = newCommandId();
    await this.updateComplete;
    if (this.open) return;
    this.dialog.showModal();
    if (!matchMedia("(pointer: coarse)").matches) this.shadowRoot?.querySelector<HTMLElement>("#prompt")?.focus();
  }

  override willUpdate(): void {
    // The runners arrived, or the chosen one went, while the dialog was open.
    const runner = store.runner(this.form.runnerId);
    if (this.open && runner?.state !== "connected" && !this.busy) {
      const other = store.runners.find((candidate) => candidate.state === "connected");
      if (other) this.chooseRunner(other.id);
    }
  }

  private change(part: Partial<StartForm>): void {
    this.form = { ...this.form, ...part };
    this.problem = null;
    this.commandId = newCommandId();
  }

  private chooseRunner(id: string): void {
    this.change({
      runnerId: id,
      agent: agentFor(store.runner(id), this.form.agent),
      folder: preferences.current.folders[id] ?? "",
    });
    this.isRepository = null;
  }

  private async start(): Promise<void> {
    const { form } = this;
    const home = store.runner(form.runnerId)?.home ?? "";
    if (form.agent === "command" && !form.command.trim()) {
      this.problem = { text: "Which command should run?", remedy: "Fill in the field Command." };
      return;
    }
    this.busy = true;
    this.problem = null;
    try {
      const cells = likelyCells(innerWidth - (innerWidth > 760 ? AROUND.width : 24), innerHeight - AROUND.height, preferences.current.fontSize);
      const desktop = form.desktop && noDesktopWhy(store.runner(form.runnerId)) === "";
      const session = await api.start(requestFor({ ...form, desktop }, cells, home, this.commandId));
      preferences.set({
        lastAgent: form.agent,
        lastRunner: form.runnerId,
        lastWorktree: form.worktree,
        lastDesktop: form.desktop,
        folders: { ...preferences.current.folders, [form.runnerId]: form.folder },
      });
      store.put(session);
      this.dialog.close();
      router.go(sessionPath(session.id));
    } catch (error) {
      const { message, remedy } =
        error instanceof CommandLineError ? { message: error.message, remedy: "Correct the command." } : asProblem(error);
      this.problem = { text: message, remedy };
    } finally {
      this.busy = false;
    }
  }

  private readonly field =
    (name: keyof StartForm) =>
    (event: Event): void =>
      this.change({ [name]: (event.target as HTMLInputElement).value });

  private readonly key = (event: KeyboardEvent): void => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.isComposing) return;
    event.preventDefault();
    void this.start();
  };

  private renderWhere() {
    const { form } = this;
    const runner = store.runner(form.runnerId);
    return html`<div class="field">
        <label for="runner">Machine</label>
        <div class="select">
          ${icon("server")}
          <select id="runner" @change=${(event: Event) => this.chooseRunner((event.target as HTMLSelectElement).value)}>
            ${store.runners.map(
              (candidate) => html`<option value=${candidate.id} ?selected=${candidate.id === form.runnerId} ?disabled=${candidate.state !== "connected"}>
                ${candidate.name}${candidate.state === "connected" ? "" : " (away)"}
              </option>`,
            )}
          </select>
        </div>
      </div>
      <div class="field">
        <label>${form.worktree ? "Repository" : "Folder"}</label>
        <es-folder-picker
          runnerId=${form.runnerId}
          path=${form.folder}
          home=${runner?.home ?? ""}
          label=${form.worktree ? "Repository" : "Folder"}
          @choose=${(event: CustomEvent<FolderChoice>) => {
            this.isRepository = event.detail.isRepository;
            this.change({ folder: event.detail.path });
          }}
        ></es-folder-picker>
      </div>`;
  }

  private renderWorktree() {
    const { form } = this;
    return html`<div class="switch">
        <input id="worktree" type="checkbox" role="switch" .checked=${form.worktree} @change=${(event: Event) => this.change({ worktree: (event.target as HTMLInputElement).checked })} />
        <label for="worktree">
          <span class="name">Work in a fresh git worktree</span>
          <span class="hint">The agent gets a branch and a copy of its own; your files stay as they are.</span>
        </label>
      </div>
      ${form.worktree
        ? html`<div class="pair">
              <div class="field">
                <label for="branch">New branch</label>
                <input id="branch" class="mono" placeholder="made up when empty" maxlength="200" spellcheck="false" autocapitalize="off" .value=${form.branch} @input=${this.field("branch")} />
              </div>
              <div class="field">
                <label for="base">Starts at</label>
                <input id="base" class="mono" placeholder="HEAD" maxlength="200" spellcheck="false" autocapitalize="off" .value=${form.base} @input=${this.field("base")} />
              </div>
            </div>
            ${this.isRepository === false ? html`<p class="hint warn">This folder does not look like a git repository.</p>` : nothing}`
        : nothing}`;
  }

  private renderDesktop() {
    const { form } = this;
    const why = noDesktopWhy(store.runner(form.runnerId));
    return html`<div class="switch">
      <input
        id="desktop"
        type="checkbox"
        role="switch"
        ?disabled=${why !== ""}
        .checked=${form.desktop && why === ""}
        @change=${(event: Event) => this.change({ desktop: (event.target as HTMLInputElement).checked })}
      />
      <label for="desktop">
        <span class="name">With a desktop</span>
        <span class="hint">${why || "A screen of its own for browsers and other programs; you see and steer it here."}</span>
      </label>
      ${form.desktop && why === ""
        ? html`<select class="plain" aria-label="Size of the desktop" @change=${this.field("desktopSize")}>
            ${DESKTOP_SIZES.map((size) => html`<option value=${size} ?selected=${size === form.desktopSize}>${size.replace("x", " × ")}</option>`)}
          </select>`
        : nothing}
    </div>
    ${form.desktop && why === ""
      ? html`<div class="switch">
          <input
            id="record"
            type="checkbox"
            role="switch"
            .checked=${form.record}
            @change=${(event: Event) => this.change({ record: (event.target as HTMLInputElement).checked })}
          />
          <label for="record">
            <span class="name">Record the desktop</span>
            <span class="hint">To see it again beside the terminal. Everybody in the session sees that it is recorded.</span>
          </label>
        </div>`
      : nothing}`;
  }

  private renderCommand(label: string, hint: string) {
    return html`<div class="field">
      <label for="command">${label}</label>
      <input id="command" class="mono" placeholder=${hint} spellcheck="false" autocapitalize="off" autocomplete="off" .value=${this.form.command} @input=${this.field("command")} />
    </div>`;
  }

  private renderForm() {
    const { form } = this;
    const typed = form.agent === "shell" || form.agent === "command";
    return html`
      <es-agent-picker
        .agents=${agentsOf(store.runner(form.runnerId))}
        chosen=${form.agent}
        @choose=${(event: CustomEvent<string>) => this.change({ agent: event.detail })}
      ></es-agent-picker>
      ${form.agent === "command" ? this.renderCommand("Command", "npm test -- --watch") : nothing}
      <div class="field">
        <label for="prompt">${typed ? "First input" : "Prompt"}</label>
        <textarea
          id="prompt"
          rows="3"
          placeholder=${typed ? "Nothing: start with an empty terminal" : "What should it do? You can also tell it later."}
          .value=${form.prompt}
          @input=${this.field("prompt")}
        ></textarea>
      </div>
      <div class="pair where">${this.renderWhere()}</div>
      ${this.renderWorktree()} ${this.renderDesktop()}
      <details class="more">
        <summary>Title and arguments</summary>
        <div class="pair">
          <div class="field">
            <label for="title-field">Title</label>
            <input id="title-field" maxlength="200" placeholder="from the prompt" .value=${form.title} @input=${this.field("title")} />
          </div>
          ${form.agent === "command" ? nothing : this.renderCommand("More arguments", "--model …")}
        </div>
      </details>
    `;
  }

  private renderNoRunner() {
    return html`<div class="none">
      <strong>${store.loaded ? "No machine is connected" : "Looking for machines…"}</strong>
      ${store.loaded
        ? html`<p>An agent needs a runner to work on. <a href="/runners" @click=${() => this.dialog.close()}>See how to connect one</a>.</p>`
        : nothing}
    </div>`;
  }

  override render() {
    const ready = this.form.runnerId !== "" && this.form.agent !== "";
    return html`<dialog aria-labelledby="title" @keydown=${this.key}>
      <header>
        <h2 id="title">New session</h2>
        <button class="square" aria-label="Close" @click=${() => this.dialog.close()}>${icon("close")}</button>
      </header>
      <div class="body">${this.form.runnerId ? this.renderForm() : this.renderNoRunner()}</div>
      <footer>
        ${this.problem
          ? html`<div class="problem" role="alert">${marked(`${this.problem.text} ${this.problem.remedy}`)}</div>`
          : html`<span class="hint keys"><kbd>${/Mac/.test(navigator.platform) ? "⌘" : "Ctrl"} Enter</kbd></span>`}
        <button @click=${() => this.dialog.close()}>Cancel</button>
        <button class="primary" ?disabled=${!ready || this.busy} @click=${this.start}>${this.busy ? "Starting…" : "Start"}</button>
      </footer>
    </dialog>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-start-dialog": StartDialog;
  }
}
