/** Words of a command as a person types it: quotes group, a backslash takes the next character as it is. */

export class CommandLineError extends Error {
  override readonly name = "CommandLineError";
}

/**
 * Split as a shell would, without any of its expansions: the words are started as they are.
 *
 * @throws CommandLineError on an open quote or a backslash at the end.
 */
export function splitCommand(line: string): string[] {
  const words: string[] = [];
  let word: string | null = null;
  let quote: "'" | '"' | null = null;
  for (let i = 0; i < line.length; i += 1) {
    const char = line.charAt(i);
    if (char === "\\" && quote !== "'") {
      const next = line[i + 1];
      if (next === undefined) throw new CommandLineError("The command ends with a backslash.");
      // Inside double quotes a backslash is itself, unless it protects a quote or a backslash.
      word = (word ?? "") + (quote === '"' && next !== '"' && next !== "\\" ? `\\${next}` : next);
      i += 1;
    } else if (quote) {
      if (char === quote) quote = null;
      else word = (word ?? "") + char;
    } else if (char === "'" || char === '"') {
      quote = char;
      word ??= "";
    } else if (/\s/.test(char)) {
      if (word !== null) words.push(word);
      word = null;
    } else {
      word = (word ?? "") + char;
    }
  }
  if (quote) throw new CommandLineError(`A quote (${quote}) is not closed.`);
  if (word !== null) words.push(word);
  return words;
}

/** The line that `splitCommand` reads back as `words`. */
export function joinCommand(words: readonly string[]): string {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(" ");
}
