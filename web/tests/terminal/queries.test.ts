import { Terminal } from "@xterm/xterm";
import { beforeEach, describe, expect, it } from "vitest";

import { silenceQueries } from "../../src/terminal/queries";

/** The real xterm.js, without a screen. */
let terminal: Terminal;
let answers: string[];
let mayAnswer: boolean;

beforeEach(() => {
  terminal = new Terminal({ allowProposedApi: true, vtExtensions: { kittyKeyboard: true } });
  answers = [];
  mayAnswer = false;
  terminal.onData((data) => answers.push(data));
  silenceQueries(terminal.parser, () => mayAnswer);
});

const print = (text: string): Promise<void> => new Promise((done) => terminal.write(text, done));

const queries = {
  "primary device attributes": "\x1b[c",
  "secondary device attributes": "\x1b[>c",
  "tertiary device attributes": "\x1b[=c",
  DECID: "\x1bZ",
  "device status": "\x1b[5n",
  "colour scheme": "\x1b[?996n",
  "DECRQM, ANSI": "\x1b[4$p",
  "DECRQM, private": "\x1b[?2026$p",
  XTVERSION: "\x1b[>q",
  "kitty keyboard flags": "\x1b[?u",
  "window size in cells": "\x1b[18t",
  DECRQSS: "\x1bP$qm\x1b\\",
  XTGETTCAP: "\x1bP+q544e\x1b\\",
  foreground: "\x1b]10;?\x1b\\",
  background: "\x1b]11;?\x07",
  cursor: "\x1b]12;?\x07",
  palette: "\x1b]4;1;?\x07",
};

describe("queries that the holder answers", () => {
  it.each(Object.entries(queries))("%s: the viewer keeps quiet, also while leading", async (_name, query) => {
    mayAnswer = true;
    await print(query);
    expect(answers).toEqual([]);
  });

  it("would be answered by xterm.js otherwise", async () => {
    const talkative = new Terminal({ allowProposedApi: true });
    const said: string[] = [];
    talkative.onData((data) => said.push(data));
    await new Promise<void>((done) => talkative.write("\x1b[c\x1b[5n\x1b[?2026$p", done));
    expect(said).toHaveLength(3);
  });
});

describe("cursor position", () => {
  it.each(["\x1b[6n", "\x1b[?6n"])("%j is answered by the leading viewer only", async (query) => {
    await print(`ab${query}`);
    expect(answers).toEqual([]);
    mayAnswer = true;
    await print(query);
    expect(answers).toHaveLength(1);
    expect(answers[0]).toMatch(/1;3R$/);
  });

  it("asks at the moment of the query whether it may", async () => {
    terminal.write("\x1b[6n");
    terminal.write("", () => (mayAnswer = true));
    await print("\x1b[6n");
    expect(answers).toHaveLength(1);
  });
});

describe("what is not a question", () => {
  it("still reaches the terminal", async () => {
    await print("\x1b[?2004h\x1b[?1003h\x1b[?2026h\x1b[?2026l\x1b[>1u\x1b]0;title\x07");
    expect(terminal.modes.bracketedPasteMode).toBe(true);
    expect(terminal.modes.mouseTrackingMode).toBe("any");
    expect(answers).toEqual([]);
  });
});
