/** A desktop by the best way that works; when one fails, the next, with a word about it. */

import { LitElement, type PropertyValues, css, html } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";

import { api } from "../api/client";
import type { ConnectionMethod } from "../api/types";
import { type MethodName, chooseMethod, obstacle } from "../desktop/methods";
import type { Way } from "./desktop-menu";
import "./desktop-view";
import type { DesktopView } from "./desktop-view";
import { base } from "./styles/shared";
import { notify } from "./toasts";

/** What this page can show itself. */
const shown: ReadonlySet<MethodName> = new Set(["native"]);

@customElement("es-desktop-panel")
export class DesktopPanel extends LitElement {
  @property() sessionId = "";
  @property() sessionTitle = "";
  @state() private methods: readonly ConnectionMethod[] = [];
  @state() private chosen: MethodName = "native";
  @query("es-desktop-view") private view?: DesktopView;
  private readonly failed = new Set<MethodName>();

  static override styles = [
    base,
    css`
      :host {
        display: grid;
        min-width: 0;
        min-height: 0;
      }
    `,
  ];

  override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("sessionId")) void this.load();
  }

  takeFocus(): void {
    this.view?.takeFocus();
  }

  get hasFocus(): boolean {
    return this.view?.hasFocus ?? false;
  }

  /** This way does not work: take the next. */
  fail(name: MethodName, why: string): void {
    this.failed.add(name);
    const next = chooseMethod(this.methods, shown, this.failed);
    if (!next) return;
    notify({ key: "method", text: `The desktop is shown by ${next.label} now.`, detail: why });
    this.chosen = next.name;
  }

  private async load(): Promise<void> {
    try {
      this.methods = (await api.connectionMethods(this.sessionId)).methods;
      this.failed.clear();
      // The built-in way says itself, and better, why it does not work.
      this.chosen = chooseMethod(this.methods, shown)?.name ?? "native";
    } catch {
      this.methods = [];
    }
  }

  private get ways(): Way[] {
    return this.methods.map((method) => ({
      label: method.label,
      obstacle: obstacle(method, shown, this.failed),
      chosen: method.name === this.chosen,
      choose: () => (this.chosen = method.name),
    }));
  }

  override render() {
    return html`<es-desktop-view sessionId=${this.sessionId} sessionTitle=${this.sessionTitle} .ways=${this.ways}></es-desktop-view>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-desktop-panel": DesktopPanel;
  }
}
