/** A fake WebSocket that a test opens, speaks through and closes. */

import { HEADER_BYTES } from "../../src/feed/records";

export class FakeSocket {
  static readonly opened: FakeSocket[] = [];
  binaryType = "blob";
  readyState = 0;
  onopen: (() => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  onmessage: ((event: { data: string | ArrayBuffer }) => void) | null = null;
  readonly sent: (string | Uint8Array)[] = [];
  closedWith: number | null = null;

  constructor(
    readonly url: string,
    readonly protocol: string,
  ) {
    FakeSocket.opened.push(this);
  }

  static get last(): FakeSocket {
    const socket = FakeSocket.opened.at(-1);
    if (!socket) throw new Error("nobody connected");
    return socket;
  }

  send(message: string | Uint8Array): void {
    this.sent.push(message);
  }

  close(code: number): void {
    this.readyState = 3;
    this.closedWith = code;
  }

  /** Text messages sent, read, of one type. */
  said(type: string): Record<string, unknown>[] {
    return this.sent
      .filter((message) => typeof message === "string")
      .map((message) => JSON.parse(message) as Record<string, unknown>)
      .filter((message) => message["type"] === type);
  }

  // The server's side.

  open(): void {
    this.readyState = 1;
    this.onopen?.();
  }

  say(message: object): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  /** Output events `first`..`last`, one byte each. */
  deliver(first: number, last: number): void {
    const view = new DataView(new ArrayBuffer((HEADER_BYTES + 1) * (last - first + 1)));
    for (let seq = first, at = 0; seq <= last; seq += 1, at += HEADER_BYTES + 1) {
      view.setBigUint64(at, BigInt(seq));
      view.setUint8(at + 16, 1);
      view.setUint32(at + 17, 1);
      view.setUint8(at + HEADER_BYTES, 65);
    }
    this.onmessage?.({ data: view.buffer });
  }

  drop(code = 1006, reason = ""): void {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
}
