/** One person at one desktop, by whatever way: what toolbar, keys and fingers need of it. */

import type { Status } from "../feed/link";
import type { SharedClipboard } from "./clipboard";
import type { Control } from "./control";
import type { OtherPointer } from "./cursor";
import type { DesktopInput } from "./input";
import type { DesktopIs, Wish } from "./messages";
import type { Size } from "./scaling";
import type { DesktopViewer } from "./viewer";

/** Tells of changes with a `change` event. */
export interface DesktopClient extends EventTarget {
  /** The built-in way, which can more; `null`: it is another. */
  readonly native: DesktopViewer | null;
  readonly input: DesktopInput;
  readonly clipboard: SharedClipboard;
  /** The desktop's pixels; 0 before the first picture. */
  readonly size: Size;
  readonly status: Status;
  /** Why the server closed the line, in its own words. */
  readonly reason: string;
  readonly desktop: DesktopIs | null;
  readonly control: Control;
  /** CSS `cursor`. */
  readonly cursor: string;
  /** Somebody else's pointer. */
  readonly pointer: OtherPointer | null;
  /** What is on the screen is what the desktop shows now. */
  readonly current: boolean;
  /** Some picture has been on the screen. */
  readonly everDrawn: boolean;
  /** One canvas with the whole picture, where there is one. */
  readonly surface: HTMLCanvasElement | null;
  start(): void;
  close(): void;
  /** Try again now, also after an end. */
  retry(): void;
  /** Drop the connection and make another. */
  reconnect(): void;
  /** About control and size. False: it was not sent. */
  wish(wish: Wish): boolean;
  /** Input is about to be sent: where nobody has control, it takes it. */
  steers(): void;
  /** It is drawn this large, in CSS pixels. */
  fit(shown: Size): void;
  /** The picture as a file; `null` before the first one. */
  file(): Promise<Blob | null>;
}
