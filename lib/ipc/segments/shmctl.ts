/** `shmctl` by its command's number, as C and the wire have it; EINVAL for a number that is no command. */
import { IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT } from "../common/flags.ts";
import { SHM_INFO, SHM_LOCK, SHM_STAT, SHM_STAT_ANY, SHM_UNLOCK } from "./flags.ts";
import type { NewOwnership, Usage } from "./calls.ts";
import type { Limits } from "./limits.ts";
import type { Principal } from "../common/permissions.ts";
import { refusal } from "../common/refusal.ts";
import type { SegmentStatus } from "./segment.ts";
import type { SegmentTable } from "./segment_table.ts";

/** What `shmctl` returns, and what it fills in. */
export interface ShmctlResult {
  /** 0, the id (SHM_STAT, SHM_STAT_ANY), or the highest index in use (IPC_INFO, SHM_INFO). */
  readonly value: number;
  /** Of IPC_STAT, SHM_STAT and SHM_STAT_ANY. */
  readonly status?: SegmentStatus;
  /** Of IPC_INFO. */
  readonly limits?: Limits;
  /** Of SHM_INFO. */
  readonly usage?: Usage;
}

/** One call of `shmctl`. */
export interface ShmctlRequest {
  /** Of the segment; an index for SHM_STAT and SHM_STAT_ANY; not negative for IPC_INFO and SHM_INFO. */
  readonly id: number;
  /** IPC_STAT and so on. */
  readonly command: number;
  /** For IPC_SET. */
  readonly ownership?: NewOwnership;
}

/** Whether `command` only tells something, so that it may be carried out twice. */
export function isQuestion(command: number): boolean {
  return [IPC_STAT, IPC_INFO, SHM_STAT, SHM_STAT_ANY, SHM_INFO].includes(command);
}

/**
 * Carries out one `shmctl` on `table`.
 *
 * @param now seconds since 1970.
 * @throws SystemError EINVAL: no such segment, no such command; EFAULT: IPC_SET without what is to be set; EACCES, EPERM and
 *   ENOMEM as the command has them.
 */
export function shmctl(table: SegmentTable, who: Principal, request: ShmctlRequest, now: number): ShmctlResult {
  const { id, command, ownership } = request;
  // on Linux a negative id is refused for every command, even those that take none
  if (id < 0) throw refusal("shmctl", "EINVAL", `use id ${id}`, "ids are not negative");
  switch (command) {
    case IPC_STAT:
      return { value: 0, status: table.stat(who, id) };
    case SHM_STAT:
      return withId(table.statAt(who, id));
    case SHM_STAT_ANY:
      return withId(table.statAnyAt(id));
    case IPC_INFO:
      return { value: table.indexMax, limits: table.limits };
    case SHM_INFO:
      return { value: table.indexMax, usage: table.usage };
    case IPC_SET:
      if (!ownership) {
        throw refusal("shmctl", "EFAULT", `change segment ${id}`, "say which uid, gid and mode it is to have");
      }
      table.set(who, id, ownership, now);
      return { value: 0 };
    case IPC_RMID:
      table.remove(who, id);
      return { value: 0 };
    case SHM_LOCK:
      table.lock(who, id);
      return { value: 0 };
    case SHM_UNLOCK:
      table.unlock(who, id);
      return { value: 0 };
    default:
      throw refusal("shmctl", "EINVAL", `do command ${command} on segment ${id}`, "there is no such command");
  }
}

function withId(status: SegmentStatus): ShmctlResult {
  return { value: status.id, status };
}
