/** A desktop by the way the person chose, or the best that works; when one fails, the next, with a word about it. */

import { LitElement, type PropertyValues, css, html, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";
import { keyed } from "lit/directives/keyed.js";

import { api } from "../api/client";
import { guacamoleConnections } from "../api/desktops";
import type { ConnectionMethod, GuacamoleConnection } from "../api/types";
import { lines } from "../desktop/lines";
import { Choosing, type MethodName, joined } from "../desktop/methods";
import { preferences } from "../store/preferences";
import { store } from "../store/store";
import type { DesktopView } from "./desktop-view";
import "./desktop-view";
import type { Way } from "./desktop-ways";
import "./own-client-dialog";
import type { Tab } from "./own-client-dialog";
import { base } from "./styles/shared";
import { notify } from "./toasts";

const views: ReadonlySet<MethodName> = new Set(["native", ...(Object.keys(lines) as MethodName[])]);

@customElement("es-desktop-panel")
export class DesktopPanel extends LitElement {
  @property() sessionId = "";
  @property() sessionTitle = "";
  /** What is known of the ways has changed. */
  @state() private round = 0;
  @query("[data-way] > *") private view?: DesktopView;
  private choosing = new Choosing(views);
  /** The built-in way need not wait for the list; one that is remembered may not be there any more. */
  @state() private knows = true;
  /** Others' connections through guacd, as of when the list was last looked at. */
  @state() private running: readonly GuacamoleConnection[] = [];
  private looked = Promise.resolve();
  /** Whether the operator runs Guacamole's web application. */
  @state() private application = false;
  /** The one that is joined. */
  @state() private with: GuacamoleConnection | null = null;
  /** Of the view that is shown: it keeps the one it began with. */
  private method: ConnectionMethod | null = null;

  static override styles = [
    base,
    css`
      :host {
        display: grid;
        grid-template-rows: minmax(0, 1fr);
        min-width: 0;
        min-height: 0;
      }
      es-own-client-dialog {
        position: absolute;
      }
      [data-way] {
        display: grid;
        min-width: 0;
        min-height: 0;
      }
    `,
  ];

  override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has("sessionId")) return;
    const remembered = preferences.current.desktopWays[this.sessionId] as MethodName | undefined;
    this.choosing = new Choosing(views, remembered ?? null);
    this.method = this.with = null;
    this.running = [];
    this.knows = remembered === undefined;
    void this.load();
  }

  takeFocus(): void {
    this.view?.takeFocus();
  }

  get hasFocus(): boolean {
    return this.view?.hasFocus ?? false;
  }

  private async load(): Promise<void> {
    const { choosing } = this;
    try {
      choosing.learn((await api.connectionMethods(this.sessionId)).methods);
    } catch {
      // What is known already has to do; the view says itself that there is no connection.
    }
    if (choosing !== this.choosing) return;
    this.knows = true;
    this.take();
  }

  private take(): void {
    if (this.method?.name !== this.choosing.current) this.method = this.choosing.method;
    this.round += 1;
  }

  /** Who else comes by guacd? */
  private look(): void {
    this.looked = this.askWho();
  }

  private async askWho(): Promise<void> {
    const { method, sessionId } = this;
    try {
      const all = await guacamoleConnections(sessionId);
      if (sessionId !== this.sessionId) return;
      this.application = all.application;
      this.running = all.connections.filter((one) => one.id === this.with?.id || one.name !== store.me?.name);
    } catch {
      if (method === this.method) this.running = [];
    }
  }

  private join(connection: GuacamoleConnection): void {
    const method = this.choosing.methods.find(({ name }) => name === "guacamole");
    if (!method) return;
    this.choosing.choose("guacamole");
    this.with = connection;
    this.method = joined(method, connection.id, this.sessionId);
    void this.updateComplete.then(() => this.takeFocus());
  }

  /** Back to a connection of one's own. */
  private leaveOthers(): void {
    if (this.with) this.method = null;
    this.with = null;
  }

  private choose(name: MethodName): void {
    this.leaveOthers();
    this.choosing.choose(name);
    preferences.set({ desktopWays: { ...preferences.current.desktopWays, [this.sessionId]: name } });
    this.take();
    void this.updateComplete.then(() => this.takeFocus());
  }

  /** This way does not work: take the next, by what the server says now. */
  private async fail(name: MethodName, why: string): Promise<void> {
    const { with: host } = this;
    if (host) {
      this.leaveOthers();
      this.take();
      notify({ key: "method", text: `${host.name}'s connection has ended: this is one of your own.` });
      return;
    }
    await this.load();
    const { choosing } = this;
    const method = choosing.methods.find((known) => known.name === name);
    const reason = method?.available === false ? (method.detail ?? why) : why;
    const fallback = choosing.fail(name, reason);
    this.take();
    if (!fallback) return;
    const from = choosing.label(fallback.from);
    if (fallback.exhausted) {
      notify({ key: "method", tone: "bad", text: "No way to this desktop works at the moment.", detail: `Last, “${from}” failed: ${reason} “See it by” has the others' reasons.` });
      return;
    }
    notify({
      key: "method",
      text: `“${from}” did not work: you see the desktop by “${choosing.label(fallback.to)}” now.`,
      detail: reason,
      action: { label: "Go back", run: () => this.choose(fallback.from) },
    });
  }

  private worked(name: MethodName): void {
    this.choosing.worked(name);
    this.round += 1;
  }

  private get ways(): Way[] {
    const { choosing } = this;
    return choosing.methods.flatMap((method) => [this.wayOf(method), ...(method.name === "guacamole" && method.available ? this.joins : [])]);
  }

  private get joins(): Way[] {
    return this.running.map((one) => ({
      name: "guacamole",
      label: `Guacamole, with ${one.name}`,
      what: `What ${one.name} sees by ${one.protocol.toUpperCase()}, until they leave`,
      obstacle: "",
      failure: "",
      chosen: one.id === this.with?.id,
      choose: () => this.join(one),
    }));
  }

  private wayOf(method: ConnectionMethod): Way {
    const { choosing } = this;
    return {
      name: method.name,
      label: method.label,
      // Its view is a client of the person's own.
      obstacle: method.name === "moonlight" && method.available ? "" : choosing.obstacle(method),
      failure: choosing.failure(method.name),
      chosen: method.name === choosing.current && !this.with,
      choose: () => this.choose(method.name),
    };
  }

  private async openOwnClient(tab: Tab): Promise<void> {
    await this.looked;
    const why = (name: MethodName): string => {
      const method = this.choosing.methods.find((known) => known.name === name);
      return !method || method.available ? "" : (method.detail ?? "Not available.");
    };
    this.renderRoot
      .querySelector("es-own-client-dialog")
      ?.show({ kind: "session", id: this.sessionId }, this.sessionTitle || "desktop", { rdp: why("rdp"), moonlight: why("moonlight"), ...(this.application ? { guacamole: why("vnc") } : {}) }, tab);
  }

  override render() {
    const { current } = this.choosing;
    return html`<div
        data-way=${current}
        data-round=${this.round}
        @failed=${(event: CustomEvent<string>) => void this.fail(current, event.detail)}
        @look=${() => this.look()}
        @worked=${() => this.worked(current)}
        @own-client=${(event: CustomEvent<Tab>) => this.openOwnClient(event.detail)}
      >
        ${this.knows
          ? keyed(
              `${this.sessionId} ${current} ${this.with?.id ?? ""}`,
              html`<es-desktop-view sessionId=${this.sessionId} sessionTitle=${this.sessionTitle} .method=${this.method} .ways=${this.ways}></es-desktop-view>`,
            )
          : nothing}
      </div>
      <es-own-client-dialog></es-own-client-dialog>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-desktop-panel": DesktopPanel;
  }
}
