/** Tells apart what xterm.js hands out as "data": keys that a person pressed, and reports it makes itself. */

export type Report = "focus" | "mouse-move" | "mouse-wheel" | "mouse-button" | "colour-scheme" | "cursor" | null;

const focus = /^\x1b\[[IO]$/;
const sgrMouse = /^\x1b\[<(\d+);\d+;\d+[Mm]$/;
const colourScheme = /^\x1b\[\?997;[12]n$/;
const cursor = /^\x1b\[\??\d+;\d+R$/;
/** Bits of a mouse report's button number. */
const MOTION = 32;
const WHEEL = 64;

export function reportIn(data: string): Report {
  if (focus.test(data)) return "focus";
  const mouse = sgrMouse.exec(data);
  if (mouse) return mouseReport(Number(mouse[1]));
  if (data.startsWith("\x1b[M") && data.length === 6) return mouseReport(data.charCodeAt(3) - 32);
  if (colourScheme.test(data)) return "colour-scheme";
  return cursor.test(data) ? "cursor" : null;
}

function mouseReport(button: number): Report {
  if (button & WHEEL) return "mouse-wheel";
  return button & MOTION ? "mouse-move" : "mouse-button";
}

/** Somebody who does not lead only looks: moving, scrolling and focusing must not take the lead. */
export function needsLead(report: Report): boolean {
  return report !== null && report !== "mouse-button";
}
