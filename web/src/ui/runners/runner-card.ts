/** One machine: how it stands, whose it is, what it can run, and what its owner does with it. */

import { LitElement, html, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";

import { devices } from "../../api/devices";
import { type SecretStore, runnerSecrets } from "../../api/secrets";
import type { Agent, Runner } from "../../api/types";
import { store } from "../../store/store";
import "../agent-badge";
import { confirm } from "../confirm";
import { ago, fullTime, shortAge, since } from "../format";
import { icon } from "../icons";
import { marked } from "../marked";
import "../menu";
import type { MenuItem } from "../menu";
import { inGroups } from "../names";
import "../secrets-list";
import { base, buttons, fields } from "../styles/shared";
import { notify, notifyError } from "../toasts";
import { runnerCardStyles } from "./runner-card-styles";

@customElement("es-runner-card")
export class RunnerCard extends LitElement {
  @property({ attribute: false }) runner!: Runner;
  @state() private renaming = false;
  @state() private secrets: SecretStore | null = null;
  @query("input.rename") private nameField?: HTMLInputElement;

  static override styles = [base, buttons, fields, runnerCardStyles];

  private get mine(): boolean {
    return this.runner.ownerId !== null && this.runner.ownerId === store.me?.personId;
  }

  /** Its owner's rights; admins have them on every machine. */
  private get rules(): boolean {
    return this.mine || (store.me?.isAdmin ?? false);
  }

  private async change(change: { name?: string; shared?: boolean }, what: string): Promise<void> {
    try {
      store.putRunner(await devices.changeRunner(this.runner.id, change));
    } catch (error) {
      notifyError(what, error);
      this.requestUpdate();
    }
  }

  private async share(shared: boolean): Promise<void> {
    const { name } = this.runner;
    if (shared) {
      const sure = await confirm({
        title: `Share ${name} with all members?`,
        text: "They can then start agents there, which run as the machine's own user and can read its files.",
        yes: "Share",
      });
      if (!sure) return;
    }
    await this.change({ shared }, `${name} was not ${shared ? "shared" : "taken back"}.`);
  }

  private readonly rename = (): void => {
    const name = this.nameField?.value.trim() ?? "";
    if (!this.renaming) return;
    this.renaming = false;
    if (name && name !== this.runner.name) void this.change({ name }, "The machine was not renamed.");
  };

  private async revoke(): Promise<void> {
    const { name, runningSessions: count } = this.runner;
    const sure = await confirm({
      title: `Revoke ${name}?`,
      text: `Its credential, its connection and everything that runs through it end at once: ${
        count === 0 ? "terminals" : count === 1 ? "1 session at work, its terminal" : `${count} sessions at work, their terminals`
      }, previews and desktops. Logs stay here. To use the machine again, pair it again.`,
      yes: "Revoke",
    });
    if (!sure) return;
    try {
      store.putRunner(await devices.revoke(this.runner.id));
      notify({ text: `${name} is revoked.` });
    } catch (error) {
      notifyError(`${name} was not revoked.`, error);
    }
  }

  private async discard(): Promise<void> {
    const { name, id } = this.runner;
    const sure = await confirm({ title: `Take ${name} off the list?`, text: "Its sessions and their logs stay.", yes: "Remove" });
    if (!sure) return;
    try {
      await devices.remove(id);
      store.removeRunner(id);
    } catch (error) {
      notifyError(`${name} was not removed.`, error);
    }
  }

  private readonly startRenaming = (): void => {
    this.renaming = true;
    void this.updateComplete.then(() => this.nameField?.select());
  };

  private get menu(): MenuItem[] {
    const { runner } = this;
    const device = runner.credential === "device";
    const items: MenuItem[] = [];
    if (device && !runner.revoked) {
      items.push({ label: "Rename", icon: "pencil", run: this.startRenaming });
      items.push(
        runner.shared
          ? { label: "Keep it to its owner", icon: "person", run: () => void this.share(false) }
          : { label: "Share with all members", icon: "people", run: () => void this.share(true) },
      );
    }
    if (this.mine && !runner.revoked) {
      items.push({
        label: this.secrets ? "Hide its keys" : "Keys for agents here",
        icon: "key",
        run: () => (this.secrets = this.secrets ? null : runnerSecrets(runner.id)),
      });
    }
    if (store.me?.isAdmin && runner.state === "connected") items.push({ label: "Open its desktop by RDP…", run: () => void this.openByRdp() });
    if (device && !runner.revoked) items.push({ label: "Revoke", icon: "close", danger: true, run: () => void this.revoke() });
    if (runner.revoked || runner.state !== "connected") {
      items.push({ label: "Remove from the list", icon: "trash", danger: true, run: () => void this.discard() });
    }
    return items;
  }

  private async openByRdp(): Promise<void> {
    await import("../own-client-dialog");
    this.renderRoot.querySelector("es-own-client-dialog")?.show({ kind: "runner", id: this.runner.id }, this.runner.name, { rdp: "", moonlight: "" });
  }

  private renderAgent(agent: Agent) {
    return html`<li class=${agent.available ? "" : "missing"}>
      <es-agent-badge agent=${agent.name}></es-agent-badge>
      <span class="name">${agent.label}</span>
      ${agent.available
        ? html`<span class="path mono">${agent.path ?? "Any program on this machine"}</span>`
        : html`<span class="why">${marked(agent.detail ?? "Not found on this machine.")}</span>`}
    </li>`;
  }

  private renderState() {
    const { runner } = this;
    if (runner.revoked) return html`<span class="state revoked">Revoked</span>`;
    const connected = runner.state === "connected";
    return html`<span class="state ${runner.state}" title=${fullTime(runner.since)}>
      ${connected ? `Connected for ${shortAge(since(runner.since) ?? 0)}` : `Away, last seen ${ago(runner.since)}`}
    </span>`;
  }

  private renderHead() {
    const { runner } = this;
    const menu = this.rules ? this.menu : [];
    return html`<div class="head">
      ${this.renaming
        ? html`<input
            class="rename"
            aria-label="Name"
            maxlength="64"
            .value=${runner.name}
            @blur=${this.rename}
            @keydown=${(event: KeyboardEvent) => {
              event.stopPropagation();
              if (event.key === "Enter") this.rename();
              if (event.key === "Escape") this.renaming = false;
            }}
          />`
        : html`<h2>${runner.name}</h2>`}
      ${this.renderState()}
      ${runner.runningSessions > 0
        ? html`<a class="working" href="/">${runner.runningSessions} ${runner.runningSessions === 1 ? "session" : "sessions"} at work</a>`
        : nothing}
      ${menu.length > 0 ? html`<span class="menu"><es-menu label="More about ${runner.name}" .items=${menu}></es-menu></span>` : nothing}
    </div>`;
  }

  private renderWhose() {
    const { runner } = this;
    if (runner.credential === "static-token") {
      return html`<div class="facts"><span>${icon("people")}All members can use it; it came with the token file</span></div>`;
    }
    const owner = this.mine ? "Yours" : `Owned by ${runner.ownerName ?? "somebody"}`;
    return html`<div class="facts">
        <span>${icon(runner.shared ? "people" : "person")}${owner}, ${runner.shared ? "shared with all members" : "for its owner only"}</span>
        ${runner.pairedAt ? html`<span title=${fullTime(runner.pairedAt)}>Paired ${ago(runner.pairedAt)}</span>` : nothing}
        ${runner.address ? html`<span>from <span class="mono">${runner.address}</span></span>` : nothing}
      </div>
      ${runner.fingerprint
        ? html`<div class="facts"><span>${icon("shield")}<span class="mono">${inGroups(runner.fingerprint)}</span></span></div>`
        : nothing}`;
  }

  override render() {
    const { runner } = this;
    return html`<section aria-label=${runner.name}>
      ${this.renderHead()}
      <div class="facts">
        <span>${runner.hostname}</span><span>${runner.platform}</span>
        ${runner.home ? html`<span class="mono">${runner.home}</span>` : nothing}
        ${runner.version ? html`<span>Earthshine ${runner.version}</span>` : nothing}
      </div>
      ${this.renderWhose()}
      ${runner.revoked
        ? html`<p class="notice" role="status">
            ${icon("warning")}
            <span>${marked(runner.revokedReason || "It was revoked and cannot connect any more.")} To use the machine again, add it again.</span>
          </p>`
        : runner.state === "connected"
          ? nothing
          : runner.version === ""
            ? html`<p class="facts">It has not connected yet: run <code class="said">earthshine runner</code> there.</p>`
            : html`<p class="facts">Its sessions go on and keep their log there. They catch up by themselves when it is back.</p>`}
      ${this.secrets
        ? html`<div class="secrets">
            <es-secrets
              .store=${this.secrets}
              heading="Keys for agents here"
              note="Agents on ${runner.name} get these as environment variables, unless whoever starts them has a key of the same name. They are never shown again."
            ></es-secrets>
          </div>`
        : nothing}
      ${runner.revoked || runner.agents.length === 0 ? nothing : html`<ul>${runner.agents.map((agent) => this.renderAgent(agent))}</ul>`}
    <es-own-client-dialog></es-own-client-dialog>
    </section>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-runner-card": RunnerCard;
  }
}
