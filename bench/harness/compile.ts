/** Compiles the benchmark's C programs into a directory of their own. */

/** Where the compiled programs are. */
export interface Programs {
  readonly loadGenerator: string;
  readonly memoryBaseline: string;
  readonly attachedLoad: string;
  readonly queueBaseline: string;
}

const SOURCES: Record<keyof Programs, readonly string[]> = {
  loadGenerator: ["load_generator.c", "connection.c", "request_ring.c"],
  memoryBaseline: ["memory_baseline.c"],
  attachedLoad: ["attached_load.c"],
  queueBaseline: ["queue_baseline.c"],
};

const FLAGS = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror"];

async function compile(target: string, sources: readonly string[]): Promise<void> {
  const paths = sources.map((source) => new URL(`../c/${source}`, import.meta.url).pathname);
  const { success, stderr } = await new Deno.Command("cc", { args: [...FLAGS, "-o", target, ...paths] }).output().catch(
    (cause) => {
      throw new Error("cannot run cc; the benchmarks need a C compiler (Debian: apt install gcc libc6-dev)", { cause });
    },
  );
  if (!success) throw new Error(`cc ${sources.join(" ")} failed:\n${new TextDecoder().decode(stderr)}`);
}

/** Compiles all programs into `directory`. */
export async function compilePrograms(directory: string): Promise<Programs> {
  const names = Object.keys(SOURCES) as (keyof Programs)[];
  const entries = await Promise.all(names.map(async (name) => {
    const target = `${directory}/${name}`;
    await compile(target, SOURCES[name]);
    return [name, target] as const;
  }));
  return Object.fromEntries(entries) as Record<keyof Programs, string>;
}
