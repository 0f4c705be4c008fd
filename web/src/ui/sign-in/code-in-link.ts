/** People paste the whole link as often as its code. */

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** A sign-in code, also out of a pasted link. */
export function codeIn(text: string): string {
  const trimmed = text.trim();
  const inLink = /#sign-in=([^&\s]+)/.exec(trimmed);
  return inLink ? decoded(inLink[1] ?? "") : trimmed;
}

/** A device code as it is shown, `XXXX-XXXX`, from however it was typed. */
export function userCodeIn(text: string): string {
  const trimmed = text.trim();
  const inLink = /[?&]code=([^&\s#]+)/.exec(trimmed);
  const letters = (inLink ? decoded(inLink[1] ?? "") : trimmed).toUpperCase().replaceAll(/[^A-Z0-9]/g, "");
  return letters.length > 4 ? `${letters.slice(0, 4)}-${letters.slice(4)}` : letters;
}
