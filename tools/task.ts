/** A tool as a task: its options by the project's own command layer, its errors as a line and an exit status. */
import config from "../deno.json" with { type: "json" };
import type { Command } from "../lib/cli/command.ts";
import { UsageError } from "../lib/base/errors.ts";
import { say } from "../lib/cli/output.ts";
import { EXIT_USAGE, runProgram } from "../lib/cli/run.ts";

/** The project's root, an absolute path. */
export const ROOT = decodeURIComponent(new URL("..", import.meta.url).pathname).replace(/\/$/, "");

/** `path` as an absolute path, seen from where the task was started. */
export function absolute(path: string): string {
  const base = Deno.env.get("INIT_CWD") ?? Deno.cwd(); // deno task changes to the root, and says where it was called
  return path.startsWith("/") ? path : `${base}/${path}`;
}

/** Runs `command` with the words after the task's name, and ends the process. */
export async function runTask(command: Command): Promise<never> {
  const program = { name: "deno task", version: config.version, about: "", examples: [], commands: [command] };
  try {
    Deno.exit(await runProgram(program, [command.name, ...Deno.args], { env: (name) => Deno.env.get(name) }));
  } catch (error) {
    say(`deno task ${command.name}: ${error instanceof Error ? error.message : error}`);
    Deno.exit(error instanceof UsageError ? EXIT_USAGE : 1);
  }
}
