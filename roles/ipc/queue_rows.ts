/** Message queues as flat objects for programs: sizes in bytes, times in ISO 8601. */
import { PERMISSION_BITS } from "../../lib/ipc/common/flags.ts";
import type { QueueUsage } from "../../lib/ipc/queues/calls.ts";
import type { Limits } from "../../lib/ipc/queues/limits.ts";
import type { QueueStatus } from "../../lib/ipc/queues/queue.ts";
import { permissionsCell, timeOrNull } from "./rows.ts";
import type { Row } from "./rows.ts";

/** A queue. Times are null where there is none yet. */
export function queueRow({ mode, stime, rtime, ctime, ...queue }: QueueStatus): Row {
  const { id, key, uid, gid, cuid, cgid, qbytes, cbytes, qnum, lspid, lrpid } = queue;
  return {
    ...{ id, key, perms: permissionsCell(mode & PERMISSION_BITS) },
    ...{ uid, gid, cuid, cgid, qbytes, cbytes, qnum, lspid, lrpid },
    ...{ stime: timeOrNull(stime), rtime: timeOrNull(rtime), ctime: timeOrNull(ctime) },
  };
}

/** Limits. */
export function queueLimitsRow({ msgmni, msgmax, msgmnb }: Limits): Row {
  return { queueCountMax: msgmni, messageSizeMax: msgmax, queueSizeDefault: msgmnb };
}

/** What the queues hold. */
export function queueUsageRow({ queueCount, messageCount, size }: QueueUsage): Row {
  return { queueCount, messageCount, usedSize: size };
}
