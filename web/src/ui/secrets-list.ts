/** Keys that agents get in their environment: names to see, values to write, never to read. */

import { LitElement, type PropertyValues, html, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";

import { type Problem, asProblem } from "../api/problem";
import type { SecretStore } from "../api/secrets";
import type { Secret, SecretList } from "../api/types";
import { Loading } from "../store/loading";
import { confirm } from "./confirm";
import { ago, fullTime } from "./format";
import { icon } from "./icons";
import { marked } from "./marked";
import "./problem-note";
import { rows } from "./styles/page";
import { base, buttons, fields } from "./styles/shared";
import { notify, notifyError } from "./toasts";

/** What the agents look for. */
export const SUGGESTED = ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY"] as const;

@customElement("es-secrets")
export class Secrets extends LitElement {
  @property({ attribute: false }) store!: SecretStore;
  @property() heading = "";
  @property() note = "";
  /** The name of the secret in the form; empty for a new one. */
  @state() private editing: string | null = null;
  @state() private busy = false;
  @state() private problem: Problem | null = null;
  @query("#secret-name") private nameField?: HTMLInputElement;
  @query("#secret-value") private valueField?: HTMLInputElement;
  private readonly secrets = new Loading(this, () => this.store.list(), false);

  static override styles = [base, buttons, fields, rows];

  override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has("store")) return;
    this.secrets.forget();
    void this.secrets.reload();
  }

  private edit(name: string): void {
    this.editing = name;
    this.problem = null;
    void this.updateComplete.then(() => (name ? this.valueField : this.nameField)?.focus());
  }

  private readonly save = async (event: Event): Promise<void> => {
    event.preventDefault();
    const name = this.nameField?.value.trim() ?? "";
    this.busy = true;
    this.problem = null;
    try {
      await this.store.put(name, this.valueField?.value ?? "");
      this.editing = null;
      notify({ key: "secret", text: `${name} is stored. Agents started from now on get it.` });
      await this.secrets.reload();
    } catch (error) {
      this.problem = asProblem(error);
    } finally {
      this.busy = false;
    }
  };

  private async discard(secret: Secret): Promise<void> {
    const sure = await confirm({
      title: `Remove ${secret.name}?`,
      text: "Agents started from now on do not get it. Those at work keep it until they end.",
      yes: "Remove",
    });
    if (!sure) return;
    try {
      await this.store.remove(secret.name);
    } catch (error) {
      notifyError("The key was not removed.", error);
    }
    await this.secrets.reload();
  }

  private renderForm() {
    const known = this.editing ?? "";
    return html`<form class="card" @submit=${this.save}>
      <div class="field">
        <label for="secret-name">Name of the variable</label>
        <input
          id="secret-name"
          class="mono"
          list="suggested"
          required
          maxlength="128"
          autocomplete="off"
          autocapitalize="off"
          spellcheck="false"
          placeholder=${SUGGESTED[0]}
          .value=${known}
          ?readonly=${known !== ""}
        />
        <datalist id="suggested">${SUGGESTED.map((name) => html`<option value=${name}></option>`)}</datalist>
      </div>
      <div class="field">
        <label for="secret-value">Value</label>
        <input id="secret-value" class="mono" type="password" required maxlength="8192" autocomplete="off" spellcheck="false" />
      </div>
      <es-problem .problem=${this.problem}></es-problem>
      <div class="actions end">
        <button type="button" @click=${() => (this.editing = null)}>Cancel</button>
        <button class="primary" ?disabled=${this.busy}>${this.busy ? "Storing…" : known ? "Replace the value" : "Store"}</button>
      </div>
    </form>`;
  }

  private renderSecret(secret: Secret) {
    return html`<div class="row" role="listitem">
      <div>
        <div class="name mono">${secret.name}</div>
        <div class="hint" title=${fullTime(secret.createdAt)}>
          Stored ${ago(secret.createdAt)}, ${secret.lastUsedAt ? `last given to an agent ${ago(secret.lastUsedAt)}` : "not used yet"}
        </div>
      </div>
      <div class="actions">
        <button class="danger" aria-label="Remove ${secret.name}" @click=${() => void this.discard(secret)}>Remove</button>
        <button class="outlined" aria-label="Replace ${secret.name}" @click=${() => this.edit(secret.name)}>Replace</button>
      </div>
    </div>`;
  }

  private renderList(list: SecretList) {
    if (!list.available) {
      return html`<p class="hint waiting">${marked(list.detail ?? "This server cannot store secrets.")}</p>`;
    }
    return html`${this.editing === null ? nothing : this.renderForm()}
      ${list.secrets.length > 0
        ? html`<div role="list" aria-label=${this.heading}>${list.secrets.map((secret) => this.renderSecret(secret))}</div>`
        : this.editing === null
          ? html`<p class="hint waiting">None yet. ${this.note}</p>`
          : nothing}
      ${list.secrets.length > 0 ? html`<p class="hint">${this.note}</p>` : nothing}`;
  }

  override render() {
    const ready = this.secrets.value?.available && this.editing === null;
    return html`<h2>
        ${this.heading}
        ${ready ? html`<button class="outlined" @click=${() => this.edit("")}>${icon("plus")}Add a key</button>` : nothing}
      </h2>
      ${this.secrets.show((list) => this.renderList(list), "the keys")}`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-secrets": Secrets;
  }
}
