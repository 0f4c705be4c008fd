/**
 * The WebSocket of IronRDP, which does not say why it was closed: this one remembers. The build puts
 * it in its place (wasm-file.ts).
 */

let closing: Promise<CloseEvent> | null = null;

export class NotedSocket extends WebSocket {
  constructor(url: string | URL, protocols?: string | string[]) {
    super(url, protocols);
    closing = new Promise((resolve) => this.addEventListener("close", resolve, { once: true }));
  }
}

/** How the newest of them was closed; `null` where it was not within `ms`. */
export async function lastClose(ms: number): Promise<CloseEvent | null> {
  const late = new Promise<null>((resolve) => setTimeout(() => resolve(null), ms));
  return closing ? Promise.race([closing, late]) : null;
}
