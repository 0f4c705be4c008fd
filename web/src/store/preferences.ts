/** What this browser remembers for its person. Nothing here is secret. */

export type Theme = "system" | "dark" | "light";

export interface Preferences {
  theme: Theme;
  fontSize: number;
  timeline: boolean;
  sidebar: boolean;
  /** Tell a screen reader what the terminal prints. */
  screenReader: boolean;
  lastAgent: string;
  lastRunner: string;
  lastWorktree: boolean;
  lastDesktop: boolean;
  /** What the page of a session with a desktop shows: `terminal`, `desktop` or `split`. */
  sessionView: string;
  /** How large the desktop is drawn: `fit`, `actual` or `follow`. */
  desktopScale: string;
  /** What programs on the desktop copy lands on this machine's clipboard without asking, and back. */
  shareClipboard: boolean;
  /** Fingers on a desktop: `direct` or `trackpad`. */
  touchMode: string;
  /** By which way a session's desktop was chosen to be seen, by session. */
  desktopWays: Record<string, string>;
  /** Last folder by runner. */
  folders: Record<string, string>;
  /** Who does not want to be told again that they cannot come back without a link. */
  comeBackDismissed: string;
}

export const FONT_SIZES = { min: 8, max: 28, initial: 13 } as const;
/** Runners whose last folder is remembered. */
const MAX_FOLDERS = 50;
/** Sessions whose way is remembered. */
const MAX_WAYS = 50;
const KEY = "earthshine.preferences";

const initial: Preferences = {
  theme: "system",
  fontSize: FONT_SIZES.initial,
  timeline: false,
  sidebar: true,
  screenReader: false,
  lastAgent: "",
  lastRunner: "",
  lastWorktree: false,
  lastDesktop: false,
  sessionView: "split",
  desktopScale: "fit",
  shareClipboard: false,
  touchMode: "direct",
  desktopWays: {},
  folders: {},
  comeBackDismissed: "",
};

class PreferenceStore extends EventTarget {
  private values: Preferences = { ...initial, ...this.read() };

  get current(): Readonly<Preferences> {
    return this.values;
  }

  /** Dark or light, after asking the system where the person left it to it. */
  get shade(): "dark" | "light" {
    if (this.values.theme !== "system") return this.values.theme;
    return matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
  }

  set(change: Partial<Preferences>): void {
    this.values = { ...this.values, ...change };
    this.values.fontSize = Math.min(FONT_SIZES.max, Math.max(FONT_SIZES.min, Math.round(this.values.fontSize)));
    const folders = Object.entries(this.values.folders);
    if (folders.length > MAX_FOLDERS) this.values.folders = Object.fromEntries(folders.slice(-MAX_FOLDERS));
    const ways = Object.entries(this.values.desktopWays);
    if (ways.length > MAX_WAYS) this.values.desktopWays = Object.fromEntries(ways.slice(-MAX_WAYS));
    try {
      localStorage.setItem(KEY, JSON.stringify(this.values));
    } catch {
      // Storage is blocked or full: the choice lasts as long as the page.
    }
    this.announce();
  }

  /** Put the theme on the page, now and when the system changes its mind. */
  apply(): void {
    const show = (): void => {
      const { theme } = this.values;
      if (theme === "system") delete document.documentElement.dataset["theme"];
      else document.documentElement.dataset["theme"] = theme;
    };
    show();
    this.addEventListener("change", show);
    matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => this.announce());
  }

  private announce(): void {
    this.dispatchEvent(new Event("change"));
  }

  private read(): Partial<Preferences> {
    try {
      const stored: unknown = JSON.parse(localStorage.getItem(KEY) ?? "{}");
      if (typeof stored !== "object" || stored === null) return {};
      // Only what has the type we would have written: an older page may have stored something else.
      return Object.fromEntries(
        Object.entries(stored).filter(([name, value]) => typeof value === typeof initial[name as keyof Preferences]),
      );
    } catch {
      return {};
    }
  }
}

export const preferences = new PreferenceStore();
