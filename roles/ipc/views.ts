/** What `ipcs` can show of each kind of object, for people and for programs. */
import { invariant } from "../../lib/base/assert.ts";
import { IPC_INFO } from "../../lib/ipc/common/flags.ts";
import { MSG_INFO } from "../../lib/ipc/queues/flags.ts";
import type { Queues } from "../../lib/node/queues/queues.ts";
import { groupName, userName } from "../../lib/sys/users.ts";
import { queueLimitsRow, queueRow, queueUsageRow } from "./queue_rows.ts";
import {
  queueCreatorsText,
  queueLimitsText,
  queuePidsText,
  queuesText,
  queueText,
  queueTimesText,
  queueUsageText,
} from "./queue_text.ts";
import { limitsRow, segmentRow, usageRow } from "./rows.ts";
import type { Row } from "./rows.ts";
import type { Segments } from "./segments.ts";
import { creatorsText, limitsText, pidsText, segmentsText, segmentText, timesText, usageText } from "./text.ts";

/** The views but the plain list. */
export const VIEWS = ["time", "pid", "creator", "limits", "summary"] as const;
/** One of them. */
export type View = typeof VIEWS[number];

/** What is to be printed: for people, and for programs. */
export interface Shown {
  /** For people. */
  readonly text: string;
  /** For programs. */
  readonly rows: readonly Row[];
}

const SEGMENT_LISTS = { time: timesText, pid: pidsText, creator: creatorsText, list: segmentsText };
const QUEUE_LISTS = { time: queueTimesText, pid: queuePidsText, creator: queueCreatorsText, list: queuesText };
const NAMES = { user: userName, group: groupName };

/** Segments in a view. */
export async function viewSegments(segments: Segments, view: View | undefined): Promise<Shown> {
  if (view === "limits") {
    const limits = await segments.limits();
    return { text: limitsText(limits), rows: [limitsRow(limits)] };
  }
  if (view === "summary") {
    const usage = await segments.usage();
    return { text: usageText(usage), rows: [usageRow(usage)] };
  }
  const list = await segments.list();
  return { text: SEGMENT_LISTS[view ?? "list"](list, NAMES), rows: list.map(segmentRow) };
}

/** All about one segment; undefined where there is none with that id. */
export async function viewSegment(segments: Segments, id: number): Promise<Shown | undefined> {
  const segment = (await segments.list()).find((each) => each.id === id);
  return segment && { text: segmentText(segment), rows: [segmentRow(segment)] };
}

/** Queues in a view. */
export async function viewQueues(queues: Queues, view: View | undefined): Promise<Shown> {
  if (view === "limits") {
    const { limits } = await queues.calls.msgctl(0, IPC_INFO);
    invariant(limits !== undefined, "IPC_INFO tells the limits");
    return { text: queueLimitsText(limits), rows: [queueLimitsRow(limits)] };
  }
  if (view === "summary") {
    const { usage } = await queues.calls.msgctl(0, MSG_INFO);
    invariant(usage !== undefined, "MSG_INFO tells what is used");
    return { text: queueUsageText(usage), rows: [queueUsageRow(usage)] };
  }
  const list = await queues.list();
  return { text: QUEUE_LISTS[view ?? "list"](list, NAMES), rows: list.map(queueRow) };
}

/** All about one queue; undefined where there is none with that id. */
export async function viewQueue(queues: Queues, id: number): Promise<Shown | undefined> {
  const queue = (await queues.list()).find((each) => each.id === id);
  return queue && { text: queueText(queue), rows: [queueRow(queue)] };
}
