/** Where a link in the terminal leads. What the terminal shows is the agent's word, not ours. */

export type Destination =
  | { readonly kind: "web"; readonly url: string }
  /** A server on the runner's own loopback: only a preview reaches it. */
  | { readonly kind: "runner-port"; readonly port: number; readonly url: string };

const loopback = /^(localhost|127(\.\d+){3}|0\.0\.0\.0|\[::1?\])$/;

/** `null` for anything but http and https. */
export function destinationOf(uri: string): Destination | null {
  let url: URL;
  try {
    url = new URL(uri);
  } catch {
    return null;
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") return null;
  if (loopback.test(url.hostname)) {
    const port = Number(url.port || (url.protocol === "https:" ? 443 : 80));
    return { kind: "runner-port", port, url: url.href };
  }
  return { kind: "web", url: url.href };
}
