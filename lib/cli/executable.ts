/**
 * How this program was started, and how it starts another dsm.
 *
 * There are three forms: from source (`deno run main.ts`), compiled by `deno compile`, and the portable executable, whose
 * launcher (tools/portable.sh) unpacks this program beside a runtime and says in DSM_EXECUTABLE where it is itself and in
 * DSM_ARGV0 under which name it was started. Both variables reach child processes too, so they are believed only by a
 * program that lies beside its own runtime.
 */

/** A command line that starts dsm: append a subcommand and its arguments to `args`. */
export interface SelfCommand {
  /** The executable's path. */
  readonly command: string;
  /** What must come first in its arguments. */
  readonly args: readonly string[];
}

/** How to start another dsm of the same version as this one. Only for the main thread. */
export function selfCommand(): SelfCommand {
  if (Deno.build.standalone) return { command: Deno.execPath(), args: [] };
  const launcher = isPortable() ? Deno.env.get("DSM_EXECUTABLE") : undefined;
  if (launcher !== undefined) return { command: launcher, args: [] };
  const main = new URL("../../main.ts", import.meta.url);
  return {
    command: Deno.execPath(),
    args: ["run", "--quiet", "-A", main.protocol === "file:" ? pathOf(main) : main.href],
  };
}

/** The name this program was started under, such as `dsm` or `server`; undefined when it runs from source. */
export function invokedName(): string | undefined {
  if (Deno.build.standalone) return baseName(argumentZero() ?? Deno.execPath());
  return isPortable() ? baseName(Deno.env.get("DSM_ARGV0") ?? "") : undefined;
}

function isPortable(): boolean {
  const main = new URL(Deno.mainModule);
  return main.protocol === "file:" && directoryOf(pathOf(main)) === directoryOf(Deno.execPath());
}

/** The first word of our command line as the kernel has it: Deno.execPath() has followed symbolic links already. */
function argumentZero(): string | undefined {
  try {
    return Deno.readTextFileSync("/proc/self/cmdline").split("\0")[0];
  } catch {
    return undefined; // no /proc: not Linux
  }
}

function pathOf(url: URL): string {
  return decodeURIComponent(url.pathname);
}

function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
