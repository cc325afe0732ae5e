/**
 * The cells that the differential test of queues must reach: call by what comes of it, and why.
 *
 * From the manual pages and from ipc/msg.c. Out of reach are ENOMEM, which takes a full memory; EFAULT of all but IPC_SET,
 * since nobody gives a wrong address; EIDRM of a call that does not wait, which takes a removal in its middle; and what a
 * security module adds.
 */
import { IPC_INFO, IPC_PRIVATE, IPC_RMID, IPC_SET, IPC_STAT } from "../../lib/ipc/common/flags.ts";
import { mayControl } from "../../lib/ipc/common/permissions.ts";
import { MSG_COPY, MSG_EXCEPT, MSG_INFO, MSG_NOERROR, MSG_STAT, MSG_STAT_ANY } from "../../lib/ipc/queues/flags.ts";
import type { Limits } from "../../lib/ipc/queues/limits.ts";
import type { QueueStatus } from "../../lib/ipc/queues/queue.ts";
import type { Actor, Call, Ended, Outcome } from "./queues_twice.ts";

/** What it takes to reach a cell: nothing special, several users, a namespace whose limits and indexes are ours, or a uid 0
 * that has not lost CAP_SYS_RESOURCE. */
export type Need = "nothing" | "users" | "namespace" | "resource";

const SELECTIONS = ["any", "a type", "another type", "the least type"];

/** Every cell that can be reached, and what that takes. */
export const CELLS: ReadonlyMap<string, Need> = new Map<string, Need>([
  ["msgget: makes", "nothing"],
  ["msgget: makes a private one", "nothing"],
  ["msgget: finds", "nothing"],
  ["msgget: EACCES", "users"],
  ["msgget: EEXIST", "nothing"],
  ["msgget: ENOENT", "nothing"],
  ["msgget: ENOSPC", "namespace"],
  ["msgsnd: ok", "nothing"],
  ["msgsnd: blocked", "nothing"],
  ["msgsnd: EACCES", "nothing"],
  ["msgsnd: EAGAIN", "nothing"],
  ["msgsnd: EINVAL, no such queue", "nothing"],
  ["msgsnd: EINVAL, no type", "nothing"],
  ["msgsnd: EINVAL, too long", "namespace"],
  ["msgsnd after waiting: ok", "nothing"],
  ["msgsnd after waiting: EACCES", "users"],
  ["msgsnd after waiting: EIDRM", "nothing"],
  ["msgsnd after waiting: EINTR", "nothing"],
  ...SELECTIONS.flatMap((selection) => [
    [`msgrcv of ${selection}: ok`, "nothing"] as const,
    [`msgrcv of ${selection}: blocked`, "nothing"] as const,
    [`msgrcv of ${selection}: E2BIG`, "nothing"] as const,
    [`msgrcv of ${selection}: ENOMSG`, "nothing"] as const,
    [`msgrcv of ${selection} after waiting: ok`, "nothing"] as const,
  ]),
  ["msgrcv, cut: ok", "nothing"],
  ["msgrcv: EACCES", "nothing"],
  ["msgrcv: EINVAL, no such queue", "nothing"],
  ["msgrcv: EINVAL, no size", "nothing"],
  ["msgrcv after waiting: E2BIG", "nothing"],
  ["msgrcv after waiting: EACCES", "users"],
  ["msgrcv after waiting: EIDRM", "nothing"],
  ["msgrcv after waiting: EINTR", "nothing"],
  ["MSG_COPY: ok", "nothing"],
  ["MSG_COPY: ENOMSG", "nothing"],
  ["MSG_COPY: E2BIG", "nothing"],
  ["MSG_COPY: EINVAL, flags", "nothing"],
  ["MSG_COPY: EINVAL, would cut", "nothing"],
  ["IPC_STAT: ok", "nothing"],
  ["IPC_STAT: EACCES", "nothing"],
  ["IPC_STAT: EINVAL", "nothing"],
  ["MSG_STAT: ok", "namespace"],
  ["MSG_STAT: EACCES", "namespace"],
  ["MSG_STAT: EINVAL", "namespace"],
  ["MSG_STAT_ANY: ok", "namespace"],
  ["MSG_STAT_ANY: EINVAL", "namespace"],
  ["IPC_SET: ok", "nothing"],
  ["IPC_SET: ok, beyond MSGMNB", "resource"],
  ["IPC_SET: EFAULT", "nothing"],
  ["IPC_SET: EINVAL", "nothing"],
  ["IPC_SET: EINVAL, nobody", "nothing"],
  ["IPC_SET: EPERM, not the owner", "users"],
  ["IPC_SET: EPERM, qbytes", "users"],
  ["IPC_RMID: ok", "nothing"],
  ["IPC_RMID: EINVAL", "nothing"],
  ["IPC_RMID: EPERM", "users"],
  ["IPC_INFO: ok", "nothing"],
  ["IPC_INFO: EINVAL", "nothing"],
  ["MSG_INFO: ok", "nothing"],
  ["MSG_INFO: EINVAL", "nothing"],
  ["no command: EINVAL", "nothing"],
]);

