/**
 * Builds ./dsm, one executable for every role: `deno run -A tools/compile.ts [--output FILE] [--portable]`.
 *
 * With `deno compile` where its base binary can be had, else as a portable executable; it says which. Both carry the same
 * bundle. What was built replaces the old file only after it has run once.
 */
import config from "../deno.json" with { type: "json" };
import { command } from "../lib/cli/command.ts";
import { runProgram } from "../lib/cli/run.ts";
import { bundleProgram } from "./bundle.ts";
import { writePortable } from "./portable.ts";

/** What dsm may do, spelled out: everything it asks for, and no more. */
const PERMISSIONS = [
  "--allow-net",
  "--allow-read",
  "--allow-write",
  "--allow-env",
  "--allow-run",
  "--allow-sys",
  "--allow-ffi",
] as const;

const ROOT = decodeURIComponent(new URL("..", import.meta.url).pathname).replace(/\/$/, "");

/** What the base binary of `deno compile` could not be had says, whatever was in the way. */
const NO_BASE_BINARY = /base binary|denort/i;

/** Builds the executable at `output` and returns how. */
export async function build(output: string, { portable }: { readonly portable: boolean }): Promise<string> {
  const code = await bundleProgram(ROOT, "main.ts");
  const fresh = `${output}.${Deno.pid}.new`;
  try {
    const compiled = !portable && await denoCompile(code, fresh);
    if (!compiled) await writePortable({ version: config.version, code, permissions: PERMISSIONS }, fresh);
    await tryOut(fresh);
    await Deno.rename(fresh, output);
    if (compiled) return "with deno compile";
    const reason = portable
      ? "as asked"
      : `deno compile's base binary (denort ${Deno.version.deno}) cannot be had here`;
    return `as a portable executable: ${reason}`;
  } finally {
    await Deno.remove(fresh).catch(() => {}); // after a failure only; else it is the output by now
  }
}

/** Whether it worked; false where there is no base binary. */
async function denoCompile(code: string, output: string): Promise<boolean> {
  const folder = await Deno.makeTempDir({ prefix: "dsm_compile" });
  try {
    await Deno.writeTextFile(`${folder}/dsm.js`, code);
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["compile", "--quiet", "--no-config", "--no-prompt", ...PERMISSIONS, "--output", output, "dsm.js"],
      cwd: folder,
      stdin: "null",
    }).output();
    const message = new TextDecoder().decode(stderr);
    if (!success && !NO_BASE_BINARY.test(message)) throw new Error(`deno compile: ${message}`);
    return success;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Runs the executable once: one that does not answer as dsm is none. */
async function tryOut(executable: string): Promise<void> {
  const { stdout, stderr } = await new Deno.Command(executable, { args: ["--version"], stdin: "null" }).output();
  const answer = new TextDecoder().decode(stdout).trim();
  if (answer === `dsm ${config.version}`) return;
  throw new Error(`what was built does not run as dsm: ${answer || new TextDecoder().decode(stderr).trim()}`);
}

const compile = command({
  name: "compile",
  about: "build dsm as one executable",
  examples: [["deno task compile", "build ./dsm"]],
  options: {
    output: { kind: "string", about: "where to put it", default: `${ROOT}/dsm` },
    portable: { kind: "boolean", about: "build the portable executable even where deno compile works" },
  },
  async run(_args, { output, portable }) {
    const path = output.startsWith("/") ? output : `${Deno.cwd()}/${output}`;
    const how = await build(path, { portable });
    console.log(`built ${path.startsWith(`${ROOT}/`) ? `./${path.slice(ROOT.length + 1)}` : path} ${how}`);
    return 0;
  },
});

if (import.meta.main) {
  const program = { name: "deno task", version: config.version, about: "", examples: [], commands: [compile] };
  await runProgram(program, ["compile", ...Deno.args], { env: (name) => Deno.env.get(name) });
}
