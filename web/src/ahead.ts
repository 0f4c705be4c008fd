/** The desktop of a session's page is asked for before the page is there: a refresh is to be quick. */

import { begin, drop, spotOf, wasShown } from "./desktop/early";
import { SUBPROTOCOL, desktopPath } from "./desktop/endpoint";
import { type Route, router } from "./router";
import { preferences } from "./store/preferences";

/** Whether the page that is being loaded shows a desktop, as it did before. */
export function showsDesktop(route: Route): boolean {
  return route.page === "session" && wasShown(route.id) && preferences.current.sessionView !== "terminal";
}

/** The promise is kept when the page may be made. */
export async function goAhead(route: Route): Promise<void> {
  if (route.page !== "session" || !showsDesktop(route) || document.hidden) return;
  const way = preferences.current.desktopWays[route.id] ?? "native";
  if (way !== "native") return;
  const url = new URL(desktopPath(route.id), location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  router.addEventListener("change", drop, { once: true });
  await begin(url.href, SUBPROTOCOL, { spot: spotOf(route.id) });
}
