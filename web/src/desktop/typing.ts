/**
 * The text field behind the desktop, which has the focus: it gives input methods, dead keys and
 * phones' keyboards a place to write, and `paste` events their target.
 */

import { type Keyboard, isMac } from "./keyboard";

/** Longest wait for the page's own paste, before the key goes on without it. */
const PASTE_MS = 300;
/** Key events that may wait for a paste. */
const MAX_DEFERRED = 64;

export interface TypingHooks {
  /** A key that is the page's. True when it was. */
  shortcut(event: KeyboardEvent): boolean;
  /** Somebody wants to type. False: not now. */
  allowed(): boolean;
  /** What the person pastes; resolves when it is on its way to the desktop. */
  pasted(data: DataTransfer): Promise<void>;
  focusChanged(focused: boolean): void;
}

/** Ctrl-V and its kin: the page gets to read the clipboard before the desktop gets the key. */
export function isPaste(event: Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "shiftKey" | "altKey">, mac = isMac()): boolean {
  if (event.altKey) return false;
  if (event.key === "Insert") return event.shiftKey && !event.ctrlKey && !event.metaKey;
  const main = mac ? event.metaKey : event.ctrlKey && !event.metaKey;
  return main && event.key.toLowerCase() === "v";
}

export class Typing {
  private composing = false;
  /** A paste is on its way: goes on with its key. What is typed meanwhile waits behind it. */
  private pasting: (() => void) | null = null;
  private pasteTimer: ReturnType<typeof setTimeout> | undefined;
  private deferred: (() => void)[] = [];
  private readonly off = new AbortController();

  constructor(
    readonly field: HTMLTextAreaElement,
    private readonly keyboard: Keyboard,
    private readonly hooks: TypingHooks,
  ) {
    const on = <K extends keyof HTMLElementEventMap>(name: K, act: (event: HTMLElementEventMap[K]) => void): void =>
      field.addEventListener(name, act as EventListener, { signal: this.off.signal });
    on("keydown", (event) => this.keyDown(event));
    on("keyup", (event) => {
      event.preventDefault();
      if (!this.defer(() => keyboard.up(event))) keyboard.up(event);
    });
    on("compositionstart", () => (this.composing = true));
    on("compositionend", (event) => {
      this.composing = false;
      if (event.data && hooks.allowed()) keyboard.type(event.data);
      field.value = "";
    });
    on("input", (event) => this.input(event as InputEvent));
    on("paste", (event) => void this.paste(event));
    on("focus", () => hooks.focusChanged(true));
    on("blur", () => {
      this.let();
      hooks.focusChanged(false);
    });
    // A tab that is put away may keep its focus, and would miss that keys go up.
    document.addEventListener("visibilitychange", () => document.hidden && this.let(), { signal: this.off.signal });
    addEventListener("blur", () => this.let(), { signal: this.off.signal });
    addEventListener("pagehide", () => this.let(), { signal: this.off.signal });
  }

  get focused(): boolean {
    return this.field.matches(":focus");
  }

  focus(): void {
    this.field.focus({ preventScroll: true });
  }

  close(): void {
    this.let();
    this.off.abort();
  }

  private let(): void {
    clearTimeout(this.pasteTimer);
    this.pasting = null;
    this.deferred = [];
    if (this.keyboard.heldKeys > 0) this.keyboard.releaseAll();
  }

  private keyDown(event: KeyboardEvent): void {
    if (this.hooks.shortcut(event)) return;
    this.keyboard.agree(withOwn(event));
    if (!this.hooks.allowed()) {
      if (!event.isComposing) event.preventDefault();
      return;
    }
    if (this.defer(() => this.keyboard.down(event))) {
      event.preventDefault();
      event.stopPropagation();
      return;
    }
    if (isPaste(event) && !event.repeat) {
      this.pasteThenKey(event);
      return;
    }
    if (this.keyboard.down(event)) {
      event.preventDefault();
      event.stopPropagation();
    }
  }

  /** Text that came without keys: on-screen keyboards, dictation, emoji pickers. */
  private input(event: InputEvent): void {
    if (this.composing || event.isComposing) return;
    if (this.hooks.allowed()) {
      if (event.inputType === "deleteContentBackward") this.keyboard.tap("Backspace", "Backspace");
      else if (event.inputType === "insertLineBreak") this.keyboard.tap("Enter", "Enter");
      else if (event.data && event.inputType !== "insertCompositionText") this.keyboard.type(event.data);
    }
    // A phone's keyboard says nothing of Backspace in an empty field.
    this.field.value = " ";
    this.field.setSelectionRange(1, 1);
  }

  /** Not prevented: the browser answers with a `paste` event. The key follows what was pasted. */
  private pasteThenKey(event: KeyboardEvent): void {
    event.stopPropagation();
    this.pasteTimer = setTimeout(() => this.pasting?.(), PASTE_MS);
    const go = (): void => {
      clearTimeout(this.pasteTimer);
      if (this.pasting !== go) return;
      this.pasting = null;
      this.keyboard.down(event);
      for (const later of this.deferred.splice(0)) later();
    };
    this.pasting = go;
  }

  /** Keys keep their order: Ctrl must not go up before the V that was pressed with it goes down. */
  private defer(act: () => void): boolean {
    if (!this.pasting) return false;
    if (this.deferred.length < MAX_DEFERRED) this.deferred.push(act);
    return true;
  }

  private async paste(event: ClipboardEvent): Promise<void> {
    event.preventDefault();
    const go = this.pasting;
    clearTimeout(this.pasteTimer);
    if (event.clipboardData && this.hooks.allowed()) await this.hooks.pasted(event.clipboardData);
    go?.();
  }
}

/** The key itself counts as down although the flags of its own event may lag behind. */
function withOwn(event: KeyboardEvent): Pick<KeyboardEvent, "ctrlKey" | "shiftKey" | "altKey" | "metaKey"> {
  // AltGr may show as Control and Alt, or as neither.
  const level3 = event.getModifierState("AltGraph");
  return {
    ctrlKey: event.ctrlKey || event.key === "Control" || level3,
    shiftKey: event.shiftKey || event.key === "Shift",
    altKey: event.altKey || event.key === "Alt" || level3,
    metaKey: event.metaKey || event.key === "Meta",
  };
}
