/**
 * What `dsm up` has running, written down for `dsm down`: one file per config server's port.
 *
 * A process is named by its id and the moment it started, so that a number the kernel has given to somebody else since is
 * never taken for it.
 */
import { stateDirectory } from "../node/common/state_directory.ts";
import { startOf } from "../sys/processes.ts";

/** One process. */
export interface ProcessRecord {
  /** A name for people. */
  readonly name: string;
  /** Its id. */
  readonly pid: number;
  /** When it started, in clock ticks since boot, as /proc has it; "" where there is none. */
  readonly started: string;
}

/** A cluster that was started. */
export interface ClusterRecord {
  /** `host:port` of the config server. */
  readonly config: string;
  /** The `dsm up` that watches it. */
  readonly up: ProcessRecord;
  /** The roles it started. */
  readonly children: readonly ProcessRecord[];
  /** Keys of the regions. */
  readonly shmkeys: readonly number[];
  /** The directory it works in, which goes with it. */
  readonly directory: string;
}

/** The file for the cluster whose config server has `port`. */
export function recordFile(port: number): string {
  return `${stateDirectory()}/up-${port}.json`;
}

/** Names a process. */
export function recordOf(name: string, pid: number): ProcessRecord {
  return { name, pid, started: startOf(pid) };
}

/** Whether that very process still runs. */
export function isRunning(record: ProcessRecord): boolean {
  return record.started !== "" && startOf(record.pid) === record.started;
}

/** Writes a record, replacing what was there. */
export async function writeRecord(port: number, record: ClusterRecord): Promise<void> {
  await Deno.mkdir(stateDirectory(), { recursive: true, mode: 0o700 });
  const temporary = `${recordFile(port)}.${Deno.pid}`;
  await Deno.writeTextFile(temporary, JSON.stringify(record), { mode: 0o600 });
  await Deno.rename(temporary, recordFile(port));
}

/** Reads the record of the cluster whose config server has `port`; undefined when there is none. */
export async function readRecord(port: number): Promise<ClusterRecord | undefined> {
  try {
    return JSON.parse(await Deno.readTextFile(recordFile(port))) as ClusterRecord;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Removes a record. */
export async function removeRecord(port: number): Promise<void> {
  await Deno.remove(recordFile(port)).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
}
