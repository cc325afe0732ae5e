/**
 * Which CPU a process runs on. On a virtual machine a wake-up from one CPU to another costs more than a whole request, so
 * every measured process is pinned, and both placements are measured.
 */

/** Where the two sides of a measurement run. */
export interface Placement {
  /** Part of the row's name. */
  readonly name: "same CPU" | "two CPUs";
  /** The server's CPU. */
  readonly server: number;
  /** The load's CPU. */
  readonly load: number;
}

/** The CPUs this process may use, from a list such as `0-2,5`. */
export function parseCpuList(list: string): number[] {
  return list.trim().split(",").flatMap((part) => {
    const [first, last = first] = part.split("-").map(Number);
    if (first === undefined || last === undefined || !(last >= first)) throw new Error(`not a list of CPUs: ${list}`);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}

/** The CPUs this process may use. */
export function allowedCpus(): number[] {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(Deno.readTextFileSync("/proc/self/status"))?.[1];
  if (list === undefined) throw new Error("/proc/self/status has no Cpus_allowed_list");
  return parseCpuList(list);
}

/** Both placements, or only the first where there is one CPU. The first CPU serves interrupts, so servers get the second. */
export function placements(cpus: readonly number[] = allowedCpus()): Placement[] {
  const [load, server] = cpus;
  if (load === undefined) throw new Error("no CPU is allowed");
  if (server === undefined) return [{ name: "same CPU", server: load, load }];
  return [{ name: "same CPU", server, load: server }, { name: "two CPUs", server, load }];
}

/** A command line that runs on one CPU. taskset replaces itself by the command, so the pid is the command's. */
export function pinned(cpu: number, command: readonly string[]): string[] {
  return ["taskset", "-c", String(cpu), ...command];
}
