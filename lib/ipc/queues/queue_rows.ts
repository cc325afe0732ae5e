/**
 * The table as plain rows, for a database: format 1.
 *
 *   - Rows are flat and hold only numbers, texts, bytes and null, so that any store takes them as they are.
 *   - One head, a row per queue (key `id`), a row per message (key `number`). A message's queue is its `queueId`, and its
 *     place in it the order of the numbers; it waits where `session` is null, else that session has it in delivery.
 *   - Nothing read is believed before it was checked, each row by itself and all of them together.
 */
import { CheckpointError } from "../../base/errors.ts";
import { IPC_PRIVATE, PERMISSION_BITS } from "../common/flags.ts";
import { ID_MAX, INDEX_COUNT, SEQUENCE_COUNT } from "../common/object_ids.ts";
import { requireDistinct, Row, WORD_MAX } from "../common/row.ts";
import { QBYTES_MAX, TYPE_MAX } from "./limits.ts";
import type { Message, Queue } from "./queue.ts";
import type { Placed, QueueStore } from "./queue_store.ts";

/** Grows when what an older dsm would read is no longer what was meant. */
export const ROW_FORMAT = 1;

/** What there is once. */
export interface HeadRow {
  /** {@linkcode ROW_FORMAT}. */
  readonly format: number;
  /** Of the latest id. */
  readonly sequence: number;
  /** Of the latest id; -1: there was none yet. */
  readonly lastIndex: number;
  /** The number of the next message. */
  readonly nextMessage: number;
}

/** A queue; fields as in {@linkcode Queue}. */
export type QueueRow = Queue;

/** A message; fields as in {@linkcode Message}. */
export interface MessageRow extends Message {
  /** The session that has it in delivery; null: it waits in its queue. */
  readonly session: string | null;
}

/** A whole table. */
export interface TableRows extends HeadRow {
  /** By their ids. */
  readonly queues: readonly QueueRow[];
  /** By their numbers. */
  readonly messages: readonly MessageRow[];
}

/** What to store after a call; the head always. */
export interface RowChanges {
  /** Replaces the head. */
  readonly head: HeadRow;
  /** New, or in place of those with the same id. */
  readonly queues: readonly QueueRow[];
  /** Ids of the rows to delete; their messages are among `removedMessages`. */
  readonly removedQueues: readonly number[];
  /** New, or in place of those with the same number. */
  readonly messages: readonly MessageRow[];
  /** Numbers of the rows to delete. */
  readonly removedMessages: readonly number[];
}

// ---- writing

/** All rows of a store. */
export function toRows(store: QueueStore): TableRows {
  const queues = store.all;
  const waiting = queues.flatMap(({ id }) => [...store.waitingIn(id)]);
  const messages = [
    ...waiting.map((message) => ({ ...message, session: null })),
    ...store.allHeld.map(({ message, session }) => ({ ...message, session })),
  ];
  return { ...headOf(store), queues, messages: messages.sort((a, b) => a.number - b.number) };
}

/** The rows of what has changed since this was last called. */
export function takeChangedRows(store: QueueStore): RowChanges {
  const { queues, messages, removedMessages } = store.takeChanges();
  const found = queues.map((id) => store.get(id));
  return {
    head: headOf(store),
    queues: found.flatMap((queue) => queue ?? []),
    removedQueues: queues.filter((_, index) => !found[index]),
    messages: messages.map(({ message, session }) => ({ ...message, session })),
    removedMessages,
  };
}

function headOf({ ids, nextNumber }: QueueStore): HeadRow {
  return { format: ROW_FORMAT, ...ids.circle, nextMessage: nextNumber };
}

// ---- reading

/** The parts of a table, checked. */
export interface ReadRows {
  /** Where ids and messages go on. */
  readonly head: HeadRow;
  /** All queues. */
  readonly queues: readonly Queue[];
  /** All messages, by their numbers. */
  readonly messages: readonly Placed[];
}

/**
 * Reads rows that nobody vouches for.
 *
 * @throws CheckpointError saying which row is wrong, and how.
 */
export function fromRows(rows: unknown): ReadRows {
  const table = new Row("the table of queues", rows);
  table.require(table.whole("format") === ROW_FORMAT, `has not format ${ROW_FORMAT}`);
  const head = {
    format: ROW_FORMAT,
    sequence: table.whole("sequence", 0, SEQUENCE_COUNT - 1),
    lastIndex: table.whole("lastIndex", -1, INDEX_COUNT - 1),
    nextMessage: table.whole("nextMessage", 1),
  };
  const queues = table.list("queues").map((row) => queueFrom(new Row("a queue", row)));
  const messages = table.list("messages").map((row) => messageFrom(new Row("a message", row)));
  requireDistinct("queues", "index", queues.map(({ id }) => id % INDEX_COUNT));
  requireDistinct("queues", "key", queues.map(({ key }) => key).filter((key) => key !== IPC_PRIVATE));
  requireDistinct("messages", "number", messages.map(({ message }) => message.number));
  const ids = new Set(queues.map(({ id }) => id));
  for (const { message: { number, queueId } } of messages) {
    if (!ids.has(queueId)) throw new CheckpointError(`message ${number} is in no queue`);
    if (number >= head.nextMessage) throw new CheckpointError(`message ${number} has a number to come`);
  }
  return { head, queues, messages: messages.sort((a, b) => a.message.number - b.message.number) };
}

function queueFrom(row: Row): Queue {
  return {
    id: row.whole("id", 0, ID_MAX),
    key: row.whole("key", 0, WORD_MAX),
    uid: row.whole("uid", 0, WORD_MAX),
    gid: row.whole("gid", 0, WORD_MAX),
    cuid: row.whole("cuid", 0, WORD_MAX),
    cgid: row.whole("cgid", 0, WORD_MAX),
    mode: row.whole("mode", 0, PERMISSION_BITS),
    qbytes: row.whole("qbytes", 0, QBYTES_MAX),
    stime: row.whole("stime"),
    rtime: row.whole("rtime"),
    ctime: row.whole("ctime"),
    lspid: row.whole("lspid"),
    lrpid: row.whole("lrpid"),
  };
}

function messageFrom(row: Row): Placed {
  const message = {
    number: row.whole("number", 1),
    queueId: row.whole("queueId", 0, ID_MAX),
    type: row.whole("type", 1, TYPE_MAX),
    data: row.bytes("data"),
    deliveryCount: row.whole("deliveryCount"),
  };
  const session = row.isNull("session") ? null : row.text("session");
  row.require(session === null || message.deliveryCount > 0, "is in delivery and was never given to anybody");
  return { message, session };
}
