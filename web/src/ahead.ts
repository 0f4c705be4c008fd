/** What the page of a session needs is fetched before it is known who asks: a refresh is to be quick. */

import { begin, wasShown } from "./desktop/early";
import { SUBPROTOCOL, desktopPath } from "./desktop/endpoint";
import type { Route } from "./router";
import { preferences } from "./store/preferences";
import { loadDesktop, loadSessionPage } from "./ui/parts";

export function goAhead(route: Route): void {
  if (route.page !== "session") return;
  loadSessionPage();
  if (!wasShown(route.id) || preferences.current.sessionView === "terminal") return;
  loadDesktop();
  const way = preferences.current.desktopWays[route.id] ?? "native";
  if (way !== "native") return;
  const url = new URL(desktopPath(route.id), location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  begin(url.href, SUBPROTOCOL);
}
