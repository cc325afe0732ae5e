/**
 * From argv to values, by a command's declaration.
 *
 *   - Options come before and after positional arguments; `--` ends them.
 *   - A word that begins with `-` and a digit is a value, so that `-5` reaches its own check.
 *   - Where a command has a rest, everything after its last declared argument belongs to it, untouched.
 *   - A flag wins over the environment, the environment over the default; of a flag given twice, the last wins,
 *     unless it was declared as one that may be given many times.
 */
import { parseArgs } from "@std/cli/parse-args";
import { UsageError } from "../base/errors.ts";
import {
  type Command,
  isNegatable,
  kebab,
  mayBeOmitted,
  optionsOf,
  type Param,
  type Params,
  type Values,
} from "./command.ts";
import { SHARED, type Shared } from "./shared.ts";
import { hint } from "./suggest.ts";
import { parseValue } from "./values.ts";

/** Where environment variables come from. */
export type Environment = (name: string) => string | undefined;

/** What a command's `run` is called with. */
export interface Parsed {
  /** The positional arguments by name, and the rest. */
  readonly args: Readonly<Record<string, unknown>>;
  /** The command's own options. */
  readonly options: Readonly<Record<string, unknown>>;
  /** The options of every command. */
  readonly shared: Shared;
}

/** A command line taken apart: flags as `-x`, `--name` or `--name=value`. */
export interface Split {
  /** The flags, each with its value. */
  readonly flags: readonly string[];
  /** The positional arguments. */
  readonly positionals: readonly string[];
  /** What follows the last positional argument that was asked for. */
  readonly rest: readonly string[];
}

/** Takes `argv` apart, with at most `positionalCountMax` positional arguments before the rest. */
export function split(argv: readonly string[], options: Params, positionalCountMax = Infinity): Split {
  const flags: string[] = [];
  const positionals: string[] = [];
  let index = 0;
  let optionsEnded = false;
  for (; index < argv.length; index++) {
    const word = argv[index] ?? "";
    if (word === "--" && !optionsEnded) {
      optionsEnded = true;
    } else if (!optionsEnded && isFlag(word)) {
      const flag = joinFlag(word, argv[index + 1], options);
      flags.push(flag.joined);
      if (flag.tookNext) index++;
    } else if (positionals.length < positionalCountMax) {
      positionals.push(word);
    } else {
      break;
    }
  }
  return { flags, positionals, rest: argv.slice(index) };
}

/** The index of the first word of `argv` that is neither an option nor an option's value; -1 where there is none. */
export function firstPositional(argv: readonly string[], options: Params): number {
  for (let index = 0; index < argv.length; index++) {
    const word = argv[index] ?? "";
    if (word === "--") return -1;
    if (!isFlag(word)) return index;
    if (joinFlag(word, argv[index + 1], options).tookNext) index++;
  }
  return -1;
}

/** The values of `command` in `argv`, which no longer holds the command's own name. */
export function parse(command: Command, argv: readonly string[], env: Environment): Parsed {
  const declared = Object.entries(command.args);
  const words = splitFor(command, argv);
  const surplus = words.positionals[declared.length];
  if (surplus !== undefined) throw new UsageError(surplusMessage(command, surplus));
  const args = Object.fromEntries(
    declared.map(([name, param], index) => [
      name,
      valueOf(param, words.positionals[index], kebab(name).toUpperCase(), env),
    ]),
  );
  if (command.rest !== undefined) args[command.rest.name] = words.rest;
  const given = flagValues(words.flags, optionsOf(command));
  return {
    args,
    options: optionValues(command.options, given, env),
    shared: optionValues(SHARED, given, env) as unknown as Shared,
  };
}

/** What is asked for in place of the command's work, whatever else is wrong with `argv`. */
export function asksFor(command: Command, argv: readonly string[]): "help" | "version" | undefined {
  const { flags } = splitFor(command, argv);
  const given = flagValues(flags, optionsOf(command));
  if (given["help"] === true) return "help";
  return given["version"] === true ? "version" : undefined;
}

function splitFor(command: Command, argv: readonly string[]): Split {
  const countMax = command.rest === undefined ? Infinity : Object.keys(command.args).length;
  return split(argv, optionsOf(command), countMax);
}

function isFlag(word: string): boolean {
  return /^-[^\d.]/.test(word);
}

/** `word` with the value that `next` may be, as one word that needs no lookahead. */
function joinFlag(word: string, next: string | undefined, options: Params): { joined: string; tookNext: boolean } {
  if (!word.startsWith("--")) return joinLetters(word, next, options);
  const equals = word.indexOf("=");
  const flag = equals < 0 ? word : word.slice(0, equals);
  const param = paramOf(flag, options);
  if (param.kind === "boolean") {
    if (equals >= 0) throw new UsageError(`${flag} takes no value`);
    return { joined: word, tookNext: false };
  }
  return equals >= 0
    ? { joined: word, tookNext: false }
    : { joined: `${flag}=${valueAfter(flag, next)}`, tookNext: true };
}

