/** Rows that nobody vouches for, read field by field: what is wrong is said by the row's name and the field's. */
import { CheckpointError } from "../../base/errors.ts";

/** The largest key, uid, gid and mode. */
export const WORD_MAX = 0xffff_ffff;

/** @throws CheckpointError where two of `rows` have the same value as `field`. */
export function requireDistinct(rows: string, field: string, values: readonly number[]): void {
  if (new Set(values).size !== values.length) throw new CheckpointError(`two ${rows} have the same ${field}`);
}

/** An object of which nothing is known, and its fields. */
export class Row {
  readonly #what: string;
  readonly #fields: Readonly<Record<string, unknown>>;

  /**
   * Takes `row` for a row.
   *
   * @param what the row is of, for the errors.
   * @throws CheckpointError: it is no object.
   */
  constructor(what: string, row: unknown) {
    this.#what = what;
    this.#fields = typeof row === "object" && row !== null ? row as Readonly<Record<string, unknown>> : {};
    if (row !== this.#fields) throw new CheckpointError(`${what} is no row`);
    const id = this.#fields["id"] ?? this.#fields["number"];
    if (typeof id === "number") this.#what = `${what} (${id})`;
  }

  /** @throws CheckpointError that says `problem` unless `condition`. */
  require(condition: boolean, problem: string): void {
    if (!condition) throw new CheckpointError(`${this.#what} ${problem}`);
  }

  /** Whether there is null under that name. */
  isNull(name: string): boolean {
    return this.#fields[name] === null;
  }

  /** The whole number under that name, from `first` to `last`. @throws CheckpointError: there is none. */
  whole(name: string, first = 0, last = Number.MAX_SAFE_INTEGER): number {
    const value = this.#fields[name];
    const isWhole = typeof value === "number" && Number.isSafeInteger(value) && value >= first && value <= last;
    this.require(isWhole, `has no whole number from ${first} to ${last} as ${name}`);
    return value as number;
  }

  /** The text under that name, which is not empty. @throws CheckpointError: there is none. */
  text(name: string): string {
    const value = this.#fields[name];
    this.require(typeof value === "string" && value !== "", `has no text as ${name}`);
    return value as string;
  }

  /** The same, one of `choices`. @throws CheckpointError: it is none of them. */
  oneOf(name: string, choices: readonly string[]): string {
    const value = this.text(name);
    this.require(choices.includes(value), `has ${JSON.stringify(value)} as ${name}, not ${choices.join(" or ")}`);
    return value;
  }

  /** The bytes under that name. @throws CheckpointError: there are none. */
  bytes(name: string): Uint8Array<ArrayBuffer> {
    const value = this.#fields[name];
    this.require(value instanceof Uint8Array, `has no bytes as ${name}`);
    return value as Uint8Array<ArrayBuffer>;
  }

  /** The list under that name. @throws CheckpointError: there is none. */
  list(name: string): readonly unknown[] {
    const value = this.#fields[name];
    this.require(Array.isArray(value), `has no list as ${name}`);
    return value as unknown[];
  }
}
