import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { NativeInput } from "../../src/desktop/input";
import { type KeyStroke, Keyboard } from "../../src/desktop/keyboard";
import { inputCodeOf, keysymOf } from "../../src/desktop/keysyms";
import { isPaste } from "../../src/desktop/typing";

type Said = string;

/** Messages as words: `+61/30` is keysym 0x61, key 30, down. */
function words(message: Uint8Array): Said {
  const view = new DataView(message.buffer);
  if (message[0] === 0x47) return "release all";
  if (message[0] === 0x42) return `text ${new TextDecoder().decode(message.subarray(1))}`;
  return `${message[1] ? "+" : "-"}${view.getUint32(2).toString(16)}/${view.getUint16(6)}`;
}

function typing(mac = false) {
  const said: Said[] = [];
  const keyboard = new Keyboard(new NativeInput((message) => said.push(words(message))), mac);
  return { said, keyboard };
}

const stroke = (key: string, code: string, more: Partial<KeyStroke> = {}): KeyStroke => ({
  key,
  code,
  location: 0,
  repeat: false,
  isComposing: false,
  keyCode: 0,
  timeStamp: 0,
  ctrlKey: false,
  shiftKey: false,
  altKey: false,
  metaKey: false,
  ...more,
});

describe("what keys mean", () => {
  it.each([
    ["a", 0, 0x61],
    ["A", 0, 0x41],
    ["ß", 0, 0xdf],
    ["€", 0, 0x010020ac],
    ["ж", 0, 0x01000436],
    ["😀", 0, 0x0101f600],
    ["Enter", 0, 0xff0d],
    ["Enter", 3, 0xff8d],
    ["1", 3, 0xffb1],
    ["End", 3, 0xff9c],
    ["+", 3, 0xffab],
    ["Shift", 2, 0xffe2],
    ["AltGraph", 2, 0xfe03],
    ["F1", 0, 0xffbe],
    ["F12", 0, 0xffc9],
    ["Dead", 0, 0],
    ["CapsLock", 0, 0],
    ["Process", 0, 0],
  ])("%s at location %i", (key, location, keysym) => {
    expect(keysymOf(key, location)).toBe(keysym);
  });

  it.each([
    ["Escape", 1],
    ["KeyA", 30],
    ["KeyZ", 44],
    ["Space", 57],
    ["F10", 68],
    ["NumpadDecimal", 83],
    ["IntlBackslash", 86],
    ["F12", 88],
    ["IntlRo", 89],
    ["NumpadEnter", 96],
    ["AltRight", 100],
    ["Delete", 111],
    ["NumpadEqual", 117],
    ["Pause", 119],
    ["NumpadComma", 121],
    ["IntlYen", 124],
    ["MetaLeft", 125],
    ["ContextMenu", 127],
    ["MediaStop", 166],
    ["F24", 194],
    ["Nowhere", 0],
  ])("%s is at %i (linux/input-event-codes.h)", (code, key) => {
    expect(inputCodeOf(code)).toBe(key);
  });
});

describe("keys that are held", () => {
  it("go up as what they went down as, whatever Shift has become", () => {
    const { said, keyboard } = typing();
    keyboard.down(stroke("Shift", "ShiftLeft", { location: 1, shiftKey: true }));
    keyboard.down(stroke("A", "KeyA", { shiftKey: true }));
    keyboard.up(stroke("Shift", "ShiftLeft"));
    keyboard.up(stroke("a", "KeyA"));
    expect(said).toEqual(["+ffe1/42", "+41/30", "-ffe1/42", "-41/30"]);
  });

  it("repeat", () => {
    const { said, keyboard } = typing();
    keyboard.down(stroke("x", "KeyX"));
    keyboard.down(stroke("x", "KeyX", { repeat: true }));
    keyboard.up(stroke("x", "KeyX"));
    expect(said).toEqual(["+78/45", "+78/45", "-78/45"]);
  });

  it("are let go when an event says they are up", () => {
    const { said, keyboard } = typing();
    keyboard.down(stroke("Alt", "AltLeft", { location: 1, altKey: true }));
    keyboard.agree(stroke("a", "KeyA"));
    expect(said).toEqual(["+ffe9/56", "-ffe9/56"]);
  });

  it("are all released at once, and their late going up says nothing", () => {
    const { said, keyboard } = typing();
    keyboard.down(stroke("a", "KeyA"));
    keyboard.releaseAll();
    keyboard.up(stroke("a", "KeyA"));
    expect(said).toEqual(["+61/30", "release all"]);
    expect(keyboard.heldKeys).toBe(0);
  });

  it("are never more than the limit, and none stays down", () => {
    const codes = ["KeyA", "KeyB", "ShiftLeft", "ControlLeft", ...Array.from({ length: 60 }, (_, at) => `Made${at}`)];
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom(...codes), fc.boolean()), { maxLength: 200 }), (acts) => {
        const { said, keyboard } = typing();
        for (const [code, down] of acts) {
          if (down) keyboard.down(stroke(code.slice(-1), code));
          else keyboard.up(stroke(code.slice(-1), code));
        }
        expect(keyboard.heldKeys).toBeLessThanOrEqual(32);
        keyboard.releaseAll();
        expect(said.at(-1)).toBe("release all");
      }),
    );
  });
});

