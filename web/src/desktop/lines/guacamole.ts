/** Guacamole: guacamole-common-js draws what guacd sends; keys, mouse and fingers are ours. */

import Guacamole from "guacamole-common-js";

import { guacamoleVerdictOn } from "../endings";
import { keysymOfCharacter } from "../keysyms";
import type { Size } from "../scaling";
import { HeldKeys, Mouse, Notches } from "./buttons";
import { guacamoleTunnel } from "./guacamole-tunnel";
import { type Line, type LineHooks, type LineOptions, socketUrl } from "./line";

const DPI = 96;
/** Pictures that every browser here decodes. */
const IMAGES = ["image/png", "image/jpeg", "image/webp"];

/** The query that the tunnel wants. `rest`: what the path carries already. */
export function guacamolePath(path: string, size: Size, zone = timezone()): string {
  const url = new URL(path, "http://here");
  const { searchParams: query } = url;
  if (!query.has("protocol")) query.set("protocol", "vnc");
  query.set("width", String(size.width));
  query.set("height", String(size.height));
  query.set("dpi", String(DPI));
  if (zone) query.set("timezone", zone);
  for (const type of IMAGES) query.append("image", type);
  return `${url.pathname}${url.search}`;
}

function timezone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

export function open(place: HTMLElement, hooks: LineHooks, options: LineOptions): Line {
  const tunnel = guacamoleTunnel(socketUrl(guacamolePath(options.path, options.size)), {
    opened: hooks.connected,
    lost: hooks.lost,
  });
  const client = new Guacamole.Client(tunnel);
  const display = client.getDisplay();
  const size = (): Size => ({ width: display.getWidth(), height: display.getHeight() });
  let shown: Size = { width: 0, height: 0 };
  let painted = false;
  const scale = (): void => {
    const { width } = size();
    if (width > 0 && shown.width > 0) display.scale(shown.width / width);
  };

  place.append(display.getElement());
  // Its own cursor is drawn where the last answer was; the browser's moves at once.
  display.showCursor(false);
  display.oncursor = (picture, x, y) => hooks.cursor(picture.width > 0 ? `url(${picture.toDataURL()}) ${x} ${y}, default` : "none");
  display.onresize = (width, height) => {
    scale();
    hooks.sized({ width, height });
  };
  client.onstatechange = (state) => {
    if (state !== Guacamole.Client.State.CONNECTED || painted) return;
    painted = true;
    hooks.painted();
  };
  client.onerror = (status) => {
    const verdict = guacamoleVerdictOn(status.code) ?? { then: "retry", why: "guacd reported a problem" };
    tunnel.disconnect();
    hooks.lost(verdict, "");
  };
  client.onclipboard = (stream, type) => {
    if (!/^text\//.test(type)) return;
    const reader = new Guacamole.StringReader(stream);
    let text = "";
    reader.ontext = (part) => (text += part);
    reader.onend = () => text && hooks.copied(text);
  };

  const mouse = new Mouse(size);
  const notches = new Notches();
  const say = (up = false, down = false): void =>
    client.sendMouseState({
      x: mouse.x,
      y: mouse.y,
      left: Boolean(mouse.buttons & 1),
      middle: Boolean(mouse.buttons & 2),
      right: Boolean(mouse.buttons & 4),
      up,
      down,
    });
  const held = new HeldKeys((down, keysym) => client.sendKeyEvent(down ? 1 : 0, keysym));
  client.connect();
  return {
    surface: null,
    input: {
      key: (down, keysym, code) => held.key(down, keysym, code),
      text: (typed) => {
        for (const character of typed) {
          const keysym = keysymOfCharacter(character);
          client.sendKeyEvent(1, keysym);
          client.sendKeyEvent(0, keysym);
        }
      },
      pointer: (x, y, buttons) => {
        mouse.to(x, y, buttons);
        say();
      },
      pointerBy: (dx, dy, buttons) => {
        mouse.by(dx, dy, buttons);
        say();
      },
      wheel: (dx, dy) => {
        const { down } = notches.turn(dx, dy);
        for (let left = Math.abs(down); left > 0; left -= 1) {
          say(down < 0, down > 0);
          say();
        }
      },
      releaseAll: () => {
        held.releaseAll();
        if (mouse.buttons === 0) return;
        mouse.buttons = 0;
        say();
      },
    },
    fit: (now) => {
      shown = now;
      scale();
    },
    resize: ({ width, height }) => client.sendSize(width, height),
    paste: (text) => {
      const writer = new Guacamole.StringWriter(client.createClipboardStream("text/plain"));
      writer.sendText(text);
      writer.sendEnd();
    },
    picture: () => (display.getWidth() > 0 ? display.flatten() : null),
    close: () => {
      client.onerror = null;
      client.disconnect();
      place.replaceChildren();
    },
  };
}
