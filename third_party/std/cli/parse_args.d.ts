/** What {@linkcode parseArgs} is told about the flags; the part of the genuine options that dsm uses. */
export interface ParseOptions {
  /** Flags whose value is text. `"_"` among them leaves positional arguments as they were typed. */
  string?: readonly string[];
  /** Flags that take no value. */
  boolean?: readonly string[];
  /** Flags that `--no-NAME` turns off. */
  negatable?: readonly string[];
  /** Other names of a flag, such as its letter. */
  alias?: Record<string, string | readonly string[]>;
  /** The values of flags that were not given. */
  default?: Record<string, unknown>;
  /** Whether everything after the first positional argument is positional too. */
  stopEarly?: boolean;
  /** Called for what was not declared. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/** The flags by name, and the positional arguments as `_`. */
export interface Args {
  [flag: string]: unknown;
  _: (string | number)[];
}

/** Parses a command line. */
export function parseArgs(args: readonly string[], options?: ParseOptions): Args;
