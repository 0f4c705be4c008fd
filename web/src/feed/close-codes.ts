/** What the end of a connection means, by WebSocket close code (docs/protocols/feed.md). */

export type Verdict =
  /** Try again with backoff, from the cursor. */
  | { readonly then: "retry"; readonly why: string }
  /** Try again with backoff, from the beginning. */
  | { readonly then: "restart"; readonly why: string }
  /** Trying again cannot help; the person must act. */
  | { readonly then: "end"; readonly why: string; readonly remedy: string; readonly code: EndCode };

export type EndCode = "superseded" | "signed-out" | "not-allowed" | "not-found" | "protocol" | "part-missing";

const verdicts: Record<number, Verdict> = {
  1000: { then: "retry", why: "the server is restarting" },
  1001: { then: "retry", why: "the server is restarting" },
  1012: { then: "retry", why: "the server is restarting" },
  1013: { then: "retry", why: "the server is busy" },
  4000: {
    then: "end",
    code: "superseded",
    why: "This session was opened again elsewhere with the same connection.",
    remedy: "Take it back here if you want to go on in this window.",
  },
  4001: {
    then: "end",
    code: "signed-out",
    why: "Your sign-in has ended.",
    remedy: "Sign in again; nothing in the session is lost.",
  },
  4003: {
    then: "end",
    code: "not-allowed",
    why: "You are not allowed to watch this session any longer.",
    remedy: "Ask its owner if you should see it.",
  },
  4004: {
    then: "end",
    code: "not-found",
    why: "There is no such session.",
    remedy: "It may have been deleted, or is no longer shared with you. Go back to the list of sessions.",
  },
  4008: { then: "retry", why: "there are too many connections" },
  4009: {
    then: "end",
    code: "protocol",
    why: "The server did not understand this page.",
    remedy: "Reload the page: it may be older than the server.",
  },
  4010: { then: "restart", why: "the log was shorter than what this page had" },
};

export function verdictOn(code: number): Verdict {
  return verdicts[code] ?? { then: "retry", why: "the connection was lost" };
}
