/**
 * The System V objects of this host, as /proc/sysvipc lists them: all of them, whoever may read them.
 *
 * A table there has a line of titles and a line of numbers for each object; permissions alone are octal. Columns are found
 * by their titles, since kernels have added some.
 */
import { SystemError } from "../base/errors.ts";

/** A segment of this host. Times are in seconds since 1970; 0: never. Pids are 0 where nobody did it yet. */
export interface HostSegment {
  /** What the calls name it by. */
  readonly id: number;
  /** Unsigned; IPC_PRIVATE, too, once it is marked for removal. */
  readonly key: number;
  /** Bytes. */
  readonly size: number;
  /** Permissions, SHM_DEST and SHM_LOCKED. */
  readonly mode: number;
  /** How many mappings there are. */
  readonly nattch: number;
  /** Owner's user id. */
  readonly uid: number;
  /** Owner's group id. */
  readonly gid: number;
  /** Creator's user id. */
  readonly cuid: number;
  /** Creator's group id. */
  readonly cgid: number;
  /** Time of the last `shmat`. */
  readonly atime: number;
  /** Time of the last `shmdt`. */
  readonly dtime: number;
  /** Time it was made or changed. */
  readonly ctime: number;
  /** Process that made it. */
  readonly cpid: number;
  /** Process of the last `shmat` or `shmdt`. */
  readonly lpid: number;
  /** Bytes that are in memory. */
  readonly residentSize: number;
  /** Bytes that are in swap. */
  readonly swappedSize: number;
}

/**
 * All segments of this host's kernel (of this IPC namespace).
 *
 * @throws SystemError ENOSYS where the kernel has no such list.
 */
export function hostSegments(): HostSegment[] {
  return rowsOf("shm").map((value) => ({
    id: value("shmid"),
    key: value("key") >>> 0,
    size: value("size"),
    mode: value("perms"),
    nattch: value("nattch"),
    uid: value("uid"),
    gid: value("gid"),
    cuid: value("cuid"),
    cgid: value("cgid"),
    atime: value("atime"),
    dtime: value("dtime"),
    ctime: value("ctime"),
    cpid: value("cpid"),
    lpid: value("lpid"),
    residentSize: value("rss"),
    swappedSize: value("swap"),
  }));
}

/** What the kernel's setting `name` under /proc/sys/kernel is, such as `shmmax`; throws as {@linkcode hostSegments} does. */
export function kernelSetting(name: string): bigint {
  return BigInt(readProc(`/proc/sys/kernel/${name}`).trim());
}

/** Of each object in table `name`: the value under a title, 0 where this kernel has no such column. */
function rowsOf(name: string): ((title: string) => number)[] {
  const [titles = [], ...rows] = readProc(`/proc/sysvipc/${name}`).trimEnd().split("\n").map((line) =>
    line.trim().split(/\s+/)
  );
  return rows.map((cells) => (title) => parseInt(cells[titles.indexOf(title)] ?? "0", title === "perms" ? 8 : 10));
}

function readProc(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    throw new SystemError("open", "ENOSYS", `this kernel does not list its objects: no ${path} can be read`, error);
  }
}
