/** Parts of the page that are fetched when they are wanted. */

import { notify } from "./toasts";

function fetched(part: Promise<unknown>): void {
  part.catch(() => {
    notify({
      key: "load",
      tone: "bad",
      text: "A part of the page could not be loaded.",
      detail: "Reload it: the server may have been updated.",
      action: { label: "Reload", run: () => location.reload() },
    });
  });
}

export function loadSessionPage(): void {
  fetched(import("./session-page"));
}

export function loadDesktop(): void {
  fetched(import("./desktop-panel"));
}

export function loadReplayPage(): void {
  fetched(import("./replay/replay-page"));
}

/** Pages beside the list of sessions. */
export function loadPages(): void {
  fetched(import("./pages"));
}

export function loadAdminPages(): void {
  fetched(import("./admin-pages"));
}
