/** A folder on a runner: typed, or found by walking through its folders. */

import { LitElement, type PropertyValues, css, html, nothing } from "lit";
import { customElement, property, state } from "lit/decorators.js";

import { api } from "../api/client";
import { asProblem } from "../api/problem";
import type { FolderList } from "../api/types";
import { icon } from "./icons";
import { base, buttons, fields } from "./styles/shared";

export interface FolderChoice {
  readonly path: string;
  /** Whether it is a git repository, where that is known. */
  readonly isRepository: boolean | null;
}

@customElement("es-folder-picker")
export class FolderPicker extends LitElement {
  @property() runnerId = "";
  @property() path = "";
  @property() home = "";
  @property() label = "Folder";
  @state() private browsing = false;
  @state() private list: FolderList | null = null;
  @state() private loading = false;
  @state() private problem = "";
  /** The newest request; answers to older ones are dropped. */
  private asked = 0;

  static override styles = [
    base,
    buttons,
    fields,
    css`
      .row {
        display: flex;
        gap: 8px;
      }
      .row button {
        height: 36px;
      }
      .row input:not([type="checkbox"]) {
        height: 36px;
      }
      .panel {
        margin-top: 6px;
        border: 1px solid var(--line);
        border-radius: 8px;
        background: var(--sunken);
        overflow: hidden;
      }
      ul {
        list-style: none;
        margin: 0;
        padding: 4px;
        max-height: 208px;
        overflow: auto;
        overscroll-behavior: contain;
      }
      ul button {
        width: 100%;
        justify-content: flex-start;
        height: 30px;
        padding: 0 8px;
        font-weight: 450;
      }
      ul button .icon {
        color: var(--text-3);
      }
      .git {
        margin-left: auto;
        display: inline-flex;
        gap: 4px;
        align-items: center;
        font-size: 11.5px;
        color: var(--ok);
      }
      .git .icon {
        color: inherit;
        width: 13px;
        height: 13px;
      }
      .note {
        padding: 8px 12px;
        font-size: 12.5px;
        color: var(--text-3);
      }
      @media (pointer: coarse) {
        ul button {
          height: 40px;
        }
      }
    `,
  ];

  override updated(changed: PropertyValues<this>): void {
    if (changed.has("runnerId") && changed.get("runnerId")) this.browsing = false;
  }

  private choose(choice: FolderChoice): void {
    this.dispatchEvent(new CustomEvent<FolderChoice>("choose", { detail: choice }));
  }

  private toggle(): void {
    this.browsing = !this.browsing;
    if (this.browsing) void this.load(this.path || this.home);
  }

  private async load(path: string): Promise<boolean> {
    const mine = (this.asked += 1);
    this.loading = true;
    this.problem = "";
    try {
      const list = await api.folders(this.runnerId, path);
      if (mine !== this.asked) return false;
      this.list = list;
      return true;
    } catch (error) {
      if (mine !== this.asked) return false;
      const problem = asProblem(error);
      this.problem = `${problem.message} ${problem.remedy}`.trim();
      return false;
    } finally {
      if (mine === this.asked) this.loading = false;
    }
  }

  private async enter(path: string, isRepository: boolean | null): Promise<void> {
    this.choose({ path, isRepository });
    await this.load(path);
  }

  private renderPanel() {
    if (!this.browsing) return nothing;
    const { list } = this;
    return html`<div class="panel">
      ${this.problem
        ? html`<div class="note problem" role="alert">${this.problem} <button class="outlined" @click=${() => this.load(this.home)}>Home folder</button></div>`
        : nothing}
      ${!list && this.loading ? html`<div class="note" role="status">Asking the runner…</div>` : nothing}
      ${list && !this.problem
        ? html`<ul aria-label="Folders in ${list.path}" aria-busy=${this.loading}>
            ${list.parent
              ? html`<li><button type="button" @click=${() => this.enter(list.parent ?? "/", null)}>${icon("up")}..</button></li>`
              : nothing}
            ${list.folders.map(
              (folder) => html`<li>
                <button type="button" @click=${() => this.enter(folder.path, folder.isRepository)}>
                  ${icon("folder")}<span class="ellipsis">${folder.name}</span>
                  ${folder.isRepository ? html`<span class="git">${icon("branch")}git</span>` : nothing}
                </button>
              </li>`,
            )}
            ${list.folders.length === 0 ? html`<li class="note">No folders in here.</li>` : nothing}
            ${list.truncated ? html`<li class="note">There are more; type the path to get there.</li>` : nothing}
          </ul>`
        : nothing}
    </div>`;
  }

  override render() {
    return html`<div class="row">
        <input
          class="mono"
          aria-label=${this.label}
          .value=${this.path}
          placeholder=${this.home || "Home folder"}
          spellcheck="false"
          autocapitalize="off"
          autocomplete="off"
          @input=${(event: Event) => this.choose({ path: (event.target as HTMLInputElement).value.trim(), isRepository: null })}
          @change=${() => this.browsing && void this.load(this.path || this.home)}
        />
        <button type="button" class="outlined" aria-expanded=${this.browsing} ?disabled=${!this.runnerId} @click=${this.toggle}>
          ${icon("folder")}${this.browsing ? "Done" : "Browse"}
        </button>
      </div>
      ${this.renderPanel()}`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-folder-picker": FolderPicker;
  }
}
