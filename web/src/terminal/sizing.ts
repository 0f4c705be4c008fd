/** How a terminal's cells and a box on the page fit each other. */

export interface Cells {
  readonly cols: number;
  readonly rows: number;
}

export interface Box {
  readonly width: number;
  readonly height: number;
}

/** The server's limits. */
const COLS = { min: 2, max: 1000 };
const ROWS = { min: 1, max: 1000 };
/** Smaller letters help nobody: rather scroll. */
export const MIN_FONT = 5;

const within = (value: number, { min, max }: { min: number; max: number }): number => Math.min(max, Math.max(min, value));

/** As many cells as fill the box. */
export function cellsIn(box: Box, cell: Box): Cells | null {
  if (!(box.width > 0 && box.height > 0 && cell.width > 0 && cell.height > 0)) return null;
  return {
    cols: within(Math.floor(box.width / cell.width), COLS),
    rows: within(Math.floor(box.height / cell.height), ROWS),
  };
}

/** The largest font, in half pixels and not above `wanted`, that shows all the cells in the box. */
export function fontFor(cells: Cells, box: Box, cellPerFontPixel: Box, wanted: number): number {
  const byWidth = box.width / (cells.cols * cellPerFontPixel.width);
  const byHeight = box.height / (cells.rows * cellPerFontPixel.height);
  const largest = Math.floor(Math.min(byWidth, byHeight) * 2) / 2;
  return Math.max(MIN_FONT, Math.min(wanted, largest));
}

/**
 * Device pixels to add between letters.
 *
 * The renderer rounds a letter's width down to whole device pixels, which makes 7.8 pixels wide letters
 * crowd into 7; where rounding up is nearer, one pixel is given back.
 */
export function letterSpacing(letterWidth: number, devicePixelRatio: number): 0 | 1 {
  return (letterWidth * devicePixelRatio) % 1 >= 0.5 ? 1 : 0;
}
