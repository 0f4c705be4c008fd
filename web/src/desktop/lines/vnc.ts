/**
 * VNC: noVNC draws and speaks RFB. Keys, mouse and fingers are ours, as everywhere; the mouse goes
 * out between noVNC's own messages, of which each is sent whole (RFC 6143, 7.5.5).
 */

import RFB from "@novnc/novnc";

import { desktopVerdictOn } from "../endings";
import { keysymOfCharacter } from "../keysyms";
import type { Size } from "../scaling";
import { HeldKeys, Mouse, Notches } from "./buttons";
import { type Line, type LineHooks, type LineOptions, socketUrl, whenPainted, whenSized } from "./line";

const POINTER_EVENT = 5;
const UP = 8;
const DOWN = 16;
const LEFT = 32;
const RIGHT = 64;
/** Left, middle, right: others would need an extension that gateways do not let through. */
const BUTTONS = 7;

export function open(place: HTMLElement, hooks: LineHooks, options: LineOptions): Line {
  const socket = new WebSocket(socketUrl(options.path), ["binary"]);
  const off = new AbortController();
  const { signal } = off;
  let refusal = "";
  let connected = false;
  // Before noVNC's own: it takes its canvas away when the socket closes.
  socket.addEventListener("close", (event) => hooks.lost(desktopVerdictOn(event.code), event.reason || refusal), { signal });

  const rfb = new RFB(place, socket);
  rfb.focusOnClick = false;
  rfb.background = "transparent";
  const canvas = place.querySelector("canvas");
  if (!canvas) throw new Error("noVNC made no canvas");
  const size = (): Size => ({ width: canvas.width, height: canvas.height });
  whenSized(canvas, hooks.sized, signal);
  const cursors = new MutationObserver(() => hooks.cursor(canvas.style.cursor || "default"));
  cursors.observe(canvas, { attributeFilter: ["style"] });

  rfb.addEventListener("connect", () => {
    connected = true;
    hooks.connected();
    whenPainted(canvas, hooks.painted, signal);
  });
  rfb.addEventListener("securityfailure", (event) => (refusal = event.detail.reason ?? ""));
  rfb.addEventListener("credentialsrequired", () => hooks.lost(desktopVerdictOn(4009), "The VNC server asked the page for a password."));
  rfb.addEventListener("clipboard", (event) => hooks.copied(event.detail.text));

  const mouse = new Mouse(size);
  const notches = new Notches();
  const say = (mask: number): void => {
    if (!connected || socket.readyState !== WebSocket.OPEN) return;
    socket.send(new Uint8Array([POINTER_EVENT, mask, mouse.x >> 8, mouse.x & 0xff, mouse.y >> 8, mouse.y & 0xff]));
  };
  const held = new HeldKeys((down, keysym, code) => rfb.sendKey(keysym, code || null, down));
  return {
    surface: canvas,
    input: {
      key: (down, keysym, code) => held.key(down, keysym, code),
      text: (typed) => {
        for (const character of typed) {
          const keysym = keysymOfCharacter(character);
          rfb.sendKey(keysym, null, true);
          rfb.sendKey(keysym, null, false);
        }
      },
      pointer: (x, y, buttons) => {
        mouse.to(x, y, buttons & BUTTONS);
        say(mouse.buttons);
      },
      pointerBy: (dx, dy, buttons) => {
        mouse.by(dx, dy, buttons & BUTTONS);
        say(mouse.buttons);
      },
      wheel: (dx, dy) => {
        const { right, down } = notches.turn(dx, dy);
        const turn = (count: number, forward: number, back: number): void => {
          for (let left = Math.abs(count); left > 0; left -= 1) {
            say(mouse.buttons | (count > 0 ? forward : back));
            say(mouse.buttons);
          }
        };
        turn(down, DOWN, UP);
        turn(right, RIGHT, LEFT);
      },
      releaseAll: () => {
        held.releaseAll();
        if (mouse.buttons === 0) return;
        mouse.buttons = 0;
        say(0);
      },
    },
    fit: () => {},
    resize: () => {},
    paste: (text) => rfb.clipboardPasteFrom(text),
    picture: () => (canvas.width > 0 ? canvas : null),
    close: () => {
      off.abort();
      cursors.disconnect();
      rfb.disconnect();
      place.replaceChildren();
    },
  };
}
