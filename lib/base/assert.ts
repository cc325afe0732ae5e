/** Invariants, always on: a broken one ends the process rather than the data. */
import { InvariantError } from "./errors.ts";

/**
 * Checks that `condition` holds.
 *
 * @throws InvariantError with `message` when it does not.
 */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvariantError(message);
}

/** Marks a branch the types prove unreachable; throws InvariantError if a value gets there all the same. */
export function unreachable(value: never): never {
  throw new InvariantError(`unreachable: ${String(value)}`);
}
