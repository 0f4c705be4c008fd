/** Pages by path. Links are ordinary links; clicks on them stay inside the page. */

const pages = ["runners", "settings", "account", "people", "audit"] as const;

export type PlainPage = (typeof pages)[number];

export type Route =
  | { readonly page: "sessions" }
  | { readonly page: "session"; readonly id: string }
  /** A session seen again: its log and what was recorded. */
  | { readonly page: "replay"; readonly id: string }
  /** `code`: the one a command line shows, where the link brought it along. */
  | { readonly page: "device"; readonly code: string }
  | { readonly page: PlainPage }
  | { readonly page: "unknown" };

export function routeOf(path: string, search = ""): Route {
  const [first = "", second, ...more] = path.split("/").slice(1);
  if (more.length === 0 && second === undefined) {
    if (first === "") return { page: "sessions" };
    if (first === "device") return { page: "device", code: new URLSearchParams(search).get("code") ?? "" };
    const page = pages.find((name) => name === first);
    if (page) return { page };
  }
  const replay = more.length === 1 && more[0] === "replay";
  if (first === "sessions" && second && (more.length === 0 || replay)) {
    try {
      return { page: replay ? "replay" : "session", id: decodeURIComponent(second) };
    } catch {
      return { page: "unknown" };
    }
  }
  return { page: "unknown" };
}

export function sessionPath(id: string): string {
  return `/sessions/${encodeURIComponent(id)}`;
}

export function replayPath(id: string): string {
  return `${sessionPath(id)}/replay`;
}

class Router extends EventTarget {
  get route(): Route {
    return routeOf(location.pathname, location.search);
  }

  go(path: string): void {
    if (path === location.pathname + location.search) return;
    history.pushState(null, "", path);
    this.dispatchEvent(new Event("change"));
  }

  listen(): void {
    addEventListener("popstate", () => this.dispatchEvent(new Event("change")));
    addEventListener("click", (event) => {
      if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
      const link = event.composedPath().find((node): node is HTMLAnchorElement => node instanceof HTMLAnchorElement);
      if (!link || link.target || link.origin !== location.origin || link.hasAttribute("download")) return;
      // What the server answers itself, such as the way to the identity provider.
      if (link.pathname.startsWith("/api/")) return;
      event.preventDefault();
      this.go(link.pathname + link.search);
    });
  }
}

export const router = new Router();
