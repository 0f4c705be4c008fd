/** The pointer's shape, drawn by the browser itself: it moves without waiting for the network. */

import type { CursorShape } from "./messages";

/** Browsers ignore larger cursors. */
export const MAX_CURSOR = 128;
const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** Width and height from a PNG's first chunk (PNG specification, 11.2.2); `null` when it is none. */
export function pngSize(data: Uint8Array): { width: number; height: number } | null {
  if (data.length < 24 || PNG.some((byte, at) => data[at] !== byte)) return null;
  const view = new DataView(data.buffer, data.byteOffset);
  return { width: view.getUint32(16), height: view.getUint32(20) };
}

function base64(data: Uint8Array): string {
  let binary = "";
  for (const byte of data) binary += String.fromCharCode(byte);
  return btoa(binary);
}

/** The value of CSS `cursor` for a shape. */
export function cursorOf(shape: Pick<CursorShape, "hotX" | "hotY" | "data">): string {
  if (shape.data.length === 0) return "none";
  const size = pngSize(shape.data);
  if (!size || size.width > MAX_CURSOR || size.height > MAX_CURSOR) return "default";
  const x = Math.min(shape.hotX, size.width - 1);
  const y = Math.min(shape.hotY, size.height - 1);
  return `url(data:image/png;base64,${base64(shape.data)}) ${x} ${y}, default`;
}

/** Where somebody else's pointer is, and whose. */
export interface OtherPointer {
  readonly x: number;
  readonly y: number;
  readonly name: string;
  /** A viewer's number, for a colour of its own; 0: a program. */
  readonly viewer: number;
}

/** A viewer's colour: always the same for the same number. */
export function colourOf(viewer: number): string {
  return viewer === 0 ? "var(--text-3)" : `hsl(${(viewer * 137) % 360} 60% 38%)`;
}
