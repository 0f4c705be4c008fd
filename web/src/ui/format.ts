/** Times, sizes and names as people read them. */

const units: readonly (readonly [number, string])[] = [
  [86_400, "d"],
  [3_600, "h"],
  [60, "m"],
  [1, "s"],
];

/** `45s`, `12m`, `3h`, `4d`. */
export function shortAge(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  for (const [size, name] of units) if (seconds >= size) return `${Math.floor(seconds / size)}${name}`;
  return "0s";
}

/** `12 min 3 s`, `2 h 5 min`: two largest units. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return seconds % 60 ? `${minutes} min ${seconds % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.floor(hours / 24)} days`;
}

export function since(time: string | null | undefined, now = Date.now()): number | null {
  if (!time) return null;
  const at = Date.parse(time);
  return Number.isNaN(at) ? null : Math.max(0, now - at);
}

/** `just now`, `12m ago`. */
export function ago(time: string | null | undefined, now = Date.now()): string {
  const ms = since(time, now);
  if (ms === null) return "–";
  return ms < 5_000 ? "just now" : `${shortAge(ms)} ago`;
}

export function fullTime(time: string | number | null | undefined): string {
  if (time == null) return "";
  return new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" }).format(new Date(time));
}

export function clockTime(ts: number): string {
  return new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false }).format(ts);
}

export function size(bytes: number): string {
  const names = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let step = 0;
  while (value >= 999.5 && step < names.length - 1) {
    value /= 1000;
    step += 1;
  }
  return `${step === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${names[step]}`;
}

/** A folder with the home folder as `~`. */
export function shortFolder(folder: string, home?: string): string {
  if (home && home !== "/" && (folder === home || folder.startsWith(`${home}/`))) return `~${folder.slice(home.length)}`;
  return folder;
}

export function lastPart(path: string): string {
  return path.split("/").filter(Boolean).at(-1) ?? path;
}

const signals: Record<number, string> = { 1: "SIGHUP", 2: "SIGINT", 6: "SIGABRT", 9: "SIGKILL", 11: "SIGSEGV", 13: "SIGPIPE", 15: "SIGTERM" };

export function signalName(signal: number): string {
  return signals[signal] ?? `signal ${signal}`;
}

/** Words of the server as a sentence of their own. */
export function sentence(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}
