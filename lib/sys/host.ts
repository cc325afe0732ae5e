/** What this host is and allows: processes, users, memory limits. */
import { ERRNO } from "../base/errno.ts";
import { lastErrno, libc } from "./libc.ts";

/** This process's id. */
export function ownPid(): number {
  return Deno.pid;
}

/** Whether a process with that id exists here. */
export function isAlive(pid: number): boolean {
  return pid > 0 && (libc().kill(pid, 0) === 0 || lastErrno() === ERRNO.EPERM);
}

function readNumber(path: string, pattern: RegExp): number | undefined {
  try {
    const found = pattern.exec(Deno.readTextFileSync(path));
    return found?.[1] === undefined ? undefined : Number(found[1]);
  } catch {
    return undefined; // not this kind of system, or hidden from us: then the kernel's own answer has to do
  }
}

/** Bytes the kernel thinks can be had without swapping; undefined when it does not say. */
export function availableMemory(): number | undefined {
  const kibibytes = readNumber("/proc/meminfo", /^MemAvailable:\s+(\d+) kB/m);
  return kibibytes === undefined ? undefined : kibibytes * 1024;
}

/** Whether some of this host's memory may lie in swap. */
export function mayBeSwapped(): boolean {
  const total = readNumber("/proc/meminfo", /^SwapTotal:\s+(\d+) kB/m) ?? 1;
  const free = readNumber("/proc/meminfo", /^SwapFree:\s+(\d+) kB/m) ?? 0;
  return free < total;
}

/** Where the kernel says how much a control group may use: of version 2, and of version 1 (its memory controller). */
const CONTROL_GROUPS = [
  { line: /^0::(.*)$/m, root: "/sys/fs/cgroup", file: "memory.max" },
  { line: /^\d+:(?:.*,)?memory(?:,.*)?:(.*)$/m, root: "/sys/fs/cgroup/memory", file: "memory.limit_in_bytes" },
];

/**
 * The most bytes the control group of this process, or one above it, may use; Infinity when there is no limit that is seen
 * from here.
 */
export function memoryLimit(): number {
  let groups: string;
  try {
    groups = Deno.readTextFileSync("/proc/self/cgroup");
  } catch {
    return Infinity; // no control groups here
  }
  let least = Infinity;
  for (const { line, root, file } of CONTROL_GROUPS) {
    let path = (line.exec(groups)?.[1] ?? "").replace(/\/$/, "");
    for (;; path = path.slice(0, path.lastIndexOf("/"))) {
      least = Math.min(least, readNumber(`${root}${path}/${file}`, /^(\d+)/) ?? Infinity);
      if (path === "") break;
    }
  }
  return least;
}

/** The most bytes of System V shared memory this host allows altogether (SHMALL is in pages); undefined when unknown. */
export function sharedMemoryMax(): number | undefined {
  const pages = readNumber("/proc/sys/kernel/shmall", /^(\d+)/);
  return pages === undefined ? undefined : pages * 4096;
}

/** The most operations one semop may have here (SEMOPM). */
export function semaphoreOperationsMax(): number {
  return readNumber("/proc/sys/kernel/sem", /^\d+\s+\d+\s+(\d+)/) ?? 500;
}

/** Lets others run that wait for this processor, if there are any. */
export function yieldProcessor(): void {
  libc().sched_yield();
}
