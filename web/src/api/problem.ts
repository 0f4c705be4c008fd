/** An error as the API tells it (RFC 9457, with `code` and `remedy`), or the network's own. */

export class Problem extends Error {
  override readonly name = "Problem";

  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly remedy: string,
    /** When the server will look at another attempt, as `Date.now()` would say it. */
    readonly retryAt: number | null = null,
  ) {
    super(detail);
  }

  /** Milliseconds until another attempt makes sense. */
  waitMs(now = Date.now()): number {
    return this.retryAt === null ? 0 : Math.max(0, this.retryAt - now);
  }

  get signedOut(): boolean {
    return this.status === 401;
  }
}

/** No answer came at all. */
export function unreachable(): Problem {
  return new Problem(
    0,
    "unreachable",
    "The server did not answer.",
    "Check your network, and that Earthshine is running; then try again.",
  );
}

/** Longest wait that is believed. */
const MAX_WAIT_S = 24 * 3600;

/** `Retry-After` as a time: seconds or a date (RFC 9110, 10.2.3). */
export function retryTime(header: string | null, now = Date.now()): number | null {
  if (header === null || header.trim() === "") return null;
  const at = /^\d+$/.test(header.trim()) ? now + Number(header) * 1000 : Date.parse(header);
  return Number.isNaN(at) ? null : Math.min(at, now + MAX_WAIT_S * 1000);
}

/** Read a problem out of an answer's body, whatever it holds. */
export function problemFrom(status: number, body: unknown, retryAfter: string | null = null): Problem {
  const fields = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  const text = (name: string): string => (typeof fields[name] === "string" ? (fields[name] as string) : "");
  return new Problem(
    status,
    text("code") || `http-${status}`,
    text("detail") || text("title") || `The server answered with status ${status}.`,
    text("remedy") || (status >= 500 ? "Try again; if it stays, look into the server's log." : ""),
    retryTime(retryAfter),
  );
}

export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem(0, "unexpected", error instanceof Error ? error.message : String(error), "Reload the page.");
}
