/** How requests are made: typed by the server's own OpenAPI document; failures are `Problem`s. */

import createClient from "openapi-fetch";

import { problemFrom, unreachable } from "./problem";
import type { paths } from "./schema.gen";

export const client = createClient<paths>({
  // Looked up at call time, so that tests can put another fetch in its place.
  fetch: (request) => globalThis.fetch(request),
  headers: { "content-type": "application/json" },
  credentials: "same-origin",
});

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** What was asked for, or a `Problem`. */
export async function outcome<T>(call: Promise<Answer<T>>): Promise<T> {
  let answer: Answer<T>;
  try {
    answer = await call;
  } catch {
    throw unreachable();
  }
  const { response } = answer;
  if (!response.ok) throw problemFrom(response.status, answer.error, response.headers.get("retry-after"));
  return answer.data as T;
}

/** For calls whose answer has no body. */
export async function done(call: Promise<Answer<unknown>>): Promise<void> {
  await outcome(call);
}
