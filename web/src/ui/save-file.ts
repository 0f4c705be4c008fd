/** Hands a file made in the page to the person. */

const KEEP_MS = 10_000;

/** Download `file`, named after `title` and the time. */
export function saveFile(file: Blob, title: string, ending: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  const time = new Date().toISOString().slice(0, 19).replace("T", " ").replaceAll(":", ".");
  const name = title.replace(/[^\p{L}\p{N} ._-]+/gu, "").trim() || "desktop";
  link.download = `${name} ${time}.${ending}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), KEEP_MS);
}
