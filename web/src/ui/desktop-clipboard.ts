/** What the person hears of the desktop's clipboard. */

import type { DesktopClient } from "../desktop/client";
import type { Offer } from "../desktop/clipboard";
import type { ViewerHooks } from "../desktop/viewer";
import { preferences } from "../store/preferences";
import { notify } from "./toasts";

const LONGEST = 120;

function what(offer: Offer): string {
  if (offer.kind === "png") return "a picture";
  return offer.text.length === 1 ? "a character" : `${offer.text.length} characters`;
}

export function desktopClipboardHooks(viewer: () => DesktopClient | null): Pick<ViewerHooks, "offered" | "copied" | "sharesClipboard"> {
  return {
    sharesClipboard: () => preferences.current.shareClipboard,
    copied: (offer) => notify({ key: "clipboard", text: `Copied ${what(offer)} from the desktop` }),
    offered: (offer) =>
      notify({
        key: "clipboard",
        text: `The desktop offers ${what(offer)} for your clipboard`,
        ...(offer.text ? { detail: offer.text.length > LONGEST ? `${offer.text.slice(0, LONGEST)}…` : offer.text } : {}),
        action: {
          label: "Copy",
          run: () =>
            void viewer()
              ?.clipboard.take(offer)
              .then((taken) => notify(taken ? { key: "copied", text: "Copied" } : { key: "copied", tone: "bad", text: "The browser did not allow it." })),
        },
      }),
  };
}
