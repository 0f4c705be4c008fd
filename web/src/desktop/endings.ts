/** What the end of a desktop's connection means, and what to do: by close code, and by Guacamole's statuses. */

import { type EndCode, type Verdict, verdictOn } from "../feed/close-codes";

const here: Record<number, Verdict> = {
  4003: {
    then: "end",
    code: "not-allowed",
    why: "You are not allowed to see this desktop any longer.",
    remedy: "Ask the session's owner if you should.",
  },
  4004: {
    then: "end",
    code: "not-found",
    why: "There is no such desktop.",
    remedy: "The session may have ended, or is no longer shared with you.",
  },
  4009: {
    then: "end",
    code: "protocol",
    why: "The desktop and this page did not understand each other.",
    remedy: "Reload the page, or see it another way.",
  },
  4011: { then: "retry", why: "the line to the machine broke" },
  4013: {
    then: "end",
    code: "part-missing",
    why: "Something that this way needs is missing.",
    remedy: "See it another way, or ask who runs Earthshine to install it.",
  },
};

/** Ends after which another way may do, because only this one is at fault. */
const ofTheWay: ReadonlySet<EndCode> = new Set<EndCode>(["part-missing", "protocol"]);

export function isOfTheWay(code: EndCode): boolean {
  return ofTheWay.has(code);
}

export function desktopVerdictOn(code: number): Verdict {
  return here[code] ?? verdictOn(code);
}

const guacamole: Record<number, readonly [string, string]> = {
  513: ["guacd is too busy.", "Try again in a moment."],
  514: ["The desktop did not answer guacd in time.", "It may be starting; guacd may also lack the plugin for this protocol."],
  515: ["guacd did not understand the desktop.", "Check that guacd itself listens at the address that is set."],
  519: ["guacd could not reach the desktop, or was refused.", "It may be starting. See it another way if this stays."],
  520: ["The desktop is busy or gone.", "See it another way if this stays."],
  521: ["Somebody else's connection took this one's place.", "Connect again."],
  522: ["The desktop ended an idle connection.", "Connect again."],
  523: ["The desktop closed the connection.", "Connect again."],
  769: ["The desktop refused the sign-in.", "Its password may have just changed: connect again."],
  771: ["The desktop refused the connection.", "Ask who runs Earthshine whether it is allowed."],
  797: ["Too many people use guacd.", "Try again in a moment, or see it another way."],
};

/** By a status number of the Guacamole protocol; `null` where it is none. */
export function guacamoleVerdictOn(status: number): Verdict | null {
  const words = guacamole[status];
  if (words) return { then: "retry", why: words.join(" ") };
  return status >= 512 && status < 800 ? { then: "retry", why: `guacd reports a problem (${status})` } : null;
}

/** Of a Guacamole tunnel: its close reason begins with a status number, and may go on in words. */
export function tunnelEnding(code: number, reason: string): { verdict: Verdict; words: string } {
  const [, status, words = ""] = /^(\d{3})(?: (.*))?$/s.exec(reason) ?? [];
  if (status === undefined) return { verdict: desktopVerdictOn(code), words: reason };
  const known = words ? null : guacamoleVerdictOn(Number(status));
  return { verdict: known ?? desktopVerdictOn(code), words };
}

/** By the HTTP status in an RDCleanPath error; the session's other words are asked for by the caller. */
export function rdpVerdictOn(status: number | undefined, words: string): Verdict {
  if (status === 401) return verdictOn(4001);
  if (status === 403) return desktopVerdictOn(4003);
  if (status === 404) return desktopVerdictOn(4004);
  if (status === 503) return desktopVerdictOn(4013);
  return { then: "retry", why: words || "the RDP server did not let the page in" };
}
