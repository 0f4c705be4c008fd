/** An error as the API tells it (RFC 9457, with `code` and `remedy`), or the network's own. */

export class Problem extends Error {
  override readonly name = "Problem";

  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly remedy: string,
  ) {
    super(detail);
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

/** Read a problem out of an answer's body, whatever it holds. */
export function problemFrom(status: number, body: unknown): Problem {
  const fields = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  const text = (name: string): string => (typeof fields[name] === "string" ? (fields[name] as string) : "");
  return new Problem(
    status,
    text("code") || `http-${status}`,
    text("detail") || text("title") || `The server answered with status ${status}.`,
    text("remedy") || (status >= 500 ? "Try again; if it stays, look into the server's log." : ""),
  );
}

export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem(0, "unexpected", error instanceof Error ? error.message : String(error), "Reload the page.");
}
