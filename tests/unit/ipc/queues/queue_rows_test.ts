/** Rows that nobody vouches for: one that is wrong is refused by name, and a sample of format 1 stays readable. */
import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { CheckpointError } from "../../../../lib/base/errors.ts";
import { fromRows } from "../../../../lib/ipc/queues/queue_rows.ts";
import type { MessageRow, QueueRow, TableRows } from "../../../../lib/ipc/queues/queue_rows.ts";
import { QueueTable } from "../../../../lib/ipc/queues/queue_table.ts";
import { ALICE, NOW } from "./desk.ts";

/** As dsm 0.1 has written it, bytes as lists. Not to be changed: what was stored once has to stay readable. */
const SAMPLE = `{
  "format": 1, "sequence": 1, "lastIndex": 3, "nextMessage": 9,
  "queues": [
    { "id": 2, "key": 4294967295, "uid": 1, "gid": 2, "cuid": 3, "cgid": 4, "mode": 384, "qbytes": 16384, "stime": 10,
      "rtime": 0, "ctime": 5, "lspid": 77, "lrpid": 0 },
    { "id": 32769, "key": 0, "uid": 1, "gid": 2, "cuid": 3, "cgid": 4, "mode": 438, "qbytes": 2147483647, "stime": 10,
      "rtime": 9, "ctime": 5, "lspid": 77, "lrpid": 78 }
  ],
  "messages": [
    { "number": 4, "queueId": 32769, "type": 9007199254740991, "data": [], "deliveryCount": 2, "session": null },
    { "number": 5, "queueId": 2, "type": 1, "data": [104, 105], "deliveryCount": 1, "session": "a" },
    { "number": 8, "queueId": 2, "type": 1, "data": [255], "deliveryCount": 0, "session": null }
  ]
}`;

function sample(): TableRows {
  return JSON.parse(SAMPLE, (name, value) => name === "data" ? new Uint8Array(value) : value);
}

Deno.test("queue rows: the sample of format 1 is read, and written as it was", () => {
  const table = new QueueTable({ rows: sample() });
  assertEquals(table.toRows(), sample());
  assertEquals(table.msgget(ALICE, 0, 0o600, NOW), 32_772);
  const outcome = table.msgsnd(ALICE, "s", { id: 32_772, type: 1, data: new Uint8Array(1), flags: 0 }, NOW);
  assertEquals(outcome.outcome, "sent");
  assertEquals(table.toRows().messages.at(-1)?.number, 9);
  table.endSession("a", NOW);
  assertEquals(table.toRows().messages.map(({ session }) => session), [null, null, null, null]);
});

/** The sample with other fields in its first queue. */
function withQueue(fields: Partial<Record<keyof QueueRow, unknown>>): unknown {
  const rows = sample();
  return { ...rows, queues: rows.queues.map((row, at) => at === 0 ? { ...row, ...fields } : row) };
}

/** The sample with other fields in its second message, which is in delivery. */
function withMessage(fields: Partial<Record<keyof MessageRow, unknown>>): unknown {
  const rows = sample();
  return { ...rows, messages: rows.messages.map((row, at) => at === 1 ? { ...row, ...fields } : row) };
}

const NO_NUMBERS = [undefined, null, "1", -1, 0.5, 2 ** 53];
const QUEUE_FIELDS = Object.keys(sample().queues[0] ?? {}) as (keyof QueueRow)[];
const MESSAGE_FIELDS = ["number", "queueId", "type", "deliveryCount"] as const;

const WRONG: readonly (readonly [string, unknown, RegExp])[] = [
  ["no object", 5, /is no row/],
  ["null", null, /is no row/],
  ["a later format", { ...sample(), format: 2 }, /has not format 1/],
  ["no list", { ...sample(), messages: {} }, /no list as messages/],
  ["a row that is none", { ...sample(), queues: [7] }, /a queue is no row/],
  ["a sequence too many", { ...sample(), sequence: 65_535 }, /as sequence/],
  ["an index too many", { ...sample(), lastIndex: 32_768 }, /as lastIndex/],
  ["a message to come", { ...sample(), nextMessage: 8 }, /message 8 has a number to come/],
  ...QUEUE_FIELDS.flatMap((name) =>
    NO_NUMBERS.map((value) =>
      [`${name} ${value}`, withQueue({ [name]: value }), new RegExp(`a queue.* as ${name}`)] as const
    )
  ),
  ...MESSAGE_FIELDS.flatMap((name) =>
    NO_NUMBERS.map((value) =>
      [`${name} ${value}`, withMessage({ [name]: value }), new RegExp(`a message.* as ${name}`)] as const
    )
  ),
  ["a mode with more bits", withQueue({ mode: 0o1600 }), /as mode/],
  ["an index twice", withQueue({ id: 1 }), /two queues have the same index/],
  ["a key twice", { ...sample(), queues: sample().queues.map((row) => ({ ...row, key: 7 })) }, /the same key/],
  ["type 0", withMessage({ type: 0 }), /as type/],
  ["no bytes", withMessage({ data: [1] }), /no bytes as data/],
  ["a number twice", withMessage({ number: 4 }), /two messages have the same number/],
  ["no queue", withMessage({ queueId: 7 }), /message 5 is in no queue/],
  ["no session", withMessage({ session: "" }), /no text as session/],
  ["in delivery to nobody yet", withMessage({ deliveryCount: 0 }), /was never given to anybody/],
];

Deno.test("queue rows: whatever is wrong is refused, and named", () => {
  for (const [name, rows, problem] of WRONG) {
    const error = assertThrows(() => fromRows(rows), CheckpointError, undefined, name);
    assertMatch(error.message, problem, name);
  }
});
