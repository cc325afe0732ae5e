/**
 * From argv to a finished command: finds it, answers `--help` and `--version`, parses, runs.
 *
 * A UsageError, from the parser or from the command itself, leaves here with a pointer to the help that would have told.
 */
import { UsageError } from "../base/errors.ts";
import { type Command, optionsOf, type Program } from "./command.ts";
import { commandHelp, programHelp } from "./help.ts";
import { print, say } from "./output.ts";
import { asksFor, type Environment, firstPositional, parse } from "./parse.ts";
import type { Shared } from "./shared.ts";
import { hint } from "./suggest.ts";

/** The exit status of a mistake on the command line. */
export const EXIT_USAGE = 2;
/** The exit status when nothing came before `--wait` ended. */
export const EXIT_NOTHING_CAME = 3;

/** What {@linkcode runProgram} may be told beside argv. */
export interface RunOptions {
  /** Where environment variables come from. */
  readonly env: Environment;
  /** Called with the shared options just before the command runs: the place to set up logging. */
  readonly prepare?: (shared: Shared) => void;
}

/**
 * Runs the command that `argv` names and returns its exit status.
 *
 * @throws UsageError ending in `(see … --help)`, and whatever the command throws.
 */
export async function runProgram(program: Program, argv: readonly string[], options: RunOptions): Promise<number> {
  const found = { path: [program.name], command: rootOf(program), argv };
  try {
    while (descend(found, program));
    const wanted = asksFor(found.command, found.argv);
    if (wanted === "version") return answer(`${program.name} ${program.version}`);
    if (wanted === "help") return answer(helpOf(program, found));
    return await execute(program, found, options);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`${error.message} (see ${found.path.join(" ")} --help)`);
  }
}

/** A command on the way down from the program: its names, and the words of argv that are left for it. */
interface Found {
  path: string[];
  command: Command;
  argv: readonly string[];
}

/** The program as a command whose subcommands are its commands. */
function rootOf({ name, about, examples, commands }: Program): Command {
  return {
    name,
    about,
    examples,
    details: "",
    args: {},
    options: {},
    rest: undefined,
    subcommands: commands,
    run: undefined,
  };
}

/** Moves `found` one command down where its argv names one; false where it does not. */
function descend(found: Found, program: Program): boolean {
  const index = firstPositional(found.argv, optionsOf(found.command));
  const word = found.argv[index];
  if (word === undefined) return false;
  const others = found.argv.toSpliced(index, 1);
  const next = found.command.subcommands.find((each) => each.name === word);
  if (next !== undefined) {
    found.path.push(word);
    found.command = next;
    found.argv = others;
    return true;
  }
  if (found.path.length > 1) return false;
  if (word !== "help") throw new UsageError(`no command ${word}${hint(word, namesOf(program))}`);
  found.argv = [...others, "--help"];
  return true;
}

function namesOf(program: Program): string[] {
  return [...program.commands.map((each) => each.name), "help"];
}

async function execute(program: Program, found: Found, { env, prepare }: RunOptions): Promise<number> {
  const { command, argv } = found;
  const { args, options, shared } = parse(command, argv, env);
  if (command.run === undefined) {
    say(helpOf(program, found));
    return EXIT_USAGE;
  }
  prepare?.(shared);
  return await command.run(args, options, shared);
}

function helpOf(program: Program, { path, command }: Found): string {
  return path.length === 1 ? programHelp(program) : commandHelp(path, command);
}

function answer(text: string): number {
  print(text);
  return 0;
}
