/** The frame: who is signed in, which page shows, and what floats above it. */

import { LitElement, html, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";

import { shareLink, signInLink } from "../address-codes";
import { Problem } from "../api/problem";
import type { Me, Session } from "../api/types";
import { type Arrival, arrive, follow, rememberedPlace } from "../arrival";
import { router } from "../router";
import { Watches } from "../store/controller";
import { preferences } from "../store/preferences";
import { store } from "../store/store";
import { Updates } from "../store/updates";
import { appShortcuts } from "./app-shortcuts";
import { renderPage } from "./app-pages";
import { wantsWayBack } from "./come-back-banner";
import "./confirm";
import "./help-dialog";
import type { HelpDialog } from "./help-dialog";
import "./palette";
import type { Palette } from "./palette";
import { loadPages, loadSessionPage } from "./parts";
import "./sharing/invited-page";
import "./sidebar";
import "./sign-in/sign-in-page";
import "./start-dialog";
import type { StartDialog } from "./start-dialog";
import "./tab-bar";
import { notifyError } from "./toasts";

/** The list comes first; the terminal, which is large, is fetched a moment later. */
const PRELOAD_MS = 600;

@customElement("es-app")
export class App extends LitElement {
  /** No sidebar at all: nobody is signed in. */
  @property({ type: Boolean, reflect: true }) plain = true;
  /** The sidebar is folded away, or there is no room for it. */
  @property({ type: Boolean, reflect: true }) narrow = false;
  @state() private phase: "asking" | "signed-out" | "signed-in" | "unreachable" | "invited" = "asking";
  @state() private problem: Problem | null = null;
  /** A share link that waits until one is in. */
  @state() private shareCode: string | null = null;
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
    for (const link of [signInLink, shareLink]) link.addEventListener("change", () => void this.begin());
    void this.begin();
  }

  /** Something modal is open: page shortcuts are off. */
  get dialogOpen(): boolean {
    return [this.startDialog, this.palette, this.help].some((dialog) => dialog?.open);
  }

  /** Sign in with the link one came by, else ask who one is. */
  private async begin(): Promise<void> {
    this.shareCode = shareLink.take() ?? this.shareCode;
    this.take(await arrive(signInLink.take(), this.shareCode));
  }

  private readonly retry = (): void => {
    this.phase = "asking";
    void this.begin();
  };

  /** Somebody signed in on the page for that. */
  private readonly entered = async (event: CustomEvent<Me>): Promise<void> => {
    this.take(await follow(event.detail, this.shareCode));
  };

  private take(arrival: Arrival): void {
    switch (arrival.kind) {
      case "signed-in":
        this.signedIn(arrival);
        break;
      case "invited":
        this.phase = "invited";
        break;
      case "signed-out":
      case "unreachable":
        this.problem = arrival.problem;
        this.phase = arrival.kind;
        break;
    }
  }

  private signedIn({ me, path, problem }: Extract<Arrival, { kind: "signed-in" }>): void {
    const before = this.phase;
    const place = rememberedPlace();
    this.problem = null;
    this.shareCode = null;
    store.signedIn(me);
    this.phase = "signed-in";
    // A guest who comes back has one place to go.
    const home = me.sharedSessionId && router.route.page === "sessions" ? `/sessions/${encodeURIComponent(me.sharedSessionId)}` : null;
    const to = path ?? (place?.shareCode ? null : place?.path) ?? home;
    if (to) router.go(to);
    if (problem) void this.updateComplete.then(() => notifyError("The link did not open a session.", problem));
    if (place?.shareCode) void follow(me, place.shareCode).then((arrival) => this.take(arrival));
    if (before === "signed-in") this.updates.refresh();
    else this.updates.start();
    // Most people open a session next.
    setTimeout(() => {
      loadSessionPage();
      loadPages();
    }, PRELOAD_MS);
  }

  private signedOut(): void {
    this.updates.stop();
    this.phase = "signed-out";
  }

  private openStart(like?: Session): void {
    if (store.mayStart) void this.startDialog?.show(like);
  }

  override willUpdate(): void {
    const { route } = router;
    this.plain = this.phase !== "signed-in";
    this.narrow = this.phone.matches || ((route.page === "session" || route.page === "replay") && !preferences.current.sidebar);
    if (route.page !== "session" && route.page !== "replay") document.title = "Earthshine";
  }

  private renderOutside() {
    return html`<main>
        ${this.phase === "invited"
          ? html`<es-invited-page
              code=${this.shareCode ?? ""}
              @arrived=${(event: CustomEvent<Arrival>) => this.take(event.detail)}
              @sign-in=${() => (this.phase = "signed-out")}
            ></es-invited-page>`
          : html`<es-sign-in-page
              phase=${this.phase}
              .problem=${this.problem}
              .shareCode=${this.shareCode}
              @signed-in=${this.entered}
              @retry=${this.retry}
            ></es-sign-in-page>`}
      </main>
      <es-toasts></es-toasts>`;
  }

  override render() {
    if (this.phase !== "signed-in") return this.renderOutside();
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
        ${wantsWayBack(route) ? html`<es-come-back-banner></es-come-back-banner>` : nothing}${renderPage(route)}
      </main>
      ${this.phone.matches && route.page !== "session" && route.page !== "replay" ? html`<es-tab-bar @start=${() => this.openStart()}></es-tab-bar>` : nothing}
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