const COMMAND_NAMES: ReadonlyMap<number, string> = new Map([
  [IPC_STAT, "IPC_STAT"],
  [MSG_STAT, "MSG_STAT"],
  [MSG_STAT_ANY, "MSG_STAT_ANY"],
  [IPC_SET, "IPC_SET"],
  [IPC_RMID, "IPC_RMID"],
  [IPC_INFO, "IPC_INFO"],
  [MSG_INFO, "MSG_INFO"],
]);

/** A call that was made, and what it was made on. */
export interface Made {
  readonly actor: Actor;
  readonly call: Call;
  readonly outcome: Outcome;
  /** The queue that the call is about, as it was before; undefined where there was none. */
  readonly before: QueueStatus | undefined;
  readonly limits: Limits;
}

type Receive = Extract<Call, { call: "msgrcv" }>;

/** The cell that a call belongs to. */
export function cellOf({ actor, call, outcome: { code, message }, before, limits }: Made): string {
  switch (call.call) {
    case "msgget":
      return `msgget: ${code === "ok" ? gotHow(call.key, before) : code}`;
    case "msgsnd": {
      if (code !== "EINVAL") return `msgsnd: ${code}`;
      return `msgsnd: EINVAL, ${call.type < 1 ? "no type" : before ? "too long" : "no such queue"}`;
    }
    case "msgrcv":
      return receiveCell(call, code, message?.text.length === call.size && (call.flags & MSG_NOERROR) !== 0, before);
    case "msgctl":
      return `${COMMAND_NAMES.get(call.command) ?? "no command"}: ${code}${
        controlWhy(call, code, actor, before, limits)
      }`;
  }
}

function gotHow(key: number, before: QueueStatus | undefined): string {
  if (key === IPC_PRIVATE) return "makes a private one";
  return before ? "finds" : "makes";
}

function receiveCell(call: Receive, code: string, isCut: boolean, before: QueueStatus | undefined): string {
  const isCopy = (call.flags & MSG_COPY) !== 0;
  if (code === "EINVAL" && (call.size < 0 || !before)) {
    return `msgrcv: EINVAL, ${call.size < 0 ? "no size" : "no such queue"}`;
  }
  if (code === "EINVAL") return `MSG_COPY: EINVAL, ${call.flags & MSG_NOERROR ? "would cut" : "flags"}`;
  if (code === "EACCES") return "msgrcv: EACCES";
  if (isCopy) return `MSG_COPY: ${code}`;
  return code === "ok" && isCut ? "msgrcv, cut: ok" : `msgrcv of ${selectionName(call)}: ${code}`;
}

function selectionName({ type, flags }: Receive): string {
  if (type === 0) return "any";
  if (type < 0) return "the least type";
  return flags & MSG_EXCEPT ? "another type" : "a type";
}

function controlWhy(
  { command, change }: Extract<Call, { call: "msgctl" }>,
  code: string,
  { who }: Actor,
  before: QueueStatus | undefined,
  { msgmnb }: Limits,
): string {
  if (command !== IPC_SET || !before) return "";
  if (code === "EINVAL") return ", nobody";
  if (code === "EPERM") return mayControl(before, who) ? ", qbytes" : ", not the owner";
  return code === "ok" && (change?.qbytes ?? 0) > msgmnb ? ", beyond MSGMNB" : "";
}

/** The cell that the end of a call belongs to, which had waited. */
export function cellOfEnd({ call, code }: Ended): string {
  if (call.call === "msgrcv" && code === "ok") return `msgrcv of ${selectionName(call)} after waiting: ok`;
  return `${call.call} after waiting: ${code}`;
}
