/**
 * Keeps the viewer's terminal from answering questions that the session's holder answers.
 *
 * xterm.js answers most queries by itself; with several viewers, and during a replay, those answers
 * would reach the program as garbage. Each hook here swallows one query. Only the cursor's position
 * is answered, by the leading viewer, about what is happening now (docs/protocols/feed.md).
 */

import type { IDisposable, IParser } from "@xterm/xterm";

type Params = (number | number[])[];

/** Window reports of XTWINOPS (`CSI Ps t`): states, positions, sizes, titles. */
const windowReports: ReadonlySet<number> = new Set([11, 13, 14, 15, 16, 18, 19, 20, 21]);
const CURSOR_POSITION = 6;

const first = (params: Params): number => {
  const value = params[0];
  return typeof value === "number" ? value : 0;
};

/** Does an OSC colour command ask (`?`) rather than set? Colours may be chained with `;`. */
const asks = (data: string): boolean => data.split(";").includes("?");

/** Swallow all queries, except cursor position where `mayAnswer` allows it at that moment. */
export function silenceQueries(parser: IParser, mayAnswer: () => boolean): IDisposable {
  const always = (): boolean => true;
  const status = (params: Params): boolean => first(params) !== CURSOR_POSITION || !mayAnswer();
  const hooks: IDisposable[] = [
    // Device attributes: primary, secondary, tertiary; and DECID.
    parser.registerCsiHandler({ final: "c" }, always),
    parser.registerCsiHandler({ prefix: ">", final: "c" }, always),
    parser.registerCsiHandler({ prefix: "=", final: "c" }, always),
    parser.registerEscHandler({ final: "Z" }, always),
    // Device status (5, 6) and its private kin, among them the colour scheme (996).
    parser.registerCsiHandler({ final: "n" }, status),
    parser.registerCsiHandler({ prefix: "?", final: "n" }, status),
    // DECRQM, ANSI and private.
    parser.registerCsiHandler({ intermediates: "$", final: "p" }, always),
    parser.registerCsiHandler({ prefix: "?", intermediates: "$", final: "p" }, always),
    // XTVERSION; kitty keyboard flags; DECREQTPARM.
    parser.registerCsiHandler({ prefix: ">", final: "q" }, always),
    parser.registerCsiHandler({ prefix: "?", final: "u" }, always),
    parser.registerCsiHandler({ final: "x" }, always),
    parser.registerCsiHandler({ final: "t" }, (params) => windowReports.has(first(params))),
    // DECRQSS and XTGETTCAP.
    parser.registerDcsHandler({ intermediates: "$", final: "q" }, always),
    parser.registerDcsHandler({ intermediates: "+", final: "q" }, always),
    // Palette, foreground, background and cursor colours: a question is swallowed, a setting passes.
    ...[4, 5, 10, 11, 12, 13, 14, 17, 19].map((code) => parser.registerOscHandler(code, asks)),
  ];
  return { dispose: () => hooks.forEach((hook) => hook.dispose()) };
}
