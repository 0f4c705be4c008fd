/** Copying, and saying so. */

import { copyText } from "../terminal/clipboard";
import { notify } from "./toasts";

export async function copy(text: string): Promise<void> {
  notify({ key: "copied", text: (await copyText(text)) ? "Copied" : "The browser did not allow copying. Select it and copy it yourself." });
}
