/** How large the desktop is drawn, and which of its pixels a place on the page is. */

/** `fit`: as large as the room allows; `actual`: one pixel is one pixel; `follow`: the desktop takes the window's size. */
export type Scale = "fit" | "actual" | "follow";

export interface Size {
  readonly width: number;
  readonly height: number;
}

export interface Shown extends Size {
  /** Edges fall on device pixels and each pixel is a whole number of them: drawn without blur. */
  readonly crisp: boolean;
}

/** The canvas in CSS pixels. `ratio` is the page's devicePixelRatio, `zoom` what fingers have chosen. */
export function shownSize(desktop: Size, room: Size, scale: Scale, ratio: number, zoom = 1): Shown {
  if (desktop.width === 0 || desktop.height === 0) return { width: 0, height: 0, crisp: true };
  const fitting = Math.min(room.width / desktop.width, room.height / desktop.height);
  let factor = fitting;
  if (scale === "actual") factor = 1 / ratio;
  // One that follows has the room's size, or will have soon; it never grows blurred meanwhile.
  else if (scale === "follow") factor = Math.min(1, fitting);
  factor *= zoom;
  const pixels = factor * ratio;
  const whole = Math.round(pixels);
  const crisp = whole >= 1 && Math.abs(pixels - whole) < 0.005;
  return { width: desktop.width * factor, height: desktop.height * factor, crisp };
}

/** The desktop's pixel at a place on the page, clamped to the desktop. */
export function pixelAt(place: { x: number; y: number }, box: { left: number; top: number } & Size, desktop: Size): { x: number; y: number } {
  const along = (offset: number, length: number, pixels: number): number =>
    Math.min(pixels - 1, Math.max(0, Math.floor((offset / Math.max(1, length)) * pixels)));
  return {
    x: along(place.x - box.left, box.width, desktop.width),
    y: along(place.y - box.top, box.height, desktop.height),
  };
}

/** Smallest desktop that is asked for. */
const MIN_SIDE = 320;
const MAX_SIDE = 7680;

/** The size to ask for, so that the desktop fills the room; even, as video wants it. */
export function wantedSize(room: Size): Size {
  const even = (side: number): number => Math.min(MAX_SIDE, Math.max(MIN_SIDE, Math.floor(side / 2) * 2));
  return { width: even(room.width), height: even(room.height) };
}
