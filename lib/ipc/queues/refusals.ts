/** The refusals that several calls on queues have in common; each says what to do next. */
import type { SystemError } from "../../base/errors.ts";
import { PERMISSION_BITS } from "../common/flags.ts";
import { refusal } from "../common/refusal.ts";
import type { Queue } from "./queue.ts";

/** EACCES: `queue`'s mode forbids it. */
export function forbidden(call: string, what: string, { id, uid, gid, mode }: Queue): SystemError {
  const bits = (mode & PERMISSION_BITS).toString(8).padStart(4, "0");
  const next =
    `queue ${id} belongs to uid ${uid} and gid ${gid} and has mode ${bits} (dsm ipcs -q); its owner may change that`;
  return refusal(call, "EACCES", what, next);
}

/** E2BIG: a message of `size` bytes for a receiver with room for `roomSize`. */
export function tooLong(id: number, size: number, roomSize: number): SystemError {
  const next = `ask for ${size} bytes, or have it cut with MSG_NOERROR`;
  return refusal("msgrcv", "E2BIG", `receive ${size} bytes from queue ${id} into ${roomSize}`, next);
}

/** EIDRM: queue `id` was removed while `call` waited. */
export function removed(call: string, id: number): SystemError {
  return refusal(call, "EIDRM", `wait for queue ${id} any longer`, "somebody has removed it (IPC_RMID); make it anew");
}
