/**
 * The cells that the differential test of segments must reach: call by what comes of it, and why.
 *
 * From the manual pages and from ipc/shm.c. Out of reach are EIDRM, which takes a removal in the middle of a call; ENOMEM of
 * `shmat`, which takes a full address space; and what a security module adds.
 */
import { IPC_INFO, IPC_PRIVATE, IPC_RMID, IPC_SET, IPC_STAT } from "../../lib/ipc/common/flags.ts";
import {
  SHM_EXEC,
  SHM_INFO,
  SHM_LOCK,
  SHM_RDONLY,
  SHM_REMAP,
  SHM_STAT,
  SHM_STAT_ANY,
  SHM_UNLOCK,
} from "../../lib/ipc/segments/flags.ts";
import type { Limits } from "../../lib/ipc/segments/limits.ts";
import { mayControl } from "../../lib/ipc/common/permissions.ts";
import type { Principal } from "../../lib/ipc/common/permissions.ts";
import type { SegmentStatus } from "../../lib/ipc/segments/segment.ts";
import type { Call } from "./segments_twice.ts";

/** What it takes to reach a cell: nothing special, several users, a namespace whose limits and indexes are ours, or a
 * kernel that does not promise more memory than there is. */
export type Need = "nothing" | "users" | "namespace" | "memory";

/** Every cell that can be reached, and what that takes. */
export const CELLS: ReadonlyMap<string, Need> = new Map<string, Need>([
  ["shmget: makes", "nothing"],
  ["shmget: makes a private one", "nothing"],
  ["shmget: finds", "nothing"],
  ["shmget: EACCES", "nothing"],
  ["shmget: EEXIST", "nothing"],
  ["shmget: EINVAL, less than SHMMIN", "nothing"],
  ["shmget: EINVAL, more than SHMMAX", "namespace"],
  ["shmget: EINVAL, more than it has", "nothing"],
  ["shmget: ENOENT", "nothing"],
  ["shmget: ENOSPC, SHMMNI", "namespace"],
  ["shmget: ENOSPC, SHMALL", "namespace"],
  ["shmget: ENOMEM", "memory"],
  ["shmat for reading: ok", "nothing"],
  ["shmat for reading: EACCES", "nothing"],
  ["shmat for both: ok", "nothing"],
  ["shmat for both: EACCES", "nothing"],
  ["shmat for execution: ok", "nothing"],
  ["shmat for execution: EACCES", "nothing"],
  ["shmat: EINVAL, no such segment", "nothing"],
  ["shmat: EINVAL, SHM_REMAP", "nothing"],
  ["shmdt: ok", "nothing"],
  ["shmdt: EINVAL", "nothing"],
  ["IPC_STAT: ok", "nothing"],
  ["IPC_STAT: EACCES", "nothing"],
  ["IPC_STAT: EINVAL", "nothing"],
  ["SHM_STAT: ok", "namespace"],
  ["SHM_STAT: EACCES", "namespace"],
  ["SHM_STAT: EINVAL", "namespace"],
  ["SHM_STAT_ANY: ok", "namespace"],
  ["SHM_STAT_ANY: EINVAL", "namespace"],
  ["IPC_SET: ok", "nothing"],
  ["IPC_SET: EINVAL", "nothing"],
  ["IPC_SET: EINVAL, nobody", "nothing"],
  ["IPC_SET: EPERM", "users"],
  ["IPC_RMID: ok", "nothing"],
  ["IPC_RMID: ok, attached", "nothing"],
  ["IPC_RMID: EINVAL", "nothing"],
  ["IPC_RMID: EPERM", "users"],
  ["SHM_LOCK: ok", "nothing"],
  ["SHM_LOCK: EINVAL", "nothing"],
  ["SHM_LOCK: EPERM, not the owner", "users"],
  ["SHM_LOCK: EPERM, limit 0", "users"],
  ["SHM_LOCK: ENOMEM", "users"],
  ["SHM_UNLOCK: ok", "nothing"],
  ["SHM_UNLOCK: EINVAL", "nothing"],
  ["SHM_UNLOCK: EPERM", "users"],
  ["IPC_INFO: ok", "nothing"],
  ["IPC_INFO: EINVAL", "nothing"],
  ["SHM_INFO: ok", "nothing"],
  ["SHM_INFO: EINVAL", "nothing"],
  ["no command: EINVAL", "nothing"],
]);

const COMMAND_NAMES: ReadonlyMap<number, string> = new Map([
  [IPC_STAT, "IPC_STAT"],
  [SHM_STAT, "SHM_STAT"],
  [SHM_STAT_ANY, "SHM_STAT_ANY"],
  [IPC_SET, "IPC_SET"],
  [IPC_RMID, "IPC_RMID"],
  [SHM_LOCK, "SHM_LOCK"],
  [SHM_UNLOCK, "SHM_UNLOCK"],
  [IPC_INFO, "IPC_INFO"],
  [SHM_INFO, "SHM_INFO"],
]);

/** A call that was made, and what it was made on. */
export interface Made {
  readonly call: Call;
  readonly who: Principal;
  /** `ok` or the errno's name. */
  readonly code: string;
  /** The segment that the call is about, as it was before; undefined where there was none. */
  readonly before: SegmentStatus | undefined;
  readonly limits: Limits;
}

/** The cell that a call belongs to. */
export function cellOf(made: Made): string {
  const { call, code } = made;
  switch (call.call) {
    case "shmget":
      return `shmget: ${code === "ok" ? gotHow(call.key, made) : code + notGotWhy(call.size, made)}`;
    case "shmat":
      if (code === "EINVAL") return `shmat: EINVAL, ${call.flags & SHM_REMAP ? "SHM_REMAP" : "no such segment"}`;
      if (call.flags & SHM_EXEC) return `shmat for execution: ${code}`;
      return `shmat for ${call.flags & SHM_RDONLY ? "reading" : "both"}: ${code}`;
    case "shmctl":
      return `${COMMAND_NAMES.get(call.command) ?? "no command"}: ${code}${controlWhy(call.command, made)}`;
    default:
      return `${call.call}: ${code}`;
  }
}

function gotHow(key: number, { before }: Made): string {
  if (key === IPC_PRIVATE) return "makes a private one";
  return before ? "finds" : "makes";
}

function notGotWhy(size: number, { code, before, limits }: Made): string {
  if (code === "ENOSPC") return limits.shmall < 2 ** 32 ? ", SHMALL" : ", SHMMNI";
  if (code !== "EINVAL") return "";
  if (before) return ", more than it has";
  return size === 0 ? ", less than SHMMIN" : ", more than SHMMAX";
}

function controlWhy(command: number, { code, before, who }: Made): string {
  if (!before) return "";
  if (command === IPC_RMID && code === "ok" && before.nattch > 0) return ", attached";
  if (command === IPC_SET && code === "EINVAL") return ", nobody";
  if (command === SHM_LOCK && code === "EPERM") return mayControl(before, who) ? ", limit 0" : ", not the owner";
  return "";
}