describe("layouts", () => {
  it("leave dead keys to the browser, and send what they made", () => {
    const { said, keyboard } = typing();
    expect(keyboard.down(stroke("Dead", "Equal"))).toBe(false);
    keyboard.up(stroke("Dead", "Equal"));
    expect(keyboard.down(stroke("é", "KeyE"))).toBe(true);
    keyboard.up(stroke("e", "KeyE"));
    expect(said).toEqual(["+e9/18", "-e9/18"]);
  });

  it("leave an input method alone", () => {
    const { said, keyboard } = typing();
    expect(keyboard.down(stroke("n", "KeyN", { isComposing: true }))).toBe(false);
    expect(keyboard.down(stroke("Process", "KeyN"))).toBe(false);
    expect(keyboard.down(stroke("n", "KeyN", { keyCode: 229 }))).toBe(false);
    expect(said).toEqual([]);
  });

  it("AltGr as Windows says it is no Control", () => {
    const { said, keyboard } = typing();
    keyboard.down(stroke("Control", "ControlLeft", { location: 1, ctrlKey: true, timeStamp: 100 }));
    keyboard.down(stroke("AltGraph", "AltRight", { location: 2, ctrlKey: true, altKey: true, timeStamp: 101 }));
    keyboard.down(stroke("@", "KeyQ", { ctrlKey: true, altKey: true, timeStamp: 200 }));
    expect(said).toEqual(["+ffe3/29", "-ffe3/29", "+fe03/100", "+40/16"]);
  });

  it("Control long before AltGr stays one", () => {
    const { said, keyboard } = typing();
    keyboard.down(stroke("Control", "ControlLeft", { location: 1, timeStamp: 100 }));
    keyboard.down(stroke("AltGraph", "AltRight", { location: 2, timeStamp: 900 }));
    expect(said).toEqual(["+ffe3/29", "+fe03/100"]);
  });

  it("on a Mac, Command is Control, Option is AltGr, and nothing sticks", () => {
    const { said, keyboard } = typing(true);
    keyboard.down(stroke("Meta", "MetaLeft", { location: 1, metaKey: true }));
    keyboard.down(stroke("c", "KeyC", { metaKey: true }));
    keyboard.up(stroke("Meta", "MetaLeft"));
    keyboard.down(stroke("Alt", "AltLeft", { location: 1, altKey: true }));
    expect(said).toEqual(["+ffe3/29", "+63/46", "-63/46", "-ffe3/29", "+fe03/100"]);
  });
});

describe("pasting", () => {
  const plain = { ctrlKey: false, metaKey: false, shiftKey: false, altKey: false };
  it.each([
    [{ ...plain, key: "v", ctrlKey: true }, false, true],
    [{ ...plain, key: "V", ctrlKey: true, shiftKey: true }, false, true],
    [{ ...plain, key: "Insert", shiftKey: true }, false, true],
    [{ ...plain, key: "v", ctrlKey: true, altKey: true }, false, false],
    [{ ...plain, key: "v" }, false, false],
    [{ ...plain, key: "v", metaKey: true }, true, true],
    [{ ...plain, key: "v", ctrlKey: true }, true, false],
  ])("%o on a Mac: %s", (event, mac, is) => {
    expect(isPaste(event, mac)).toBe(is);
  });
});
