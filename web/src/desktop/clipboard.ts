/**
 * The clipboard, both ways. Pasting is always the person's own act. What a program on the desktop
 * copies is offered, and taken at once only where the person has allowed that.
 */

import { MAX_FROM_VIEWER, type Clipboard } from "./messages";

/** Bytes of text or picture that cross at once: what the desktop takes. */
export const MAX_CLIPBOARD = Math.min(1024 * 1024, MAX_FROM_VIEWER - 2);

export interface ClipboardHooks {
  /** To the desktop's clipboard. False: it was not sent. */
  send(kind: Clipboard["kind"], data: Uint8Array<ArrayBuffer>): boolean;
  /** The desktop has copied something and it may not be taken without asking. */
  offered(offer: Offer): void;
  /** It does not fit. */
  tooLarge(bytes: number): void;
  taken(offer: Offer): void;
  /** The person shares both clipboards. */
  shares(): boolean;
}

export interface Offer {
  readonly kind: Clipboard["kind"];
  readonly text: string;
  readonly data: Uint8Array<ArrayBuffer>;
}

async function fingerprint(kind: string, data: Uint8Array<ArrayBuffer>): Promise<string> {
  if (!globalThis.crypto?.subtle) return `${kind} ${data.length} ${new TextDecoder("latin1").decode(data.subarray(0, 256))}`;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return `${kind} ${Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

export class SharedClipboard {
  /** What both sides have: saying it again would go round in circles. */
  private both = "";

  constructor(
    private readonly hooks: ClipboardHooks,
    private readonly system: () => globalThis.Clipboard | undefined = () => navigator.clipboard,
  ) {}

  /** The desktop has this now. */
  async received(message: Clipboard): Promise<void> {
    const print = await fingerprint(message.kind, message.data);
    if (print === this.both) return;
    this.both = print;
    const text = message.kind === "text" ? new TextDecoder().decode(message.data) : "";
    const offer: Offer = { kind: message.kind, text, data: message.data };
    if (this.hooks.shares() && (await this.take(offer))) this.hooks.taken(offer);
    else this.hooks.offered(offer);
  }

  /** Put what the desktop offered on this machine's clipboard. False: the browser did not allow it. */
  async take(offer: Offer): Promise<boolean> {
    try {
      const system = this.system();
      if (!system) return false;
      if (offer.kind === "text") await system.writeText(offer.text);
      else await system.write([new ClipboardItem({ "image/png": new Blob([offer.data], { type: "image/png" }) })]);
      return true;
    } catch {
      return false;
    }
  }

  /** What the person pasted, as the browser handed it over. True when there was something to send. */
  async paste(data: DataTransfer): Promise<boolean> {
    const picture = [...data.files].find((file) => file.type === "image/png");
    // `getData` works only before the first wait.
    const text = data.getData("text/plain");
    if (text) return this.put("text", new TextEncoder().encode(text));
    if (picture) return this.put("png", new Uint8Array(await picture.arrayBuffer()));
    return false;
  }

  /** Send this machine's clipboard, where both are shared and the browser lets us read it. */
  async offerOwn(): Promise<void> {
    if (!this.hooks.shares()) return;
    try {
      const text = await this.system()?.readText();
      if (text) await this.put("text", new TextEncoder().encode(text));
    } catch {
      // No permission, or the page has no focus: pasting still works.
    }
  }

  private async put(kind: Clipboard["kind"], data: Uint8Array<ArrayBuffer>): Promise<boolean> {
    if (data.length > MAX_CLIPBOARD) {
      this.hooks.tooLarge(data.length);
      return false;
    }
    const print = await fingerprint(kind, data);
    if (print !== this.both && this.hooks.send(kind, data)) this.both = print;
    return true;
  }
}
