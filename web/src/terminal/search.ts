/** Search in the terminal's buffer. */

import { SearchAddon } from "@xterm/addon-search";
import type { Terminal } from "@xterm/xterm";

export interface Matches {
  readonly index: number;
  readonly count: number;
}

export interface SearchOptions {
  readonly caseSensitive: boolean;
  readonly regex: boolean;
}

const MAX_HIGHLIGHTS = 1000;

const decorations = {
  matchBackground: "#5c4a12",
  matchOverviewRuler: "#c9a227",
  activeMatchBackground: "#b98900",
  activeMatchColorOverviewRuler: "#ffd75e",
};

export class Search {
  private readonly addon = new SearchAddon({ highlightLimit: MAX_HIGHLIGHTS });
  private listener: (matches: Matches) => void = () => {};

  constructor(terminal: Terminal) {
    terminal.loadAddon(this.addon);
    this.addon.onDidChangeResults(({ resultIndex, resultCount }) =>
      this.listener({ index: resultIndex, count: resultCount }),
    );
  }

  onMatches(listener: (matches: Matches) => void): void {
    this.listener = listener;
  }

  /** False when nothing matches, or the expression is not one. */
  find(term: string, options: SearchOptions, direction: "next" | "previous" | "as-typed"): boolean {
    if (term === "") {
      this.addon.clearDecorations();
      this.listener({ index: -1, count: 0 });
      return false;
    }
    const all = { ...options, decorations, incremental: direction === "as-typed" };
    try {
      return direction === "next" ? this.addon.findNext(term, { ...all, incremental: false }) : this.addon.findPrevious(term, all);
    } catch {
      this.listener({ index: -1, count: 0 });
      return false;
    }
  }

  clear(): void {
    this.addon.clearDecorations();
  }
}
