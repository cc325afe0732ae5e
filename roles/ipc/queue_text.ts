/** Message queues as util-linux's `ipcs` prints them, byte by byte; see text_parts.ts. */
import { PERMISSION_BITS } from "../../lib/ipc/common/flags.ts";
import { keyText } from "../../lib/ipc/common/refusal.ts";
import type { QueueUsage } from "../../lib/ipc/queues/calls.ts";
import type { Limits } from "../../lib/ipc/queues/limits.ts";
import type { QueueStatus } from "../../lib/ipc/queues/queue.ts";
import {
  cell,
  dateCell,
  dayCell,
  framed,
  octal,
  owner,
  ownersText,
  permissions,
  tableText,
  timeCell,
  titleLine,
} from "./text_parts.ts";
import type { Names } from "./text_parts.ts";

/** util-linux gives ids so little room in some lists, whatever their titles have. */
const ID_WIDTH = 8;
const COUNT_WIDTH = 12;
const PID_WIDTH = 5;

/** `ipcs -q`: keys, owners, what is in them. */
export function queuesText(queues: readonly QueueStatus[], names: Names): string {
  const count = (value: string | number): string => String(value).padEnd(COUNT_WIDTH);
  return tableText("Message Queues", [
    [...["key", "msqid", "owner", "perms"].map(cell), ...["used-bytes", "messages"].map(count)],
    ...queues.map(({ key, id, uid, mode, cbytes, qnum }) => [
      ...[keyText(key), id, owner(uid, names), permissions(mode)].map(cell),
      ...[cbytes, qnum].map(count),
    ]),
  ]);
}

/** `ipcs -q -t`: when they were last used. */
export function queueTimesText(queues: readonly QueueStatus[], names: Names): string {
  return tableText("Message Queues Send/Recv/Change Times", [
    [idCell("msqid"), cell("owner"), ...["send", "recv", "change"].map(timeCell)],
    ...queues.map((queue) => [
      ...[idCell(queue.id), cell(owner(queue.uid, names))],
      ...[queue.stime, queue.rtime, queue.ctime].map(dayCell),
    ]),
  ]);
}

/** `ipcs -q -p`: by which processes. */
export function queuePidsText(queues: readonly QueueStatus[], names: Names): string {
  const pid = (value: number): string => String(value).padStart(PID_WIDTH);
  return tableText("Message Queues PIDs", [
    ["msqid", "owner", "lspid", "lrpid"].map(cell),
    ...queues.map(({ id, uid, lspid, lrpid }) => [
      idCell(id),
      `${cell(owner(uid, names))}  ${pid(lspid)}     ${pid(lrpid)}`,
    ]),
  ]);
}

/** `ipcs -q -c`: whose they are and were. */
export function queueCreatorsText(queues: readonly QueueStatus[], names: Names): string {
  return ownersText("Message Queues Creators/Owners", "msqid", queues, names);
}

/** `ipcs -q -i ID`: all of one. */
export function queueText(queue: QueueStatus): string {
  const { id, uid, gid, cuid, cgid, mode, cbytes, qbytes, qnum, lspid, lrpid } = queue;
  return framed([
    `Message Queue msqid=${id}`,
    `uid=${uid}\tgid=${gid}\tcuid=${cuid}\tcgid=${cgid}\tmode=${octal(mode & PERMISSION_BITS)}`,
    `cbytes=${cbytes}\tqbytes=${qbytes}\tqnum=${qnum}\tlspid=${lspid}\tlrpid=${lrpid}`,
    `send_time=${dateCell(queue.stime)}`,
    `rcv_time=${dateCell(queue.rtime)}`,
    `change_time=${dateCell(queue.ctime)}`,
  ]);
}

/** `ipcs -q -l`: how many and how large they may be. */
export function queueLimitsText({ msgmni, msgmax, msgmnb }: Limits): string {
  return framed([
    titleLine("Messages Limits"),
    `max queues system wide = ${msgmni}`,
    `max size of message (bytes) = ${msgmax}`,
    `default max size of queue (bytes) = ${msgmnb}`,
  ]);
}

/** `ipcs -q -u`: what they hold. */
export function queueUsageText({ queueCount, messageCount, size }: QueueUsage): string {
  return framed([
    titleLine("Messages Status"),
    `allocated queues = ${queueCount}`,
    `used headers = ${messageCount}`,
    `used space = ${size} bytes`,
  ]);
}

function idCell(value: string | number): string {
  return String(value).padEnd(ID_WIDTH);
}
