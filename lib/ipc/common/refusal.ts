/** The errors of the calls, all in one form: what was being done, to what, and what to do next. */
import type { ERRNO } from "../../base/errno.ts";
import { SystemError } from "../../base/errors.ts";

/**
 * The error of a call that is refused.
 *
 * @param call such as `shmget`.
 * @param code the errno.
 * @param what was being done: `attach segment 5`.
 * @param next what the user may do.
 */
export function refusal(call: string, code: keyof typeof ERRNO, what: string, next: string): SystemError {
  return new SystemError(call, code, `cannot ${what}: ${code}; ${next}`);
}

/** A key as `ipcs` shows it: `0x000004d2`. */
export function keyText(key: number): string {
  return `0x${key.toString(16).padStart(8, "0")}`;
}
