/** Pages by path. Links are ordinary links; clicks on them stay inside the page. */

export type Route =
  | { readonly page: "sessions" }
  | { readonly page: "session"; readonly id: string }
  | { readonly page: "runners" }
  | { readonly page: "settings" }
  | { readonly page: "unknown" };

export function routeOf(path: string): Route {
  const [first = "", second, ...more] = path.split("/").slice(1);
  if (more.length === 0 && second === undefined) {
    if (first === "") return { page: "sessions" };
    if (first === "runners") return { page: "runners" };
    if (first === "settings") return { page: "settings" };
  }
  if (first === "sessions" && second && more.length === 0) {
    try {
      return { page: "session", id: decodeURIComponent(second) };
    } catch {
      return { page: "unknown" };
    }
  }
  return { page: "unknown" };
}

export function sessionPath(id: string): string {
  return `/sessions/${encodeURIComponent(id)}`;
}

class Router extends EventTarget {
  get route(): Route {
    return routeOf(location.pathname);
  }

  go(path: string): void {
    if (path === location.pathname) return;
    history.pushState(null, "", path);
    this.dispatchEvent(new Event("change"));
  }

  listen(): void {
    addEventListener("popstate", () => this.dispatchEvent(new Event("change")));
    addEventListener("click", (event) => {
      if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
      const link = event.composedPath().find((node): node is HTMLAnchorElement => node instanceof HTMLAnchorElement);
      if (!link || link.target || link.origin !== location.origin || link.hasAttribute("download")) return;
      event.preventDefault();
      this.go(link.pathname);
    });
  }
}

export const router = new Router();
