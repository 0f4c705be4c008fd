/** A session's desktop: its picture, and everything that is typed, pointed and pasted into it. */

import { LitElement, type PropertyValues, html, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";

import type { ConnectionMethod } from "../api/types";
import type { DesktopClient } from "../desktop/client";
import { colourOf } from "../desktop/cursor";
import { isOfTheWay } from "../desktop/endings";
import { ForeignViewer } from "../desktop/foreign";
import { Keyboard } from "../desktop/keyboard";
import { lines } from "../desktop/lines";
import { pathOf } from "../desktop/methods";
import { Recording, formatFor } from "../desktop/recording";
import { PointerInput } from "../desktop/pointer";
import { type Scale, type Shown, pixelAt, shownSize, wantedSize } from "../desktop/scaling";
import { TouchInput, type TouchMode } from "../desktop/touch";
import { Typing } from "../desktop/typing";
import { DesktopViewer, type ViewerHooks } from "../desktop/viewer";
import { Ticks, Watches } from "../store/controller";
import { preferences } from "../store/preferences";
import { stillSignedIn } from "../store/updates";
import "./desktop-bar";
import { desktopClipboardHooks } from "./desktop-clipboard";
import "./desktop-keys";
import type { DesktopModifier } from "./desktop-keys";
import { desktopMenu } from "./desktop-menu";
import type { Way } from "./desktop-ways";
import { desktopShortcutOf } from "./desktop-shortcuts";
import "./desktop-statistics";
import { desktopWords } from "./desktop-words";
import { marked } from "./marked";
import { saveFile } from "./save-file";
import { base, buttons } from "./styles/shared";
import { desktopViewStyles } from "./styles/desktop-view";
import { notify } from "./toasts";

/** While a window is dragged, its size is told this often. */
const RESIZE_PAUSE_MS = 250;
const MAX_ZOOM = 6;
const ATTEMPTS_BEFORE_ANOTHER_WAY = 4;

@customElement("es-desktop-view")
export class DesktopView extends LitElement {
  @property() sessionId = "";
  @property() sessionTitle = "";
  /** By which way it is shown; stays the same. `null`: the built-in one. */
  @property({ attribute: false }) method: ConnectionMethod | null = null;
  /** Ways to see this desktop, to choose from. */
  @property({ attribute: false }) ways: readonly Way[] = [];
  @state() private showsStatistics = false;
  @state() private showsKeys = matchMedia("(pointer: coarse)").matches;
  @state() private focused = false;
  @state() private locked = false;
  @state() private recording: Recording | null = null;
  @state() private room = { width: 0, height: 0 };
  @state() private zoom = 1;
  /** The pointer of a trackpad, drawn at once: the desktop's own answer comes later. */
  @state() private trackpad: { x: number; y: number } | null = null;
  @query("canvas") private canvas!: HTMLCanvasElement;
  /** Where another client draws. */
  @query(".place") private place!: HTMLElement;
  @query(".room") private roomElement!: HTMLElement;
  @query(".sheet") private sheet!: HTMLElement;
  @query("textarea") private field!: HTMLTextAreaElement;
  viewer: DesktopClient | null = null;
  private typing: Typing | null = null;
  private keyboard: Keyboard | null = null;
  private pointer: PointerInput | null = null;
  private touch: TouchInput | null = null;
  private touchTimer: ReturnType<typeof setTimeout> | undefined;
  private resizeTimer: ReturnType<typeof setTimeout> | undefined;
  private readonly sizes = new ResizeObserver(() => this.measureRoom());
  private toldFailure = false;
  private toldSuccess = false;
  private readonly viewerChanged = (): void => {
    this.requestUpdate();
    this.tellOutcome();
  };
  private readonly fullScreenChanged = (): void => this.requestUpdate();

  constructor() {
    super();
    new Watches(this, preferences);
    new Ticks(this, 1_000);
  }

  static override styles = [base, buttons, desktopViewStyles];

  override connectedCallback(): void {
    super.connectedCallback();
    document.addEventListener("fullscreenchange", this.fullScreenChanged);
    if (this.hasUpdated) this.open();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    document.removeEventListener("fullscreenchange", this.fullScreenChanged);
    this.shut();
  }

  protected override firstUpdated(): void {
    this.sizes.observe(this.roomElement);
    this.open();
  }

  override updated(changed: PropertyValues<this>): void {
    if (changed.has("sessionId") && changed.get("sessionId")) {
      this.shut();
      this.open();
    }
    this.viewer?.fit(this.shown);
    this.follow();
  }

  /** Keys go to the desktop from now on. */
  takeFocus(): void {
    this.typing?.focus();
  }

  get hasFocus(): boolean {
    return this.typing?.focused ?? false;
  }

  private open(): void {
    const viewer = this.connect({
      news: (text, detail) => notify({ key: "desktop", text, ...(detail ? { detail } : {}) }),
      refused: (problem) => notify({ key: "desktop-problem", tone: "bad", text: problem.detail, detail: problem.remedy }),
      signedIn: stillSignedIn,
      ...desktopClipboardHooks(() => this.viewer),
    });
    this.viewer = viewer;
    this.toldFailure = this.toldSuccess = false;
    viewer.addEventListener("change", this.viewerChanged);
    const keyboard = new Keyboard(viewer.input);
    this.keyboard = keyboard;
    this.typing = new Typing(this.field, keyboard, {
      shortcut: (event) => this.shortcut(event),
      allowed: () => this.allowed(),
      pasted: async (data) => {
        await viewer.clipboard.paste(data);
      },
      focusChanged: (focused) => {
        this.focused = focused;
        if (focused) void viewer.clipboard.offerOwn();
        else this.pointer?.forget();
      },
    });
    this.pointer = new PointerInput(this.sheet, viewer.input, {
      pixel: (x, y) => this.pixel(x, y),
      ratio: () => viewer.size.width / Math.max(1, this.sheet.clientWidth),
      allowed: () => viewer.control.typing,
      pressed: () => {
        this.takeFocus();
        this.allowed();
      },
      finger: (event) => this.finger(event),
      moved: () => {
        this.trackpad = null;
      },
      lockChanged: (locked) => (this.locked = locked),
    });
    this.touch = this.makeTouch(viewer);
    this.measureRoom();
    if (viewer.native?.stillsBecause) notify({ key: "desktop", text: viewer.native.stillsBecause });
    viewer.start();
  }

  private connect(hooks: ViewerHooks): DesktopClient {
    const { method } = this;
    const load = method ? lines[method.name] : undefined;
    if (!method || !load) return new DesktopViewer(this.sessionId, this.canvas, hooks);
    return new ForeignViewer({ sessionId: this.sessionId, way: method, path: pathOf(method, this.sessionId), place: this.place, load }, hooks);
  }

  /** It has shown the desktop; or it cannot, or never did however often it was tried: another way may do. */
  private tellOutcome(): void {
    const { viewer } = this;
    if (!viewer) return;
    if (viewer.current && !this.toldSuccess) {
      this.toldSuccess = true;
      this.dispatchEvent(new CustomEvent("worked", { bubbles: true }));
    }
    const { end, attempts, state, why } = viewer.status;
    const cannot = state === "ended" && end !== null && isOfTheWay(end.code);
    const never = !viewer.everDrawn && attempts >= ATTEMPTS_BEFORE_ANOTHER_WAY;
    if (this.toldFailure || !(cannot || never)) return;
    this.toldFailure = true;
    const detail = viewer.reason || (cannot ? end.why : why);
    this.dispatchEvent(new CustomEvent("failed", { bubbles: true, detail }));
  }

  private shut(): void {
    clearTimeout(this.touchTimer);
    clearTimeout(this.resizeTimer);
    this.recording?.stop();
    this.typing?.close();
    this.pointer?.close();
    this.viewer?.removeEventListener("change", this.viewerChanged);
    this.viewer?.close();
    this.viewer = null;
  }

  /** May keys and clicks go out? Says why not. */
  private allowed(): boolean {
    const { viewer } = this;
    if (!viewer) return false;
    const { control } = viewer;
    if (control.typing && viewer.status.state === "live") {
      viewer.steers();
      return true;
    }
    let text = "Not connected: nothing is sent until the connection is back.";
    if (viewer.status.state === "live" || viewer.status.state === "replaying") {
      if ((control.me || control.shared) && !control.mayControl) text = "You may watch this desktop, not steer it.";
      else if (control.holder && !control.mine) text = `${control.holder.name} has control: ask for it, or take it.`;
      else return control.typing;
    }
    notify({ key: "desktop-in-vain", text });
    return false;
  }

  private pixel(x: number, y: number): { x: number; y: number } {
    return pixelAt({ x, y }, this.sheet.getBoundingClientRect(), this.viewer?.size ?? { width: 1, height: 1 });
  }

  // --- fingers ---

  private makeTouch(viewer: DesktopClient): TouchInput {
    const point = (x: number, y: number, buttons: number): void => {
      viewer.input.pointer(x, y, buttons);
      this.trackpad = this.touch?.mode === "trackpad" ? { x, y } : null;
    };
    return new TouchInput({
      place: (x, y, buttons) => {
        const at = this.pixel(x, y);
        point(at.x, at.y, buttons);
      },
      by: (dx, dy, buttons) => {
        const { width, height } = viewer.size;
        const ratio = width / Math.max(1, this.sheet.clientWidth);
        const from = this.trackpad ?? viewer.pointer ?? { x: width / 2, y: height / 2 };
        point(Math.min(width - 1, Math.max(0, from.x + dx * ratio)), Math.min(height - 1, Math.max(0, from.y + dy * ratio)), buttons);
      },
      wheel: (dx, dy) => viewer.input.wheel(dx, dy),
      zoom: (factor, x, y) => this.zoomBy(factor, x, y),
      felt: () => navigator.vibrate?.(12),
    });
  }

  private finger(event: PointerEvent): void {
    const { touch } = this;
    if (!touch) return;
    event.preventDefault();
    touch.mode = preferences.current.touchMode as TouchMode;
    if (event.type === "pointerdown") {
      this.sheet.setPointerCapture(event.pointerId);
      if (this.allowed()) touch.down(event.pointerId, event.clientX, event.clientY, event.timeStamp);
    } else if (event.type === "pointermove") touch.move(event.pointerId, event.clientX, event.clientY, event.timeStamp);
    else if (event.type === "pointerup") touch.up(event.pointerId, event.timeStamp);
    else touch.cancel();
    clearTimeout(this.touchTimer);
    const due = touch.due(performance.now());
    if (due !== null) this.touchTimer = setTimeout(() => touch.tick(performance.now() + 1), due);
  }

  private zoomBy(factor: number, x: number, y: number): void {
    const before = this.sheet.getBoundingClientRect();
    const zoom = Math.min(MAX_ZOOM, Math.max(1, this.zoom * factor));
    const along = { x: (x - before.left) / before.width, y: (y - before.top) / before.height };
    this.zoom = zoom;
    void this.updateComplete.then(() => {
      const after = this.sheet.getBoundingClientRect();
      this.roomElement.scrollLeft += after.left + along.x * after.width - x;
      this.roomElement.scrollTop += after.top + along.y * after.height - y;
    });
  }

  // --- size ---

  private measureRoom(): void {
    const { clientWidth: width, clientHeight: height } = this.roomElement;
    if (width !== this.room.width || height !== this.room.height) this.room = { width, height };
  }

  private get shown(): Shown {
    const desktop = this.viewer?.size ?? { width: 0, height: 0 };
    return shownSize(desktop, this.room, preferences.current.desktopScale as Scale, devicePixelRatio, this.zoom);
  }

  /** The desktop takes this window's size, where the person wants that and has control. */
  private follow(): void {
    const { viewer } = this;
    clearTimeout(this.resizeTimer);
    if (!viewer?.current || preferences.current.desktopScale !== "follow") return;
    if (!viewer.control.mine && !(viewer.control.shared && viewer.control.mayControl)) return;
    const wanted = wantedSize(this.room);
    const is = viewer.desktop ?? viewer.size;
    if (this.room.width < 64 || (is.width === wanted.width && is.height === wanted.height)) return;
    this.resizeTimer = setTimeout(() => viewer.wish({ type: "resize", ...wanted }), RESIZE_PAUSE_MS);
  }

  // --- the toolbar ---

  private shortcut(event: KeyboardEvent): boolean {
    const action = desktopShortcutOf(event, this.locked || document.fullscreenElement !== null);
    if (action === null || action === "browser") return action === "browser";
    event.preventDefault();
    event.stopPropagation();
    if (!event.repeat) this.act(action);
    return true;
  }

  private act(action: string): void {
    const acts: Record<string, () => void> = {
      "switch-view": () => this.dispatchEvent(new CustomEvent("switch-view", { bubbles: true, composed: true })),
      "full-screen": () => void this.toggleFullScreen(),
      screenshot: () => void this.screenshot(),
      record: () => this.toggleRecording(),
      statistics: () => {
        this.showsStatistics = !this.showsStatistics;
        this.viewer?.native?.measure(this.showsStatistics);
      },
      clipboard: () => {
        preferences.set({ shareClipboard: !preferences.current.shareClipboard });
        void this.viewer?.clipboard.offerOwn();
      },
      keys: () => (this.showsKeys = !this.showsKeys),
      touch: () => preferences.set({ touchMode: preferences.current.touchMode === "direct" ? "trackpad" : "direct" }),
      lock: () =>
        void this.pointer?.lock().catch(() => notify({ key: "lock", text: "The browser did not allow capturing the mouse.", detail: "Try again after a moment." })),
      "ctrl-alt-del": () => this.ctrlAltDelete(),
      stills: () => this.viewer?.native?.useStills("You chose stills."),
      video: () => this.viewer?.native?.useVideo(),
      reconnect: () => this.viewer?.reconnect(),
      sound: () => this.viewer?.native?.listen(!this.viewer.native.hears),
      "own-client": () => this.dispatchEvent(new CustomEvent("own-client", { detail: "rdp", bubbles: true })),
    };
    acts[action]?.();
  }

  private async toggleFullScreen(): Promise<void> {
    if (document.fullscreenElement) {
      await document.exitFullscreen();
      return;
    }
    try {
      await this.requestFullscreen({ navigationUI: "hide" });
      // Where the browser can, Alt-Tab and the like are the desktop's too; a long Escape leaves.
      await (navigator as { keyboard?: { lock?: () => Promise<void> } }).keyboard?.lock?.();
      this.takeFocus();
    } catch {
      notify({ key: "full-screen", text: "The browser did not allow full screen." });
    }
  }

  private async screenshot(): Promise<void> {
    const file = await this.viewer?.file();
    if (file) saveFile(file, this.sessionTitle, "png");
  }

  private toggleRecording(): void {
    if (this.recording) {
      this.recording.stop();
      return;
    }
    const surface = this.viewer?.surface;
    if (!surface) return;
    try {
      this.recording = new Recording(surface, (file) => {
        this.recording = null;
        saveFile(file, this.sessionTitle, file.type === "video/mp4" ? "mp4" : "webm");
      });
    } catch (error) {
      notify({ key: "record", text: "It could not be recorded.", detail: error instanceof Error ? error.message : "" });
    }
  }

  private ctrlAltDelete(): void {
    if (!this.allowed() || !this.keyboard) return;
    this.keyboard.hold("Control", true);
    this.keyboard.hold("Alt", true);
    this.keyboard.tap("Delete", "Delete");
    this.keyboard.hold("Alt", false);
    this.keyboard.hold("Control", false);
  }

  private readonly heldKey = (event: CustomEvent<{ modifier: DesktopModifier; down: boolean }>): void => {
    if (this.allowed()) this.keyboard?.hold(event.detail.modifier, event.detail.down);
  };

  private renderPointers() {
    const { viewer } = this;
    const shown = this.trackpad ? { ...this.trackpad, name: "", viewer: viewer?.control.me?.number ?? 0 } : viewer?.pointer;
    if (!viewer || !shown || viewer.size.width === 0) return nothing;
    // A program that moves our own pointer is not somebody else.
    if (!this.trackpad && shown.viewer === 0 && viewer.control.mine) return nothing;
    const left = (shown.x / viewer.size.width) * 100;
    const top = (shown.y / viewer.size.height) * 100;
    return html`<div class="pointer" style="left:${left}%;top:${top}%;--pointer-colour:${colourOf(shown.viewer)}">
      <svg viewBox="0 0 18 18" aria-hidden="true"><path d="M1 1v14l4-4 2.6 6 2.6-1.2-2.6-5.8H14z" fill="currentColor" stroke="#fff" /></svg>
      ${shown.name ? html`<span>${shown.name}</span>` : nothing}
    </div>`;
  }

  private renderWords() {
    const { viewer } = this;
    if (!viewer) return nothing;
    const words = desktopWords({ status: viewer.status, reason: viewer.reason, desktop: viewer.desktop, current: viewer.current, now: Date.now() });
    if (!words) return nothing;
    return html`<div class="said ${words.tone} ${viewer.everDrawn ? "over" : "alone"}" role="status">
      <div>
        <div class="text">${words.text}</div>
        ${words.detail ? html`<div class="detail">${marked(words.detail)}</div>` : nothing}
      </div>
      ${words.action ? html`<button class="outlined" @click=${() => (viewer.status.state === "live" ? viewer.reconnect() : viewer.retry())}>Try now</button>` : nothing}
    </div>`;
  }

  override render() {
    const { viewer, shown } = this;
    const fits = preferences.current.desktopScale !== "actual" && this.zoom === 1;
    return html`
      ${viewer
        ? html`<es-desktop-bar
            .viewer=${viewer}
            .menu=${desktopMenu({ viewer, keys: this.showsKeys, records: formatFor() !== null && viewer.surface !== null, recording: this.recording !== null, act: (action) => this.act(action) })}
            .ways=${this.ways}
            ?recording=${this.recording !== null}
            ?statistics=${this.showsStatistics}
            ?fullScreen=${document.fullscreenElement !== null}
            @act=${(event: CustomEvent<string>) => this.act(event.detail)}
          ></es-desktop-bar>`
        : html`<div></div>`}
      <div class="frame ${this.focused ? "focused" : ""}">
        <div class="room ${fits ? "whole" : ""}">
          <div
            class="sheet ${viewer?.everDrawn ? "" : "empty"}"
            style="width:${shown.width}px;height:${shown.height}px;cursor:${viewer?.control.typing ? viewer.cursor : "default"}"
          >
            ${this.method && lines[this.method.name]
              ? html`<div class="place ${this.method.name} ${shown.crisp ? "crisp" : ""}" role="img" aria-label="The desktop's picture"></div>`
              : html`<canvas class=${shown.crisp ? "crisp" : ""} role="img" aria-label="The desktop's picture"></canvas>`}
            ${this.renderPointers()}
            <textarea
              aria-label="Desktop: what you type goes there. Ctrl-F6 leaves it."
              autocapitalize="off"
              autocomplete="off"
              autocorrect="off"
              spellcheck="false"
            ></textarea>
          </div>
        </div>
        ${this.showsStatistics && viewer?.native ? html`<es-desktop-statistics .viewer=${viewer.native}></es-desktop-statistics>` : nothing} ${this.renderWords()}
      </div>
      ${this.showsKeys && viewer?.control.mayControl
        ? html`<es-desktop-keys
            @keyboard=${() => (this.hasFocus ? this.field.blur() : this.takeFocus())}
            @hold=${this.heldKey}
            @tap=${(event: CustomEvent<{ key: string; code: string }>) => this.allowed() && this.keyboard?.tap(event.detail.key, event.detail.code)}
          ></es-desktop-keys>`
        : nothing}
    `;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-desktop-view": DesktopView;
  }
}
