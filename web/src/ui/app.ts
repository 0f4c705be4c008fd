/** The frame: who is signed in, which page shows, and what floats above it. */

import { LitElement, html, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";

import { api } from "../api/client";
import { Problem, asProblem } from "../api/problem";
import type { Session } from "../api/types";
import { router } from "../router";
import { signInLink } from "../sign-in-link";
import { Watches } from "../store/controller";
import { preferences } from "../store/preferences";
import { store } from "../store/store";
import { Updates } from "../store/updates";
import { appShortcuts } from "./app-shortcuts";
import "./confirm";
import "./help-dialog";
import "./notice";
import type { HelpDialog } from "./help-dialog";
import "./palette";
import type { Palette } from "./palette";
import "./runners-page";
import "./sessions-page";
import "./settings-page";
import "./sidebar";
import "./sign-in-page";
import "./start-dialog";
import type { StartDialog } from "./start-dialog";
import "./tab-bar";
import { notify } from "./toasts";

/** The list comes first; the terminal, which is large, is fetched a moment later. */
const PRELOAD_MS = 600;

function loadSessionPage(): void {
  import("./session-page").catch(() => {
    notify({
      key: "load",
      tone: "bad",
      text: "A part of the page could not be loaded.",
      detail: "Reload it: the server may have been updated.",
      action: { label: "Reload", run: () => location.reload() },
    });
  });
}

@customElement("es-app")
export class App extends LitElement {
  /** No sidebar at all: nobody is signed in. */
  @property({ type: Boolean, reflect: true }) plain = true;
  /** The sidebar is folded away, or there is no room for it. */
  @property({ type: Boolean, reflect: true }) narrow = false;
  @state() private phase: "asking" | "signed-out" | "signed-in" | "unreachable" = "asking";
  @state() private problem: Problem | null = null;
  @query("es-start-dialog") private startDialog?: StartDialog;
  @query("es-palette") private palette?: Palette;
  @query("es-help-dialog") private help?: HelpDialog;
  private readonly updates = new Updates(store);
  private readonly phone = matchMedia("(max-width: 760px)");

  constructor() {
    super();
    new Watches(this, store, router, preferences);
  }

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.phone.addEventListener("change", () => this.requestUpdate());
    router.addEventListener("change", () => this.querySelector("main")?.focus());
    addEventListener("online", () => this.phase === "signed-in" && this.updates.refresh());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.phase === "signed-in") this.updates.refresh();
    });
    appShortcuts({
      blocked: () => this.phase !== "signed-in" || this.dialogOpen,
      start: () => this.openStart(),
      help: () => this.help?.show(),
      palette: () => this.palette?.show(),
      sidebar: () => preferences.set({ sidebar: !preferences.current.sidebar }),
    });
    store.addEventListener("change", () => {
      if (this.phase === "signed-in" && store.me === null) this.signedOut();
    });
    signInLink.addEventListener("change", () => void this.begin());
    void this.begin();
  }

  /** Something modal is open: page shortcuts are off. */
  get dialogOpen(): boolean {
    return [this.startDialog, this.palette, this.help].some((dialog) => dialog?.open);
  }

  /** Sign in with the link one came by, else ask who one is. */
  private async begin(): Promise<void> {
    const code = signInLink.take();
    try {
      store.signedIn(code ? await api.signIn(code) : await api.me());
      this.signedIn();
    } catch (error) {
      const problem = asProblem(error);
      if (code && problem.status !== 0 && (await this.alreadySignedIn())) return;
      this.problem = problem.signedOut && !code ? null : problem;
      this.phase = problem.status === 0 || problem.status >= 500 ? "unreachable" : "signed-out";
    }
  }

  /** A used-up link does no harm where one is signed in anyway. */
  private async alreadySignedIn(): Promise<boolean> {
    try {
      store.signedIn(await api.me());
    } catch {
      return false;
    }
    this.signedIn();
    return true;
  }

  private signedIn(): void {
    this.problem = null;
    this.phase = "signed-in";
    this.updates.start();
    // Most people open a session next.
    setTimeout(loadSessionPage, PRELOAD_MS);
  }

  private signedOut(): void {
    this.updates.stop();
    this.phase = "signed-out";
  }

  private openStart(like?: Session): void {
    void this.startDialog?.show(like);
  }

  override willUpdate(): void {
    const { route } = router;
    this.plain = this.phase !== "signed-in";
    this.narrow = this.phone.matches || (route.page === "session" && !preferences.current.sidebar);
    if (route.page !== "session") document.title = "Earthshine";
  }

  private renderPage() {
    const { route } = router;
    switch (route.page) {
      case "sessions":
        return html`<es-sessions-page></es-sessions-page>`;
      case "session":
        loadSessionPage();
        return html`<es-session-page sessionId=${route.id}></es-session-page>`;
      case "runners":
        return html`<es-runners-page></es-runners-page>`;
      case "settings":
        return html`<es-settings-page></es-settings-page>`;
      case "unknown":
        return html`<es-notice heading="There is no such page" text="The address may be mistyped."></es-notice>`;
    }
  }

  override render() {
    if (this.phase !== "signed-in") {
      return html`<main>
          <es-sign-in-page
            phase=${this.phase}
            .problem=${this.problem}
            @signed-in=${() => this.signedIn()}
            @retry=${() => {
              this.phase = "asking";
              void this.begin();
            }}
          ></es-sign-in-page>
        </main>
        <es-toasts></es-toasts>`;
    }
    const { route } = router;
    return html`
      <a class="skip-link" href="#main" @click=${(event: Event) => (event.preventDefault(), this.querySelector("main")?.focus())}>Skip to content</a>
      ${this.narrow ? nothing : html`<es-sidebar @start=${() => this.openStart()} @palette=${() => this.palette?.show()}></es-sidebar>`}
      <main
        id="main"
        tabindex="-1"
        @start=${(event: CustomEvent<Session | undefined>) => this.openStart(event.detail ?? undefined)}
        @palette=${() => this.palette?.show()}
      >
        ${this.renderPage()}
      </main>
      ${this.phone.matches && route.page !== "session" ? html`<es-tab-bar @start=${() => this.openStart()}></es-tab-bar>` : nothing}
      <es-start-dialog></es-start-dialog>
      <es-palette @start=${() => this.openStart()} @help=${() => this.help?.show()}></es-palette>
      <es-help-dialog></es-help-dialog>
      <es-confirm></es-confirm>
      <es-toasts></es-toasts>
    `;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-app": App;
  }
}
