/** Asking before something is overwritten. */
import { UsageError } from "../../lib/base/errors.ts";
import { say } from "../../lib/cli/output.ts";

const LINE_SIZE_MAX = 256;

/**
 * Makes sure that somebody can be asked at all.
 *
 * @throws UsageError when nobody sits at standard input.
 */
export function requireSomebody(what: string): void {
  if (!Deno.stdin.isTerminal()) throw new UsageError(`${what}; nobody is here to be asked: confirm it with --yes`);
}

/** Asks on stderr and reads a line; only `y` and `yes` are a yes. */
export function isConfirmed(question: string): boolean {
  say(`${question} [y/N]`);
  const line = new Uint8Array(LINE_SIZE_MAX);
  const size = Deno.stdin.readSync(line) ?? 0;
  return /^y(es)?\s*$/i.test(new TextDecoder().decode(line.subarray(0, size)));
}
