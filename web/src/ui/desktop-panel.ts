/** A desktop by the way the person chose, or the best that works; when one fails, the next, with a word about it. */

import { LitElement, type PropertyValues, css, html, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";
import { keyed } from "lit/directives/keyed.js";

import { api } from "../api/client";
import type { ConnectionMethod } from "../api/types";
import { lines } from "../desktop/lines";
import { Choosing, type MethodName } from "../desktop/methods";
import { preferences } from "../store/preferences";
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
    this.method = null;
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

  private choose(name: MethodName): void {
    this.choosing.choose(name);
    preferences.set({ desktopWays: { ...preferences.current.desktopWays, [this.sessionId]: name } });
    this.take();
    void this.updateComplete.then(() => this.takeFocus());
  }

  /** This way does not work: take the next, by what the server says now. */
  private async fail(name: MethodName, why: string): Promise<void> {
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
    return choosing.methods.map((method) => ({
      name: method.name,
      label: method.label,
      // Its view is a client of the person's own.
      obstacle: method.name === "moonlight" && method.available ? "" : choosing.obstacle(method),
      failure: choosing.failure(method.name),
      chosen: method.name === choosing.current,
      choose: () => this.choose(method.name),
    }));
  }

  private openOwnClient(tab: Tab): void {
    const why = (name: MethodName): string => {
      const method = this.choosing.methods.find((known) => known.name === name);
      return !method || method.available ? "" : (method.detail ?? "Not available.");
    };
    this.renderRoot
      .querySelector("es-own-client-dialog")
      ?.show({ kind: "session", id: this.sessionId }, this.sessionTitle || "desktop", { rdp: why("rdp"), moonlight: why("moonlight") }, tab);
  }

  override render() {
    const { current } = this.choosing;
    return html`<div
        data-way=${current}
        data-round=${this.round}
        @failed=${(event: CustomEvent<string>) => void this.fail(current, event.detail)}
        @worked=${() => this.worked(current)}
        @own-client=${(event: CustomEvent<Tab>) => this.openOwnClient(event.detail)}
      >
        ${this.knows
          ? keyed(
              `${this.sessionId} ${current}`,
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
