/**
 * What every benchmark program understands on its command line.
 *
 *     --rounds N      A B pairs per row (5)
 *     --only REGEX    only rows whose name matches
 *     --quick         one short round: does it run, not how fast is it
 *     --json          an array of flat objects instead of the table
 */

/** How the benchmarks are to be run. */
export interface Settings {
  /** A B pairs per row. */
  readonly rounds: number;
  /** Rows whose name does not match are left out. */
  readonly only: RegExp;
  /** Seconds one run of a load generator measures. */
  readonly seconds: number;
  /** Whether the result is only looked at for running at all. */
  readonly quick: boolean;
  /** Whether stdout gets JSON. */
  readonly json: boolean;
}

/** A wrong command line; the exit status is 2. */
export class SettingsError extends Error {}

const ROUNDS_MAX = 1000;

function parseRounds(text: string | undefined): number {
  const rounds = Number(text);
  if (text !== undefined && Number.isInteger(rounds) && rounds >= 1 && rounds <= ROUNDS_MAX) return rounds;
  throw new SettingsError(`--rounds takes a number from 1 to ${ROUNDS_MAX}`);
}

function parsePattern(text: string | undefined): RegExp {
  if (text === undefined) throw new SettingsError("--only takes a regular expression");
  try {
    return new RegExp(text, "i");
  } catch (cause) {
    throw new SettingsError(`--only: ${(cause as Error).message}`, { cause });
  }
}

/** Reads the command line. @throws SettingsError */
export function parseSettings(words: readonly string[]): Settings {
  let rounds: number | undefined;
  let only = /(?:)/;
  let quick = false;
  let json = false;
  for (let i = 0; i < words.length; i++) {
    const [name, attached] = splitOnce(words[i] as string);
    const value = (): string | undefined => attached ?? words[++i];
    if (name === "--rounds") rounds = parseRounds(value());
    else if (name === "--only") only = parsePattern(value());
    else if (name === "--quick") quick = true;
    else if (name === "--json") json = true;
    else throw new SettingsError(`unknown option ${name}; there are --rounds N, --only REGEX, --quick and --json`);
  }
  return { rounds: rounds ?? (quick ? 1 : 5), only, quick, json, seconds: quick ? 0.2 : 1 };
}

function splitOnce(word: string): [string, string | undefined] {
  const at = word.indexOf("=");
  return at === -1 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}
