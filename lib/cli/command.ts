/**
 * Declaring a command: its arguments, options and subcommands as data, its work as `run`.
 *
 *   - The types of what `run` receives follow from the declaration; nothing is cast in a role.
 *   - Parsing, help and completions all read the same declaration; there is no second description of a command.
 *   - Names are camelCase in the declaration and kebab-case on the command line: `blockSize` is `--block-size`.
 */
import { invariant } from "../base/assert.ts";
import type { Endpoint } from "../base/units.ts";
import { HELP_AND_VERSION, SHARED, type Shared } from "./shared.ts";

/** The kinds of value, and what `run` receives for each. */
export interface ValueOf {
  /** Any text. */
  string: string;
  /** A whole number, 0 or more unless `min` says otherwise. */
  integer: number;
  /** Any finite number. */
  number: number;
  /** A flag without a value; one whose default is true is turned off by `--no-NAME`. */
  boolean: boolean;
  /** Bytes, from `4KiB`. */
  size: number;
  /** Milliseconds, from `100s`. */
  time: number;
  /** A System V key, unsigned, from decimal or `0x…`. */
  key: number;
  /** Permission bits, from `0644`. */
  mode: number;
  /** 0 to 65535. */
  port: number;
  /** Where something listens, from `host:port`. */
  endpoint: Endpoint;
}

/** The name of a kind of value. */
export type Kind = keyof ValueOf;

/** One argument or option of kind `K`. It must be given unless it has a default, is optional, or is a boolean. */
export interface ParamOf<K extends Kind> {
  /** What is expected. */
  readonly kind: K;
  /** One line for the help. */
  readonly about: string;
  /** The value when none is given. */
  readonly default?: ValueOf[K];
  /** Whether `undefined` is a value too. */
  readonly optional?: boolean;
  /** Whether an option may be given several times, or not at all: its value is a list. Such a one has no default. */
  readonly many?: true;
  /** An option's letter: `d` for `-d`. */
  readonly short?: string;
  /** The only texts allowed; for kind `string`. */
  readonly choices?: readonly string[];
  /** The smallest value allowed; for numbers, in the kind's unit. */
  readonly min?: number;
  /** The largest value allowed; for numbers, in the kind's unit. */
  readonly max?: number;
  /** The environment variable that is asked when the option is not given. */
  readonly env?: string;
}

/** One argument or option. */
export type Param = { [K in Kind]: ParamOf<K> }[Kind];

/** Arguments in their order, or options. */
export type Params = Readonly<Record<string, Param>>;

/** All arguments after the declared ones, as they were typed; no option is looked for among them. */
export interface Rest<N extends string = string> {
  /** The name under which `run` finds them. */
  readonly name: N;
  /** One line for the help. */
  readonly about: string;
}

type Value<P extends Param> = P extends { choices: readonly (infer C)[] } ? C : ValueOf[P["kind"]];

/** What `run` receives for `P`. */
export type Values<P extends Params> = {
  readonly [N in keyof P]: P[N] extends { many: true } ? readonly Value<P[N]>[]
    : P[N] extends { default: unknown } | { kind: "boolean" } ? Value<P[N]>
    : P[N] extends { optional: true } ? Value<P[N]> | undefined
    : Value<P[N]>;
};

type RestValues<R extends Rest | undefined> = R extends Rest<infer N> ? { readonly [K in N]: readonly string[] }
  : unknown;

/** A command line, and what it does. */
export type Example = readonly [commandLine: string, about: string];

/** What {@linkcode command} takes. */
export interface Declaration<A extends Params, O extends Params, R extends Rest | undefined> {
  /** The word that names it. */
  readonly name: string;
  /** One line for the help. */
  readonly about: string;
  /** More for its own help: paragraphs, already broken into lines. */
  readonly details?: string;
  /** Shown first in the help; each begins with the program's name. */
  readonly examples?: readonly Example[];
  /** Positional arguments in order. */
  readonly args?: A;
  /** Its options, beside those every command has. */
  readonly options?: O;
  /** Where all remaining arguments go. */
  readonly rest?: R;
  /** Commands below this one; `run` is for when none of them is named. */
  readonly subcommands?: readonly Command[];
  /** Does the work and returns the exit status. */
  run?(args: Values<A> & RestValues<R>, options: Values<O>, shared: Shared): number | Promise<number>;
}

