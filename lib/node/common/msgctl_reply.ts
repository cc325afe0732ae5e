/** What `msgctl` gives as the fields of a `msgctlReply`, and back: the order of the cells is nowhere else. */
import { ProtocolError } from "../../base/errors.ts";
import type { MsgctlResult } from "../../ipc/queues/msgctl.ts";
import type { QueueStatus } from "../../ipc/queues/queue.ts";
import type { Cell, Fields } from "../../wire/messages.ts";

const STATUS = [
  ...["id", "key", "uid", "gid", "cuid", "cgid", "mode", "qbytes"] as const,
  ...["stime", "rtime", "ctime", "lspid", "lrpid", "cbytes", "qnum"] as const,
] as const satisfies readonly (keyof QueueStatus)[];
const LIMITS = ["msgmax", "msgmnb", "msgmni"] as const satisfies readonly (keyof NonNullable<MsgctlResult["limits"]>)[];
const USAGE = ["queueCount", "messageCount", "size"] as const satisfies readonly (keyof NonNullable<
  MsgctlResult["usage"]
>)[];

/** The fields of the reply. */
export function toMsgctlReply({ value, status, limits, usage }: MsgctlResult): Fields<"msgctlReply"> {
  return { value, status: toRows(status, STATUS), limits: toRows(limits, LIMITS), usage: toRows(usage, USAGE) };
}

function toRows<F extends string>(value: Readonly<Record<F, Cell>> | undefined, fields: readonly F[]): Cell[][] {
  return value ? [fields.map((field) => value[field])] : [];
}

/** What the fields say. @throws ProtocolError for rows of another shape. */
export function fromMsgctlReply({ value, status, limits, usage }: Fields<"msgctlReply">): MsgctlResult {
  return {
    value,
    ...(status[0] ? { status: fromRow(status[0], STATUS) } : {}),
    ...(limits[0] ? { limits: fromRow(limits[0], LIMITS) } : {}),
    ...(usage[0] ? { usage: fromRow(usage[0], USAGE) } : {}),
  };
}

function fromRow<F extends string>(row: readonly Cell[], fields: readonly F[]): Record<F, number> {
  const entries = fields.map((field, index) => {
    const cell = row[index];
    if (typeof cell !== "number") throw new ProtocolError(`${field} in a msgctlReply's row is no number`);
    return [field, cell] as const;
  });
  return Object.fromEntries(entries) as Record<F, number>;
}
