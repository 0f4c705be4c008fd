/** OSC 52: a program offers text for the clipboard. Reading is never answered; writing is only offered. */

/** Characters of base64 in one offer. */
const MAX_OFFER = 1024 * 1024;

/** The text of an offer; `null` for a question, for nonsense and for what is too large. */
export function readOffer(data: string): string | null {
  const separator = data.indexOf(";");
  const payload = data.slice(separator + 1);
  if (separator < 0 || payload === "?" || payload === "" || payload.length > MAX_OFFER) return null;
  try {
    const bytes = Uint8Array.from(atob(payload), (char) => char.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** Copy text; works without the clipboard API's secure context too. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.style.cssText = "position:fixed;opacity:0";
    const focused = document.activeElement;
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    if (focused instanceof HTMLElement) focused.focus();
    return copied;
  }
}
