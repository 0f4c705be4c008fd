/** One person watching one desktop: joins the stream, the pictures and the sound; input goes out here. */

import type { Status } from "../feed/link";
import { AudioPlayer } from "./audio";
import type { DesktopClient } from "./client";
import { DesktopCanvas } from "./canvas";
import { type Offer, SharedClipboard } from "./clipboard";
import { type Control, controlNews, controlOf, nobody } from "./control";
import { type OtherPointer, cursorOf } from "./cursor";
import { rememberShown } from "./early";
import { spotAt } from "./early-picture";
import { NativeInput } from "./input";
import { type DesktopIs, type DesktopProblem, type FromDesktop, type Preset, type Wish, encode } from "./messages";
import { Painter } from "./painter";
import type { Size } from "./scaling";
import { Statistics } from "./statistics";
import { DesktopStream, type StreamHooks } from "./stream";
import { VideoPlayer, canDecode } from "./video";

/** A page that has been out of sight this long gets no video until somebody looks again. */
export const HIDDEN_MS = 3_000;
/** When the page has come to rest around a picture, its place is worth remembering. */
const AT_REST_MS = 500;
/** While somebody reads the statistics, the line is measured this often. */
const MEASURE_EVERY_MS = 1_000;
const NO_ENCODER = "This desktop has no video encoder.";

export interface ViewerHooks {
  /** Something the person should read. */
  news(text: string, detail?: string): void;
  offered(offer: Offer): void;
  copied(offer: Offer): void;
  refused(problem: DesktopProblem): void;
  signedIn: StreamHooks["signedIn"];
  sharesClipboard(): boolean;
}

type Pictures = Extract<Wish, { type: "watch" }>["video"];

export class DesktopViewer extends EventTarget implements DesktopClient {
  readonly native = this;
  readonly input = new NativeInput((message) => this.send(message));
  status: Status;
  desktop: DesktopIs | null = null;
  control: Control = nobody;
  cursor = "default";
  pointer: OtherPointer | null = null;
  /** How pictures come; and why not as video, in words. */
  pictures: Pictures = canDecode() ? "h264" : "stills";
  stillsBecause = canDecode() ? "" : "This browser decodes no video here (it needs HTTPS or localhost): you see stills.";
  hears = false;
  /** Everything since the connection was made is drawn. */
  current = false;
  /** Some picture is on the canvas. */
  everDrawn = false;
  readonly statistics = new Statistics();
  readonly canvas: DesktopCanvas;
  readonly clipboard: SharedClipboard;
  private readonly stream: DesktopStream;
  private readonly painter: Painter;
  private readonly video: VideoPlayer;
  readonly audio = new AudioPlayer();
  private hidden = false;
  private restTimer: ReturnType<typeof setTimeout> | undefined;
  private hideTimer: ReturnType<typeof setTimeout> | undefined;
  private measuring: ReturnType<typeof setInterval> | undefined;
  private readonly off = new AbortController();

  constructor(
    private readonly sessionId: string,
    element: HTMLCanvasElement,
    private readonly hooks: ViewerHooks,
  ) {
    super();
    this.canvas = new DesktopCanvas(element);
    this.stream = new DesktopStream(sessionId, {
      opened: () => this.opened(),
      message: (message, bytes) => this.received(message, bytes),
      changed: (status) => this.moved(status),
      signedIn: hooks.signedIn,
    });
    this.status = this.stream.status;
    this.painter = new Painter(this.canvas, {
      outcome: (outcome) => {
        this.stream.send(encode.seen(outcome.frame, outcome.tookMs));
        if (outcome.painted) this.statistics.painted(outcome.tookMs, outcome.captured, performance.now());
        else this.statistics.overtaken += 1;
        if (!outcome.painted || (this.current && this.everDrawn)) return;
        this.current = true;
        this.everDrawn = true;
        this.stream.shown();
        clearTimeout(this.restTimer);
        this.restTimer = setTimeout(() => this.remember(), AT_REST_MS);
        this.changed();
      },
      sized: () => this.changed(),
    });
    this.video = new VideoPlayer({
      decoded: (picture, index) => this.painter.decoded(picture, index),
      lost: (indexes) => this.painter.lost(indexes),
      keyFrameWanted: () => this.stream.send(encode.keyFrameWanted()),
      failed: (why) => this.useStills(`This browser could not decode the video (${why}): you see stills.`),
    });
    this.clipboard = new SharedClipboard({
      send: (kind, data) => this.send(encode.clipboard(kind, data)),
      offered: (offer) => hooks.offered(offer),
      taken: (offer) => hooks.copied(offer),
      tooLarge: (bytes) => hooks.news("That is too large for the desktop's clipboard.", `${Math.ceil(bytes / 1024)} KiB; up to 1 MiB fits.`),
      shares: () => hooks.sharesClipboard(),
    });
    const { signal } = this.off;
    document.addEventListener("visibilitychange", () => this.seenOrNot(), { signal });
    addEventListener("online", () => this.stream.nudge(), { signal });
    addEventListener("pagehide", () => this.remember(), { signal });
    // Of a page that comes back out of the browser's cache the socket is gone.
    addEventListener("pageshow", (event) => event.persisted && this.stream.nudge(), { signal });
  }

  start(): void {
    this.stream.start();
  }

