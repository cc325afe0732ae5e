/**
 * A conversation, line by line: history, editing and completion at a terminal; plain lines in a pipe.
 *
 * In a pipe nothing is prompted for, so that a script sees results only.
 */
import { createInterface } from "node:readline/promises";
import process from "node:process";
import { DsmError } from "../base/errors.ts";
import { say } from "./output.ts";

/** What a conversation is about. */
export interface Conversation {
  /** Shown before each line at a terminal. */
  readonly prompt: string;
  /** Words completed at the beginning of a line. */
  readonly words: readonly string[];
  /**
   * Carries out one line, as it was typed; `ask` reads a further one.
   *
   * @returns "over" to end.
   */
  onLine(line: string, ask: (question: string) => Promise<string>): Promise<"over" | void>;
}

/** No more lines are there to be read. */
class EndOfInput extends Error {}

/**
 * Talks until the input ends or `onLine` says so. An error of dsm's is told, and the conversation goes on.
 *
 * @returns how many lines failed.
 */
export async function converse(conversation: Conversation): Promise<number> {
  const isTerminal = Deno.stdin.isTerminal();
  const readline = createInterface({
    input: process.stdin,
    ...(isTerminal ? { output: process.stdout } : {}),
    terminal: isTerminal,
    historySize: 1000,
    completer: (line: string): [string[], string] => {
      const hits = conversation.words.filter((word) => word.startsWith(line));
      return [hits.length > 0 ? hits : [...conversation.words], line];
    },
  });
  const lines = readline[Symbol.asyncIterator]();
  const ask = async (question: string): Promise<string> => {
    if (isTerminal) {
      readline.setPrompt(question);
      readline.prompt();
    }
    const { value, done } = await lines.next();
    if (done) throw new EndOfInput();
    return value as string;
  };
  let failures = 0;
  try {
    for (;;) {
      const line = await ask(conversation.prompt);
      if (line.trim() === "") continue;
      try {
        if (await conversation.onLine(line, ask) === "over") return failures;
      } catch (error) {
        if (!(error instanceof DsmError)) throw error;
        failures++;
        say(`dsm: ${error.message}`);
      }
    }
  } catch (error) {
    if (!(error instanceof EndOfInput)) throw error;
    return failures;
  } finally {
    readline.close();
  }
}
