/** `msgctl` by its command's number, as C and the wire have it; EINVAL for a number that is no command. */
import { IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT } from "../common/flags.ts";
import type { Principal } from "../common/permissions.ts";
import { refusal } from "../common/refusal.ts";
import type { QueueChange, QueueUsage } from "./calls.ts";
import { MSG_INFO, MSG_STAT, MSG_STAT_ANY } from "./flags.ts";
import type { Limits } from "./limits.ts";
import type { QueueStatus } from "./queue.ts";
import type { QueueTable } from "./queue_table.ts";

/** What `msgctl` returns, and what it fills in. */
export interface MsgctlResult {
  /** 0, the id (MSG_STAT, MSG_STAT_ANY), or the highest index in use (IPC_INFO, MSG_INFO). */
  readonly value: number;
  /** Of IPC_STAT, MSG_STAT and MSG_STAT_ANY. */
  readonly status?: QueueStatus;
  /** Of IPC_INFO and MSG_INFO. */
  readonly limits?: Limits;
  /** Of MSG_INFO. */
  readonly usage?: QueueUsage;
}

/** One call of `msgctl`. */
export interface MsgctlRequest {
  /** Of the queue; an index for MSG_STAT and MSG_STAT_ANY; not negative for IPC_INFO and MSG_INFO. */
  readonly id: number;
  /** IPC_STAT and so on. */
  readonly command: number;
  /** For IPC_SET. */
  readonly change?: QueueChange | undefined;
}

/** Whether `command` only tells something, so that it may be carried out twice. */
export function isQuestion(command: number): boolean {
  return [IPC_STAT, IPC_INFO, MSG_STAT, MSG_STAT_ANY, MSG_INFO].includes(command);
}

/**
 * Carries out one `msgctl` on `table`; IPC_SET and IPC_RMID may end the wait of calls (`QueueTable.takeCompletions`).
 *
 * @param now seconds since 1970.
 * @throws SystemError EINVAL: no such queue, no such command; EFAULT: IPC_SET without what is to be set; EACCES and EPERM as
 *   the command has them.
 */
export function msgctl(table: QueueTable, who: Principal, request: MsgctlRequest, now: number): MsgctlResult {
  const { id, command, change } = request;
  // on Linux a negative id is refused for every command, even those that take none
  if (id < 0) throw refusal("msgctl", "EINVAL", `use id ${id}`, "ids are not negative");
  switch (command) {
    case IPC_STAT:
      return { value: 0, status: table.stat(who, id) };
    case MSG_STAT:
      return withId(table.statAt(who, id));
    case MSG_STAT_ANY:
      return withId(table.statAnyAt(id));
    case IPC_INFO:
      return { value: table.indexMax, limits: table.limits };
    case MSG_INFO:
      return { value: table.indexMax, limits: table.limits, usage: table.usage };
    case IPC_SET:
      if (!change) {
        throw refusal("msgctl", "EFAULT", `change queue ${id}`, "say which uid, gid, mode and qbytes it is to have");
      }
      table.set(who, id, change, now);
      return { value: 0 };
    case IPC_RMID:
      table.remove(who, id);
      return { value: 0 };
    default:
      throw refusal("msgctl", "EINVAL", `do command ${command} on queue ${id}`, "there is no such command");
  }
}

function withId(status: QueueStatus): MsgctlResult {
  return { value: status.id, status };
}
