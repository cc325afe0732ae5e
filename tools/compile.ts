/**
 * Builds ./dsm, one executable for every role: `deno run -A tools/compile.ts [--output FILE] [--portable]`.
 *
 * With `deno compile` where its base binary can be had, else as a portable executable; it says which. Both carry the same
 * bundle. What was built replaces the old file only after it has run once.
 */
import config from "../deno.json" with { type: "json" };
import { command } from "../lib/cli/command.ts";
import { print } from "../lib/cli/output.ts";
import { bundleProgram } from "./bundle.ts";
import { writePortable } from "./portable.ts";
import { absolute, ROOT, runTask } from "./task.ts";

/**
 * What dsm may do. Nothing less will do: the runtime lets a program read /proc, where processes and limits are told, only
 * with all permissions; and who may call C functions may do anything as it is.
 */
const PERMISSIONS = ["--allow-all"] as const;

const DEFAULT_OUTPUT = `${ROOT}/dsm`;

/** What `deno compile` says when its base binary could not be had, whatever was in the way. */
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
  const [answer, complaint] = [stdout, stderr].map((each) => new TextDecoder().decode(each).trim().split("\n")[0]);
  if (answer === `dsm ${config.version}`) return;
  throw new Error(`what was built does not run as dsm: it says "${answer || complaint}"`);
}

const compile = command({
  name: "compile",
  about: "build dsm as one executable",
  examples: [["deno task compile", "build ./dsm"]],
  options: {
    output: { kind: "string", about: "where to put it", default: DEFAULT_OUTPUT },
    portable: { kind: "boolean", about: "build the portable executable even where deno compile works" },
  },
  async run(_args, { output, portable }) {
    const path = absolute(output);
    const how = await build(path, { portable });
    print(`built ${path === DEFAULT_OUTPUT ? "./dsm" : path} ${how}`);
    return 0;
  },
});

if (import.meta.main) await runTask(compile);
