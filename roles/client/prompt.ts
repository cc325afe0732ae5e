/** The client's prompt: the ancestor's `r`, `w` and `q`, and the commands of the command line. */
import { UsageError } from "../../lib/base/errors.ts";
import { bytesToText } from "../../lib/cli/bytes.ts";
import { print } from "../../lib/cli/output.ts";
import { converse } from "../../lib/cli/repl.ts";
import { nearest } from "../../lib/cli/suggest.ts";
import type { Cluster } from "../../lib/node/cluster/cluster.ts";
import { printInfo, sizeOf } from "./actions.ts";

const HELP = `r [START END]          read, asking for what is not given; END is exclusive
w [START END TEXT]     write a text of exactly END - START bytes
read START END         the same as r
write START TEXT       write a text
fill START END BYTE    set every byte to BYTE (0 to 255, or one character)
info                   the servers
help                   this
q                      leave`;

const WORDS = ["read", "write", "fill", "info", "help", "quit"];

type Ask = (question: string) => Promise<string>;

function position(text: string | undefined, name: string): number {
  if (text === undefined || !/^\d+$/.test(text)) {
    throw new UsageError(`${name} is a number of bytes, 0 or more, not ${text === undefined ? "nothing" : text}`);
  }
  return Number(text);
}

async function range(words: readonly string[], ask: Ask): Promise<{ start: number; end: number }> {
  const start = position(words[0] ?? (await ask("start: ")).trim(), "START");
  const end = position(words[1] ?? (await ask("end: ")).trim(), "END");
  sizeOf(start, end);
  return { start, end };
}

/** What is left of `line` after `count` words and the blank behind them. */
function textAfter(line: string, count: number): string {
  const pattern = new RegExp(`^\\s*(?:\\S+\\s+){${count - 1}}\\S+\\s?`);
  return line.replace(pattern, "");
}

async function read(cluster: Cluster, words: readonly string[], ask: Ask): Promise<void> {
  const { start, end } = await range(words, ask);
  print(bytesToText(await cluster.read(start, end - start)));
}

async function writeRange(cluster: Cluster, line: string, words: readonly string[], ask: Ask): Promise<void> {
  const { start, end } = await range(words, ask);
  const text = new TextEncoder().encode(words.length > 2 ? textAfter(line, 3) : await ask("text: "));
  if (text.length !== end - start) {
    throw new UsageError(
      `the text has ${text.length} bytes, from ${start} to ${end} are ${end - start}; nothing was written`,
    );
  }
  await cluster.write(start, text);
}

async function onLine(cluster: Cluster, line: string, ask: Ask): Promise<"over" | void> {
  const [word = "", ...words] = line.trim().split(/\s+/);
  switch (word) {
    case "r":
    case "read":
      return await read(cluster, words, ask);
    case "w":
      return await writeRange(cluster, line, words, ask);
    case "write": {
      if (words.length < 2) throw new UsageError("write what? write START TEXT");
      return await cluster.write(position(words[0], "START"), new TextEncoder().encode(textAfter(line, 2)));
    }
    case "fill": {
      const [start, end] = [position(words[0], "START"), position(words[1], "END")];
      return await cluster.fill(start, sizeOf(start, end), parseByte(words[2] ?? ""));
    }
    case "info":
      return await printInfo(cluster, false);
    case "help":
    case "?":
      return print(HELP);
    case "q":
    case "quit":
    case "exit":
      return "over";
    default: {
      const near = nearest(word, WORDS);
      throw new UsageError(`no command ${word}${near ? `; did you mean ${near}?` : "; help lists them"}`);
    }
  }
}

/** A byte from a number or one character. @throws UsageError. */
export function parseByte(text: string): number {
  if (/^\d+$/.test(text) && Number(text) <= 255) return Number(text);
  if (text.length === 1 && text.charCodeAt(0) <= 255) return text.charCodeAt(0);
  throw new UsageError(`a byte is one character or a number from 0 to 255, not ${text === "" ? "nothing" : text}`);
}

/** Talks until the input ends. Returns how many lines failed. */
export async function prompt(cluster: Cluster): Promise<number> {
  return await converse({ prompt: "dsm> ", words: WORDS, onLine: (line, ask) => onLine(cluster, line, ask) });
}
