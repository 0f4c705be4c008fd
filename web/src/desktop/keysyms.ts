/**
 * What keys mean to an X display: X11 keysyms by `KeyboardEvent.key`, and Linux input codes by
 * `KeyboardEvent.code`.
 *
 * Sources: X11 protocol, appendix A (keysym values); UI Events KeyboardEvent key and code values
 * (W3C); linux/input-event-codes.h.
 */

/** By `key`; where left and right differ, by location: standard or left, right, numeric pad. */
const named: Record<string, number | readonly [number, number, number?]> = {
  Backspace: 0xff08,
  Tab: 0xff09,
  Enter: [0xff0d, 0xff0d, 0xff8d],
  Escape: 0xff1b,
  Delete: [0xffff, 0xffff, 0xff9f],
  Home: [0xff50, 0xff50, 0xff95],
  ArrowLeft: [0xff51, 0xff51, 0xff96],
  ArrowUp: [0xff52, 0xff52, 0xff97],
  ArrowRight: [0xff53, 0xff53, 0xff98],
  ArrowDown: [0xff54, 0xff54, 0xff99],
  PageUp: [0xff55, 0xff55, 0xff9a],
  PageDown: [0xff56, 0xff56, 0xff9b],
  End: [0xff57, 0xff57, 0xff9c],
  Insert: [0xff63, 0xff63, 0xff9e],
  Clear: 0xff9d,
  Pause: 0xff13,
  PrintScreen: 0xff61,
  ContextMenu: 0xff67,
  Help: 0xff6a,
  Undo: 0xff65,
  Redo: 0xff66,
  Find: 0xff68,
  Cancel: 0xff69,
  Select: 0xff60,
  Execute: 0xff62,
  Shift: [0xffe1, 0xffe2],
  Control: [0xffe3, 0xffe4],
  Alt: [0xffe9, 0xffea],
  Meta: [0xffeb, 0xffec],
  OS: [0xffeb, 0xffec],
  Super: [0xffeb, 0xffec],
  Hyper: [0xffed, 0xffee],
  AltGraph: 0xfe03,
  Compose: 0xff20,
  Convert: 0xff23,
  NonConvert: 0xff22,
  KanaMode: 0xff2d,
  HiraganaKatakana: 0xff27,
  Hiragana: 0xff25,
  Katakana: 0xff26,
  Romaji: 0xff24,
  ZenkakuHankaku: 0xff2a,
  Eisu: 0xff2f,
  HangulMode: 0xff31,
  HanjaMode: 0xff34,
  AudioVolumeMute: 0x1008ff12,
  AudioVolumeDown: 0x1008ff11,
  AudioVolumeUp: 0x1008ff13,
  MediaPlayPause: 0x1008ff14,
  MediaStop: 0x1008ff15,
  MediaTrackPrevious: 0x1008ff16,
  MediaTrackNext: 0x1008ff17,
  BrowserBack: 0x1008ff26,
  BrowserForward: 0x1008ff27,
  BrowserRefresh: 0x1008ff29,
  BrowserSearch: 0x1008ff1b,
  BrowserHome: 0x1008ff18,
  BrowserFavorites: 0x1008ff30,
  Copy: 0x1008ff57,
  Cut: 0x1008ff58,
  Paste: 0x1008ff6d,
};

const NUMPAD = 3;
const pad: Record<string, number> = { "*": 0xffaa, "+": 0xffab, ",": 0xffac, "-": 0xffad, ".": 0xffae, "/": 0xffaf, "=": 0xffbd };

/** Locks are not sent: what they do to a key is in its keysym already. */
export const lockKeys: ReadonlySet<string> = new Set(["CapsLock", "NumLock", "ScrollLock", "FnLock", "Fn", "SymbolLock"]);

/** The keysym of a character (X11 protocol, appendix A; Unicode ones from 0x01000000). */
export function keysymOfCharacter(character: string): number {
  const point = character.codePointAt(0) ?? 0;
  if (point === 0x0a || point === 0x0d) return 0xff0d;
  if (point === 0x09) return 0xff09;
  if (point === 0x08) return 0xff08;
  if (point === 0x1b) return 0xff1b;
  if (point < 0x20 || point === 0x7f) return 0;
  if (point <= 0x7e || (point >= 0xa0 && point <= 0xff)) return point;
  return 0x01000000 | point;
}

/** The keysym of a key event; 0 where it has none: a dead key, a lock, an input method at work. */
export function keysymOf(key: string, location: number): number {
  if (lockKeys.has(key)) return 0;
  const known = named[key];
  if (typeof known === "number") return known;
  if (known) return (location === NUMPAD ? (known[2] ?? known[0]) : location === 2 ? known[1] : known[0]) as number;
  const f = /^F([1-9]|[12]\d|3[0-5])$/.exec(key);
  if (f) return 0xffbd + Number(f[1]);
  if ([...key].length !== 1) return 0;
  if (location === NUMPAD) {
    if (key >= "0" && key <= "9") return 0xffb0 + Number(key);
    const symbol = pad[key];
    if (symbol) return symbol;
  }
  return keysymOfCharacter(key);
}

const rows: readonly (readonly [number, string])[] = [
  [1, "Escape Digit1 Digit2 Digit3 Digit4 Digit5 Digit6 Digit7 Digit8 Digit9 Digit0 Minus Equal Backspace Tab"],
  [16, "KeyQ KeyW KeyE KeyR KeyT KeyY KeyU KeyI KeyO KeyP BracketLeft BracketRight Enter ControlLeft"],
  [30, "KeyA KeyS KeyD KeyF KeyG KeyH KeyJ KeyK KeyL Semicolon Quote Backquote ShiftLeft Backslash"],
  [44, "KeyZ KeyX KeyC KeyV KeyB KeyN KeyM Comma Period Slash ShiftRight NumpadMultiply AltLeft Space CapsLock"],
  [59, "F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 NumLock ScrollLock Numpad7 Numpad8 Numpad9 NumpadSubtract Numpad4 Numpad5 Numpad6"],
  [78, "NumpadAdd Numpad1 Numpad2 Numpad3 Numpad0 NumpadDecimal"],
  [85, "Lang5 IntlBackslash F11 F12 IntlRo Katakana Hiragana Convert KanaMode NonConvert"],
  [96, "NumpadEnter ControlRight NumpadDivide PrintScreen AltRight"],
  [102, "Home ArrowUp PageUp ArrowLeft ArrowRight End ArrowDown PageDown Insert Delete"],
  [113, "AudioVolumeMute AudioVolumeDown AudioVolumeUp Power NumpadEqual"],
  [119, "Pause"],
  [121, "NumpadComma Lang1 Lang2 IntlYen MetaLeft MetaRight ContextMenu"],
  [163, "MediaTrackNext MediaPlayPause MediaTrackPrevious MediaStop"],
  [183, "F13 F14 F15 F16 F17 F18 F19 F20 F21 F22 F23 F24"],
];

const codes = new Map<string, number>(rows.flatMap(([first, names]) => names.split(" ").map((name, at) => [name, first + at] as const)));

/** The Linux input code of a place on the keyboard; 0 where unknown. */
export function inputCodeOf(code: string): number {
  return codes.get(code) ?? 0;
}
