/**
 * The names of checkpoints, `YYYY-MM-DDTHH-MM-SSZ-EPOCH` in UTC, and of directories that are none yet or no more.
 *
 * A temporary directory belongs to one process of one host. Its name says which, so that what a killed process left can be
 * told from what a living one is writing.
 */
import { startOf } from "../sys/processes.ts";

/** What a checkpoint's name tells. */
export interface NameParts {
  /** When it was taken, ms since 1970, to the second. */
  readonly timeMs: number;
  /** Its number within its incarnation. */
  readonly epoch: number;
}

const NAME = /^(\d{4}-\d\d-\d\dT)(\d\d)-(\d\d)-(\d\dZ)-(\d{1,10})$/;
const TEMPORARY = /^\.tmp-(\d+)-(\d*)-(.*)-[^-]*$/;
/** A temporary directory of a process we cannot ask about is given up after a day without a change. */
const UNKNOWN_AGE_MS_MAX = 24 * 60 * 60 * 1000;

/** The name of the checkpoint of `epoch` that was taken at `timeMs`, ms since 1970. */
export function checkpointName({ timeMs, epoch }: NameParts): string {
  return `${new Date(timeMs).toISOString().slice(0, 19).replaceAll(":", "-")}Z-${epoch}`;
}

/** What `name` tells; undefined when it is not the name of a checkpoint. */
export function parseCheckpointName(name: string): NameParts | undefined {
  const [, day, hours, minutes, seconds, epoch] = NAME.exec(name) ?? [];
  const timeMs = Date.parse(`${day}${hours}:${minutes}:${seconds}`);
  return Number.isNaN(timeMs) ? undefined : { timeMs, epoch: Number(epoch) };
}

/** What the temporary directories of this process begin with; something of one's own follows, without a dash. */
export function temporaryPrefix(): string {
  return `.tmp-${Deno.pid}-${startOf(Deno.pid)}-${Deno.hostname()}-`;
}

/** Whether the temporary directory of that name, last changed at `changedMs` (ms since 1970), belongs to nobody any more. */
export function isLeftover(name: string, changedMs: number, nowMs: number): boolean {
  const [, pid, started, host] = TEMPORARY.exec(name) ?? [];
  if (pid === undefined) return false;
  // of another host, or one of the two has no /proc
  const isUnknown = host !== Deno.hostname() || started === "" || startOf(Deno.pid) === "";
  return isUnknown ? nowMs - changedMs > UNKNOWN_AGE_MS_MAX : startOf(Number(pid)) !== started;
}
