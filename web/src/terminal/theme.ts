/** The terminal's colours. Both palettes keep every ANSI colour readable on their background. */

import type { ITheme } from "@xterm/xterm";

export const FONT_FAMILY =
  '"JetBrains Mono Variable", ui-monospace, "SF Mono", "Cascadia Mono", Menlo, "DejaVu Sans Mono", "Terminal Symbols", monospace';

const dark: ITheme = {
  background: "#0b0e14",
  foreground: "#d5dae3",
  cursor: "#e8d9b0",
  cursorAccent: "#0b0e14",
  selectionBackground: "#2f4a6b",
  selectionInactiveBackground: "#26364d",
  black: "#1c222d",
  red: "#f07178",
  green: "#7fce8f",
  yellow: "#e3c078",
  blue: "#7aa9f7",
  magenta: "#c79bf0",
  cyan: "#6fcfd6",
  white: "#c3cad6",
  brightBlack: "#717d90",
  brightRed: "#ff8d92",
  brightGreen: "#9be3a9",
  brightYellow: "#f3d79a",
  brightBlue: "#9cc0ff",
  brightMagenta: "#dab8fb",
  brightCyan: "#95e3e8",
  brightWhite: "#f3f5f9",
  scrollbarSliderBackground: "#7f8ba033",
  scrollbarSliderHoverBackground: "#7f8ba066",
  scrollbarSliderActiveBackground: "#7f8ba088",
};

const light: ITheme = {
  background: "#fdfdfc",
  foreground: "#262c36",
  cursor: "#7a5f12",
  cursorAccent: "#fdfdfc",
  selectionBackground: "#bcd4f5",
  selectionInactiveBackground: "#d9e4f2",
  black: "#262c36",
  red: "#b42331",
  green: "#1c7034",
  yellow: "#855c00",
  blue: "#1d58b8",
  magenta: "#8136ae",
  cyan: "#0a6b75",
  white: "#6a7380",
  brightBlack: "#5f6875",
  brightRed: "#c73542",
  brightGreen: "#23803f",
  brightYellow: "#94690a",
  brightBlue: "#2b69d0",
  brightMagenta: "#9444c4",
  brightCyan: "#0f7a85",
  brightWhite: "#3d4550",
  scrollbarSliderBackground: "#5f687533",
  scrollbarSliderHoverBackground: "#5f687566",
  scrollbarSliderActiveBackground: "#5f687588",
};

export const themes = { dark, light } as const;
