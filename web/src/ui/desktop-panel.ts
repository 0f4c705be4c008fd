/** A desktop by the best way that works; when one fails, the next, with a word about it. */

import { LitElement, type PropertyValues, type TemplateResult, css, html } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";

import { api } from "../api/client";
import type { ConnectionMethod } from "../api/types";
import { type MethodName, chooseMethod, obstacle } from "../desktop/methods";
import type { Way } from "./desktop-menu";
import "./desktop-view";
import { base } from "./styles/shared";
import { notify } from "./toasts";

/**
 * How each way is shown. An element tells with a `failed` event, its detail why, that its way does
 * not work, and has `takeFocus()` and `hasFocus`.
 */
const views: Partial<Record<MethodName, (panel: DesktopPanel) => TemplateResult>> = {
  native: (panel) =>
    html`<es-desktop-view sessionId=${panel.sessionId} sessionTitle=${panel.sessionTitle} .ways=${panel.ways}></es-desktop-view>`,
};
const shown: ReadonlySet<MethodName> = new Set(Object.keys(views) as MethodName[]);

interface Shows extends Element {
  takeFocus(): void;
  readonly hasFocus: boolean;
}

@customElement("es-desktop-panel")
export class DesktopPanel extends LitElement {
  @property() sessionId = "";
  @property() sessionTitle = "";
  @state() private methods: readonly ConnectionMethod[] = [];
  @state() private chosen: MethodName = "native";
  @query("[data-way] > *") private view?: Shows;
  private readonly failed = new Set<MethodName>();

  static override styles = [
    base,
    css`
      :host {
        display: grid;
        min-width: 0;
        min-height: 0;
      }
      [data-way] {
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
  private fail(name: MethodName, why: string): void {
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

  /** Those that this page knows how to show; one alone is no choice. */
  get ways(): Way[] {
    const known = this.methods.filter((method) => shown.has(method.name));
    if (known.length < 2) return [];
    return known.map((method) => ({
      label: method.label,
      obstacle: obstacle(method, shown, this.failed),
      chosen: method.name === this.chosen,
      choose: () => (this.chosen = method.name),
    }));
  }

  override render() {
    return html`<div data-way=${this.chosen} @failed=${(event: CustomEvent<string>) => this.fail(this.chosen, event.detail)}>
      ${views[this.chosen]?.(this)}
    </div>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-desktop-panel": DesktopPanel;
  }
}