  close(): void {
    this.off.abort();
    clearTimeout(this.restTimer);
    clearTimeout(this.hideTimer);
    clearInterval(this.measuring);
    this.stream.stop();
    this.video.close();
    this.painter.close();
    this.audio.stop();
  }

  get size(): Size {
    const { width, height } = this.canvas;
    return { width, height };
  }

  get surface(): HTMLCanvasElement {
    return this.canvas.element;
  }

  /** The canvas takes what room it is given. */
  fit(): void {}

  /** The desktop itself gives control to the first who types. */
  steers(): void {}

  file(): Promise<Blob | null> {
    return this.canvas.file();
  }

  /** Why the server closed the line, in its own words. */
  get reason(): string {
    return this.stream.reason;
  }

  /** Try again now, also after an end. */
  retry(): void {
    if (this.status.state === "ended") this.stream.start();
    else this.stream.nudge();
  }

  /** Drop the connection and make another. */
  reconnect(): void {
    this.stream.stop();
    this.stream.start();
  }

  /** Input for the desktop. False: it was not sent. */
  send(message: Uint8Array<ArrayBuffer>): boolean {
    return this.stream.send(message);
  }

  wish(wish: Wish): boolean {
    return this.stream.send(encode.note(wish));
  }

  setPreset(preset: Preset): void {
    this.wish({ type: "preset", preset });
  }

  /** Call it from something the person did: browsers keep pages silent before. */
  listen(on: boolean): void {
    this.hears = on;
    if (on) this.audio.start();
    else this.audio.stop();
    this.watch();
    this.changed();
  }

  /** Measure all the time, for the statistics overlay. */
  measure(on: boolean): void {
    clearInterval(this.measuring);
    this.measuring = on ? setInterval(() => this.ping(), MEASURE_EVERY_MS) : undefined;
    if (on) this.ping();
    this.watch();
  }

  useStills(because: string): void {
    if (this.pictures === "stills") return;
    this.pictures = "stills";
    this.stillsBecause = because;
    this.hooks.news("The desktop is shown as stills.", because);
    this.watch();
    this.changed();
  }

  /** Back to video, where the browser can. */
  useVideo(): void {
    if (!canDecode()) return;
    this.pictures = "h264";
    this.stillsBecause = "";
    this.video.revive();
    this.watch();
    this.changed();
  }

  private ping(): void {
    this.stream.send(encode.ping(performance.now() * 1000));
  }

  private watch(): void {
    const video = this.hidden ? "none" : this.pictures;
    this.wish({ type: "watch", video, audio: this.hears, statistics: this.measuring !== undefined });
  }

  private opened(): void {
    this.video.restart();
    this.painter.restart();
    this.audio.restart();
    this.statistics.restart();
    this.watch();
    this.ping();
  }

  private moved(status: Status): void {
    this.status = status;
    if (status.state !== "live") this.current = false;
    this.changed();
  }

  /** A page that is loaded again, or in another tab, shows the first pictures where they were. */
  private remember(): void {
    const { element } = this.canvas;
    const room = element.closest<HTMLElement>(".room");
    if (this.current && room) rememberShown(this.sessionId, spotAt(element, room));
  }

  private seenOrNot(): void {
    clearTimeout(this.hideTimer);
    if (document.hidden) {
      this.hideTimer = setTimeout(() => this.hide(true), HIDDEN_MS);
      return;
    }
    this.hide(false);
    this.stream.nudge();
  }

  private hide(hidden: boolean): void {
    if (this.hidden === hidden) return;
    this.hidden = hidden;
    this.watch();
  }

  private received(message: FromDesktop, bytes: number): void {
    const now = performance.now();
    this.statistics.arrived(bytes, now);
    this.on[message.type](message as never);
  }

  private readonly on: { [T in FromDesktop["type"]]: (message: Extract<FromDesktop, { type: T }>) => void } = {
    video: (message) => this.video.push(message, this.painter.arrive(message)),
    exact: (message) => void this.painter.exact(message),
    still: (message) => void this.painter.still(message),
    audio: (message) => this.hears && this.audio.push(message),
    cursor: (message) => {
      this.cursor = cursorOf(message);
      this.changed();
    },
    "pointer-at": (message) => {
      const { me, others } = this.control;
      const mover = others.find((viewer) => viewer.number === message.viewer);
      const own = message.viewer === me?.number;
      this.pointer = own ? null : { x: message.x, y: message.y, viewer: message.viewer, name: mover?.name ?? "" };
      this.changed();
    },
    clipboard: (message) => void this.clipboard.received(message),
    pong: (message) => this.statistics.answered(message.sent, message.now, performance.now()),
    desktop: (message) => {
      this.desktop = message;
      if (message.state === "ready" && message.codec === "" && this.pictures === "h264") this.useStills(NO_ENCODER);
      else if (message.codec !== "" && this.stillsBecause === NO_ENCODER) this.useVideo();
      this.changed();
    },
    viewers: (message) => {
      const before = this.control;
      this.control = controlOf(message);
      const news = controlNews(before, this.control);
      if (news) this.hooks.news(news);
      this.changed();
    },
    statistics: (message) => {
      this.statistics.server = message;
    },
    problem: (message) => this.hooks.refused(message),
  };

  private changed(): void {
    this.dispatchEvent(new Event("change"));
  }
}
