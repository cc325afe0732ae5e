/** What the entry points share: settings from the command line, a directory that is removed again, and the exit status. */
import { compilePrograms, type Programs } from "./compile.ts";
import { withSignals } from "./processes.ts";
import { printRows, type Row } from "./report.ts";
import { parseSettings, type Settings, SettingsError } from "./settings.ts";

/** What a benchmark gets. */
export interface Bench {
  readonly settings: Settings;
  readonly programs: Programs;
  /** For whatever has to be written. */
  readonly directory: string;
}

/** A benchmark: measures and returns its rows. */
export type Benchmark = (bench: Bench) => Promise<Row[]>;

async function runAll(benchmarks: readonly Benchmark[], settings: Settings): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "dsm-bench-" });
  try {
    const programs = await compilePrograms(directory);
    const rows: Row[] = [];
    for (const benchmark of benchmarks) rows.push(...await benchmark({ settings, programs, directory }));
    printRows(rows, settings);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** Runs the benchmarks; exit status 0 measured (whatever came out), 1 something failed, 2 usage, 128 + n for a signal. */
export async function benchMain(benchmarks: readonly Benchmark[]): Promise<void> {
  try {
    const settings = parseSettings(Deno.args);
    Deno.exitCode = await withSignals(() => runAll(benchmarks, settings)) ?? 0;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    Deno.exitCode = error instanceof SettingsError ? 2 : 1;
  }
}

/** Says on stderr what is being measured now. */
export function announce(bench: string, name: string): void {
  console.error(`${bench}: ${name}`);
}
