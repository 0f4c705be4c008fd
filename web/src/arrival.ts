/** Who comes, and where they go: with a sign-in link, a share link, a cookie, or nothing. */

import { accounts } from "./api/accounts";
import { type Problem, asProblem } from "./api/problem";
import { sharing } from "./api/sharing";
import type { Me } from "./api/types";
import { sessionPath } from "./router";

export type Arrival =
  | { readonly kind: "signed-in"; readonly me: Me; readonly path: string | null; readonly problem: Problem | null }
  /** A share link, and nobody is signed in: as a guest, or sign in first. */
  | { readonly kind: "invited"; readonly code: string }
  | { readonly kind: "signed-out"; readonly problem: Problem | null }
  | { readonly kind: "unreachable"; readonly problem: Problem };

async function whoAmI(): Promise<Me | Problem> {
  try {
    return await accounts.me();
  } catch (error) {
    return asProblem(error);
  }
}

const isProblem = (value: Me | Problem): value is Problem => value instanceof Error;

function nobody(problem: Problem, told: boolean): Arrival {
  if (problem.status === 0 || problem.status >= 500) return { kind: "unreachable", problem };
  return { kind: "signed-out", problem: told ? problem : null };
}

/** Use what came along. A link that has been used does no harm where one is signed in anyway. */
export async function arrive(signInCode: string | null, shareCode: string | null): Promise<Arrival> {
  let linkProblem: Problem | null = null;
  if (signInCode !== null) {
    try {
      return await follow(await accounts.signIn(signInCode), shareCode);
    } catch (error) {
      linkProblem = asProblem(error);
      if (linkProblem.status === 0) return { kind: "unreachable", problem: linkProblem };
    }
  }
  const me = await whoAmI();
  if (!isProblem(me)) return follow(me, shareCode);
  if (me.signedOut && shareCode !== null) return { kind: "invited", code: shareCode };
  return nobody(linkProblem ?? me, linkProblem !== null || !me.signedOut);
}

/** Somebody is signed in: a share link adds its session to theirs. */
export async function follow(me: Me, shareCode: string | null): Promise<Arrival> {
  if (shareCode === null) return { kind: "signed-in", me, path: null, problem: null };
  try {
    const followed = await sharing.follow(shareCode, null);
    return { kind: "signed-in", me, path: sessionPath(followed.sessionId), problem: null };
  } catch (error) {
    return { kind: "signed-in", me, path: null, problem: asProblem(error) };
  }
}

/** Somebody without an account goes in, as whom the others will see. @throws Problem */
export async function enterAsGuest(shareCode: string, name: string): Promise<Arrival> {
  const followed = await sharing.follow(shareCode, name);
  return { kind: "signed-in", me: await accounts.me(), path: sessionPath(followed.sessionId), problem: null };
}

const RETURN_KEY = "earthshine.return";

/** Remember the page before going to the identity provider, which comes back to the start page. */
export function rememberPlace(shareCode: string | null): void {
  try {
    sessionStorage.setItem(RETURN_KEY, JSON.stringify({ path: location.pathname + location.search, shareCode }));
  } catch {
    // Storage is blocked: one comes back to the start page.
  }
}

/** The page from before, once. */
export function rememberedPlace(): { path: string; shareCode: string | null } | null {
  try {
    const stored: unknown = JSON.parse(sessionStorage.getItem(RETURN_KEY) ?? "null");
    sessionStorage.removeItem(RETURN_KEY);
    if (typeof stored !== "object" || stored === null) return null;
    const { path, shareCode } = stored as Record<string, unknown>;
    if (typeof path !== "string" || !path.startsWith("/") || path.startsWith("//")) return null;
    return { path, shareCode: typeof shareCode === "string" ? shareCode : null };
  } catch {
    return null;
  }
}