/** A declared command, its types checked and forgotten. */
export interface Command {
  /** The word that names it. */
  readonly name: string;
  /** One line for the help. */
  readonly about: string;
  /** More for its own help. */
  readonly details: string;
  /** Shown first in the help. */
  readonly examples: readonly Example[];
  /** Positional arguments in order. */
  readonly args: Params;
  /** Its options, beside those every command has. */
  readonly options: Params;
  /** Where all remaining arguments go. */
  readonly rest: Rest | undefined;
  /** Commands below this one. */
  readonly subcommands: readonly Command[];
  /** Does the work and returns the exit status; undefined where only the subcommands do anything. */
  readonly run: Run | undefined;
}

/** The work of a command, for the layer that has parsed what it declared. */
export type Run = (
  args: Readonly<Record<string, unknown>>,
  options: Readonly<Record<string, unknown>>,
  shared: Shared,
) => number | Promise<number>;

/** A program: its commands, and what its help begins with. */
export interface Program {
  /** The executable's name. */
  readonly name: string;
  /** As in deno.json. */
  readonly version: string;
  /** One line for the help. */
  readonly about: string;
  /** Shown first in the help. */
  readonly examples: readonly Example[];
  /** In the order of the help. */
  readonly commands: readonly Command[];
}

/** Declares a command; throws InvariantError where the declaration contradicts itself. */
export function command<
  const A extends Params = Record<never, never>,
  const O extends Params = Record<never, never>,
  const R extends Rest | undefined = undefined,
>(declaration: Declaration<A, O, R>): Command {
  const { name, about, details = "", examples = [], args = {}, options = {}, rest, subcommands = [], run } =
    declaration;
  const declared: Command = {
    name,
    about,
    details,
    examples,
    args,
    options,
    rest,
    subcommands,
    // the parser gives `run` exactly the values the declaration promises
    run: run?.bind(declaration) as Run | undefined,
  };
  checkDeclaration(declared);
  return declared;
}

/** The name of an option or argument as it is typed: `blockSize` is `block-size`. */
export function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** Whether `param` may be left out. */
export function mayBeOmitted(param: Param): boolean {
  return param.kind === "boolean" || param.optional === true || param.many === true || param.default !== undefined;
}

/** Whether `--no-NAME` turns `param` off. */
export function isNegatable(param: Param): boolean {
  return param.kind === "boolean" && param.default === true;
}

/** The options a command understands: its own, and those of every command. */
export function optionsOf(command: Pick<Command, "options">): Params {
  return { ...command.options, ...SHARED, ...HELP_AND_VERSION };
}

function checkDeclaration({ name, args, options, run, subcommands }: Command): void {
  invariant(run !== undefined || subcommands.length > 0, `command ${name} does nothing`);
  const letters = Object.values(optionsOf({ options })).flatMap((param) => param.short ?? []);
  invariant(new Set(letters).size === letters.length, `command ${name} gives one letter to two options`);
  for (const option of Object.keys(options)) {
    invariant(!(option in SHARED) && !(option in HELP_AND_VERSION), `command ${name} redeclares --${kebab(option)}`);
  }
  invariant(!Object.values(args).some((param) => param.many), `command ${name} has an argument that is a list`);
  for (const [option, { many, kind, default: value, env }] of Object.entries(options)) {
    const isPlainList = kind !== "boolean" && value === undefined && env === undefined;
    invariant(!many || isPlainList, `--${kebab(option)} of command ${name} is a list and something else`);
  }
  const omissible = Object.values(args).map(mayBeOmitted);
  invariant(
    !omissible.includes(true) || !omissible.slice(omissible.indexOf(true)).includes(false),
    `command ${name} has a required argument after an optional one`,
  );
}