/** The same for `-d`, `-dv` (two booleans), `-n5` and `-n 5`. */
function joinLetters(word: string, next: string | undefined, options: Params): { joined: string; tookNext: boolean } {
  const letters = [...word.slice(1)];
  for (const [index, letter] of letters.entries()) {
    const [name, param] = Object.entries(options).find(([, each]) => each.short === letter) ?? [];
    if (name === undefined || param === undefined) throw new UsageError(`no option -${letter}`);
    if (param.kind === "boolean") continue;
    if (index > 0) throw new UsageError(`-${letter} needs a value: write it apart from -${letters[0]}`);
    const attached = word.slice(2).replace(/^=/, "");
    return attached === ""
      ? { joined: `--${kebab(name)}=${valueAfter(`-${letter}`, next)}`, tookNext: true }
      : { joined: `--${kebab(name)}=${attached}`, tookNext: false };
  }
  return { joined: word, tookNext: false };
}

function valueAfter(flag: string, next: string | undefined): string {
  if (next === undefined || /^--/.test(next)) throw new UsageError(`${flag} needs a value`);
  return next;
}

function paramOf(flag: string, options: Params): Param {
  const known = flagsOf(options);
  const param = known.get(flag);
  if (param === undefined) throw new UsageError(`no option ${flag}${hint(flag, [...known.keys()])}`);
  return param;
}

/** What each long flag means; a boolean that is on by default has a second one that turns it off. */
function flagsOf(options: Params): Map<string, Param> {
  return new Map(
    Object.entries(options).flatMap(([name, param]) => {
      const flags: [string, Param][] = [[`--${kebab(name)}`, param]];
      if (isNegatable(param)) flags.push([`--no-${kebab(name)}`, param]);
      return flags;
    }),
  );
}

/** What the flags say, by the option's name as it is typed; booleans that no flag names are absent. */
function flagValues(flags: readonly string[], options: Params): Readonly<Record<string, unknown>> {
  const entries = Object.entries(options);
  const namesWhere = (matches: (param: Param) => boolean) =>
    entries.flatMap(([name, param]) => matches(param) ? [kebab(name)] : []);
  const lists = namesWhere((param) => param.many === true).map((name) => [name, valuesOf(`--${name}=`, flags)]);
  const last = parseArgs(flags, {
    string: namesWhere((param) => param.kind !== "boolean"),
    boolean: namesWhere((param) => param.kind === "boolean"),
    negatable: namesWhere(isNegatable),
    alias: Object.fromEntries(
      entries.flatMap(([name, { short }]) => short === undefined ? [] : [[short, kebab(name)]]),
    ),
    default: Object.fromEntries(entries.map(([name]) => [kebab(name), undefined])),
  });
  return { ...last, ...Object.fromEntries(lists) };
}

/** What follows `prefix` in the flags that begin with it. */
function valuesOf(prefix: string, flags: readonly string[]): string[] {
  return flags.flatMap((flag) => flag.startsWith(prefix) ? [flag.slice(prefix.length)] : []);
}

function optionValues(options: Params, given: Readonly<Record<string, unknown>>, env: Environment): Values<Params> {
  const values = Object.entries(options).map(([name, param]) => {
    const flag = given[kebab(name)];
    const subject = `--${kebab(name)}`;
    if (typeof flag === "boolean") return [name, flag];
    if (param.many) return [name, Array.isArray(flag) ? flag.map((each) => parseValue(param, each, subject)) : []];
    return [name, valueOf(param, typeof flag === "string" ? flag : undefined, subject, env)];
  });
  return Object.fromEntries(values);
}

/** The value of `param`: what was typed, else the environment's, else the default. */
function valueOf(param: Param, typed: string | undefined, subject: string, env: Environment): unknown {
  if (typed !== undefined) return parseValue(param, typed, subject);
  const inherited = param.env === undefined ? undefined : env(param.env);
  if (param.env !== undefined && inherited !== undefined && inherited !== "") {
    return parseValue(param, inherited, param.env);
  }
  if (!mayBeOmitted(param)) throw new UsageError(`${subject} is missing`);
  return param.default ?? (param.kind === "boolean" ? false : undefined);
}

function surplusMessage(command: Command, word: string): string {
  if (command.subcommands.length === 0 || Object.keys(command.args).length > 0) return `unexpected argument ${word}`;
  return `no subcommand ${word}${hint(word, command.subcommands.map((each) => each.name))}`;
}
