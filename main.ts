/**
 * The executable: argv to roles/table.ts, errors to a line and an exit status.
 *
 * The only caller of Deno.exit. A user sees a stack only with `--debug`.
 */
import { DsmError, InvariantError, UsageError } from "./lib/base/errors.ts";
import { invokedName } from "./lib/cli/executable.ts";
import { say } from "./lib/cli/output.ts";
import { EXIT_USAGE, runProgram } from "./lib/cli/run.ts";
import { argvUnder, PROGRAM } from "./roles/table.ts";

const EXIT_FAILED = 1;

async function main(): Promise<number> {
  let debug = false;
  try {
    return await runProgram(PROGRAM, argvUnder(invokedName(), Deno.args), {
      env: (name) => Deno.env.get(name),
      prepare: (shared) => {
        debug = shared.debug;
      },
    });
  } catch (error) {
    // whoever read our output has seen enough: `dsm ... | head`
    if (error instanceof Deno.errors.BrokenPipe) return 0;
    say(`${PROGRAM.name}: ${describe(error, debug)}`);
    return error instanceof UsageError ? EXIT_USAGE : EXIT_FAILED;
  }
}

function describe(error: unknown, debug: boolean): string {
  if (debug && error instanceof Error && error.stack !== undefined) return withCauses(error);
  if (error instanceof DsmError && !(error instanceof InvariantError)) return error.message;
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return `a bug in dsm: ${message} (--debug shows where; please report it)`;
}

function withCauses(error: Error): string {
  return error.cause instanceof Error
    ? `${error.stack}\ncaused by ${withCauses(error.cause)}`
    : error.stack ?? error.message;
}

if (import.meta.main) Deno.exit(await main());
