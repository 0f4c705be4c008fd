/**
 * RDP: IronRDP draws and speaks, in WebAssembly, through a gateway that has the real login
 * (docs/protocols/rdcleanpath.md). Keys, mouse and fingers are ours.
 */

import { Backend, enableCredssp, init } from "@devolutions/iron-remote-desktop-rdp";

import { desktopVerdictOn, rdpVerdictOn } from "../endings";
import type { Size } from "../scaling";
import { Mouse } from "./buttons";
import { type Line, type LineHooks, type LineOptions, socketUrl, whenPainted, whenSized } from "./line";
import { lastClose } from "./noted-socket";
import { type RdpKey, RdpKeys } from "./rdp-keys";

type Session = Awaited<ReturnType<InstanceType<typeof Backend.SessionBuilder>["connect"]>>;
type DeviceEvent = ReturnType<typeof Backend.DeviceEvent.keyPressed>;

/** What the page says that it is: the gateway puts the real login in its place. */
const NOBODY = "earthshine";
/** Longest wait for the server's reason, once IronRDP has given up. */
const CLOSE_MS = 1_000;
/** Close codes of our own begin here. */
const OWN_CODES = 4_000;
/** `RotationUnit.Pixel`: types only, there is no such value at run time. */
const PIXELS = 0;
/** Ours, and IronRDP's numbers of the same buttons. */
const buttons: readonly (readonly [number, number])[] = [
  [1, 0],
  [2, 1],
  [4, 2],
  [8, 3],
  [16, 4],
];
/** IronError.kind(), of those that have words of their own. */
const kinds: Record<number, string> = {
  1: "the RDP server refused the password",
  2: "the RDP server refused the sign-in",
  3: "the RDP server denied access",
  5: "the server does not answer for RDP",
  6: "the RDP server and this page found no common protocol",
};

interface Failure {
  kind?(): number;
  backtrace?(): string;
  rdcleanpathDetails?(): { httpStatusCode?: number } | undefined;
}

let ready: Promise<void> | null = null;

export function open(place: HTMLElement, hooks: LineHooks, options: LineOptions): Line {
  const canvas = document.createElement("canvas");
  place.append(canvas);
  const off = new AbortController();
  const { signal } = off;
  let session: Session | null = null;
  const size = (): Size => ({ width: canvas.width, height: canvas.height });

  const send = (events: readonly DeviceEvent[]): void => {
    if (!session || events.length === 0) return;
    const transaction = new Backend.InputTransaction();
    for (const event of events) transaction.addEvent(event);
    session.applyInputs(transaction);
  };
  const { DeviceEvent: Event } = Backend;
  const keyEvent = (key: RdpKey): DeviceEvent => {
    if ("scancode" in key) return key.down ? Event.keyPressed(key.scancode) : Event.keyReleased(key.scancode);
    return key.down ? Event.unicodePressed(key.character) : Event.unicodeReleased(key.character);
  };
  const keys = new RdpKeys((all) => send(all.map(keyEvent)));
  const mouse = new Mouse(size);
  const moved = (before: number): void => {
    const events = [Event.mouseMove(mouse.x, mouse.y)];
    for (const [own, theirs] of buttons) {
      if ((before ^ mouse.buttons) & own) events.push(mouse.buttons & own ? Event.mouseButtonPressed(theirs) : Event.mouseButtonReleased(theirs));
    }
    send(events);
  };

  void connect();

  async function connect(): Promise<void> {
    try {
      ready ??= init("ERROR");
      await ready;
      if (signal.aborted) return;
      const { width, height } = options.size;
      session = await new Backend.SessionBuilder()
        .username(NOBODY)
        .password(NOBODY)
        .serverDomain("")
        .destination("desktop:3389")
        .proxyAddress(socketUrl(options.path))
        .authToken(NOBODY)
        .desktopSize(new Backend.DesktopSize(width, height))
        // With CredSSP the page would have to know the password.
        .extension(enableCredssp(false))
        .renderCanvas(canvas)
        .setCursorStyleCallbackContext(null)
        .setCursorStyleCallback((kind: string, data?: string, x?: number, y?: number) =>
          hooks.cursor(kind === "hidden" ? "none" : kind === "url" && data ? `url(${data}) ${Math.round(x ?? 0)} ${Math.round(y ?? 0)}, default` : "default"),
        )
        .remoteClipboardChangedCallback((data: InstanceType<typeof Backend.ClipboardData>) => {
          for (const item of data.items()) if (item.mimeType() === "text/plain") hooks.copied(String(item.value()));
        })
        // The server asks when it begins: nothing is ours to give before somebody pastes.
        .forceClipboardUpdateCallback(() => void session?.onClipboardPaste(new Backend.ClipboardData()))
        .connect();
      if (signal.aborted) {
        session.shutdown();
        return;
      }
      hooks.connected();
      whenSized(canvas, hooks.sized, signal);
      whenPainted(canvas, hooks.painted, signal);
      const end = await session.run();
      await over(undefined, end.reason());
    } catch (error) {
      await failed(error as Failure);
    }
  }

  async function failed(error: Failure): Promise<void> {
    if (typeof error.kind !== "function" && !session) {
      // A module that did not load is asked for again the next time.
      ready = null;
      hooks.lost({ then: "retry", why: "the part of the page for RDP did not load" }, "");
      return;
    }
    await over(error.rdcleanpathDetails?.()?.httpStatusCode, kinds[error.kind?.() ?? 0] ?? "");
  }

  async function over(status: number | undefined, words: string): Promise<void> {
    const close = await lastClose(CLOSE_MS);
    session = null;
    if (signal.aborted) return;
    const said = close && close.code >= OWN_CODES ? desktopVerdictOn(close.code) : null;
    hooks.lost(said ?? rdpVerdictOn(status, words), close?.reason ?? "");
  }

  return {
    surface: canvas,
    input: {
      key: (down, keysym, code) => keys.key(down, keysym, code),
      text: (typed) => keys.text(typed),
      pointer: (x, y, now) => {
        const before = mouse.buttons;
        mouse.to(x, y, now);
        moved(before);
      },
      pointerBy: (dx, dy, now) => {
        const before = mouse.buttons;
        mouse.by(dx, dy, now);
        moved(before);
      },
      wheel: (dx, dy) => {
        if (dy !== 0) send([Event.wheelRotations(true, -dy, PIXELS)]);
        if (dx !== 0) send([Event.wheelRotations(false, -dx, PIXELS)]);
      },
      releaseAll: () => {
        keys.forget();
        mouse.buttons = 0;
        session?.releaseAllInputs();
      },
    },
    fit: () => {},
    resize: ({ width, height }) => session?.resize(width, height),
    paste: (text) => {
      const data = new Backend.ClipboardData();
      data.addText("text/plain", text);
      void session?.onClipboardPaste(data);
    },
    picture: () => (canvas.width > 0 ? canvas : null),
    close: () => {
      off.abort();
      const ended = session;
      session = null;
      ended?.shutdown();
      place.replaceChildren();
    },
  };
}
