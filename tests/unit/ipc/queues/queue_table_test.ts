/** The table of queues: who waits for what and who goes first, who may, and how much there may be. */
import { assert, assertEquals } from "@std/assert";
import {
  IPC_CREAT,
  IPC_INFO,
  IPC_NOWAIT,
  IPC_PRIVATE,
  IPC_RMID,
  IPC_SET,
  IPC_STAT,
} from "../../../../lib/ipc/common/flags.ts";
import {
  MSG_COPY,
  MSG_EXCEPT,
  MSG_INFO,
  MSG_NOERROR,
  MSG_STAT,
  MSG_STAT_ANY,
} from "../../../../lib/ipc/queues/flags.ts";
import { DEFAULT_LIMITS, TYPE_MAX } from "../../../../lib/ipc/queues/limits.ts";
import { isQuestion, msgctl } from "../../../../lib/ipc/queues/msgctl.ts";
import { QueueTable } from "../../../../lib/ipc/queues/queue_table.ts";
import { principal, refused } from "../segments/tables.ts";
import { ALICE, BOB, Desk, NOW, ROOT } from "./desk.ts";

// ---- by type

Deno.test("queues: by type the first, the first of one, the first of another, the first of the least", () => {
  const desk = new Desk();
  for (const [type, text] of [[5, "a"], [2, "b"], [9, "c"], [2, "d"], [5, "e"]] as const) desk.send(type, text);
  assertEquals(desk.receive(-4), "b");
  assertEquals(desk.receive(5, { flags: MSG_EXCEPT }), "c");
  assertEquals(desk.receive(-10), "d");
  assertEquals(desk.receive(0), "a");
  refused("ENOMSG", () => desk.receive(-4, { flags: IPC_NOWAIT }));
  refused("ENOMSG", () => desk.receive(5, { flags: IPC_NOWAIT | MSG_EXCEPT }));
  assertEquals(desk.receive(5), "e");
});

Deno.test("queues: what is too long stays, or is cut; a copy leaves it where it is", () => {
  const desk = new Desk();
  desk.send(1, "first");
  desk.send(2, "second");
  refused("E2BIG", () => desk.receive(2, { size: 5 }));
  const copy = (index: number, flags = 0, size = 10) =>
    desk.receive(index, { flags: MSG_COPY | IPC_NOWAIT | flags, size });
  assertEquals([copy(0), copy(1), copy(1)], ["first", "second", "second"]);
  refused("ENOMSG", () => copy(2));
  refused("ENOMSG", () => copy(-1));
  refused("E2BIG", () => copy(0, 0, 4));
  refused("EINVAL", () => copy(0, MSG_NOERROR, 4));
  refused("EINVAL", () => copy(0, MSG_EXCEPT));
  refused("EINVAL", () => desk.receive(0, { flags: MSG_COPY }));
  assertEquals(desk.receive(2, { size: 3, flags: MSG_NOERROR }), "sec");
  assertEquals(desk.texts(), ["first"]);
});

// ---- waiting

Deno.test("queues: receivers that wait get what fits them directly, in the order of waiting", () => {
  const desk = new Desk();
  const [two, any, other, small] = [
    desk.receive(2),
    desk.receive(0),
    desk.receive(0),
    desk.receive(7, { size: 1 }),
  ];
  desk.send(1, "for any");
  assertEquals(desk.completed(), [[any, "for any"]]);
  desk.send(2, "for two");
  assertEquals(desk.completed(), [[two, "for two"]]);
  desk.send(7, "long");
  assertEquals(desk.completed(), [[other, "long"]]);
  desk.send(7, "long");
  assertEquals(desk.completed(), [[small, "E2BIG"]]);
  assertEquals(desk.texts(), ["long"], "E2BIG leaves it to the next who asks");
  assertEquals(desk.table.waitingCount, 0);
});

Deno.test("queues: whom a message is too long for is told, and the next in line has it", () => {
  const desk = new Desk();
  const [small, cut, whole] = [
    desk.receive(1, { size: 2 }),
    desk.receive(1, { size: 2, flags: MSG_NOERROR }),
    desk.receive(1),
  ];
  desk.send(1, "message");
  assertEquals(desk.completed(), [[small, "E2BIG"], [cut, "me"]]);
  desk.send(1, "message");
  assertEquals(desk.completed(), [[whole, "message"]]);
});

Deno.test("queues: senders wait for room, go in order, and keep their places", () => {
  const desk = new Desk({ qbytes: 10 });
  desk.send(1, "12345");
  desk.send(1, "67890");
  const [big, small, last] = [desk.send(2, "12345678"), desk.send(2, "abc"), desk.send(2, "de")];
  refused("EAGAIN", () => desk.send(2, "x", { flags: IPC_NOWAIT }));
  assertEquals(desk.completed(), []);
  desk.receive(1);
  assertEquals(desk.completed(), [[small, "sent"], [last, "sent"]], "what fits goes, in order");
  desk.receive(1);
  assertEquals(desk.completed(), []);
  assertEquals(desk.send(3, "ab"), "sent", "what fits at once waits for nobody");
  desk.receive(2);
  desk.receive(2);
  assertEquals(desk.completed(), [[big, "sent"]]);
});

Deno.test("queues: a queue without bytes takes as many empty messages as it has bytes", () => {
  const desk = new Desk({ qbytes: 3 });
  for (let count = 0; count < 3; count++) assertEquals(desk.send(1, ""), "sent");
  refused("EAGAIN", () => desk.send(1, "", { flags: IPC_NOWAIT }));
  assertEquals(desk.receive(0), "");
  assertEquals(desk.send(1, ""), "sent");
});

Deno.test("queues: a full queue blocks a sender even for a receiver that waits, as with Linux", () => {
  const desk = new Desk({ qbytes: 1 });
  desk.send(1, "x");
  const receiver = desk.receive(2);
  const sender = desk.send(2, "y");
  assertEquals(desk.completed(), []);
  desk.receive(1);
  assertEquals(desk.completed(), [[sender, "sent"], [receiver, "y"]]);
});

Deno.test("queues: IPC_SET gives room, and takes rights from those who wait", () => {
  const desk = new Desk({ mode: 0o666, qbytes: 1 });
  const change = { uid: ALICE.uid, gid: ALICE.gid };
  const [stays, goes] = [desk.receive(1), desk.receive(1, { who: BOB })];
  desk.send(2, "x");
  const [fits, forbidden, tooLong] = [
    desk.send(2, "12"),
    desk.send(2, "12", { who: BOB }),
    desk.send(2, "1234567", { who: BOB }),
  ];
  desk.table.set(ALICE, desk.id, { ...change, mode: 0o600, qbytes: 6 }, NOW);
  assertEquals(desk.completed(), [[goes, "EACCES"], [fits, "sent"], [forbidden, "EACCES"]]);
  assertEquals(desk.table.waitingCount, 2, "nobody looks at a sender without room");
  desk.send(1, "y");
  assertEquals(desk.completed(), [[stays, "y"]]);
  assert(typeof tooLong === "number" && desk.table.cancel(tooLong));
});

Deno.test("queues: with IPC_RMID all who wait get EIDRM, and the id is nobody's", () => {
  const desk = new Desk({ qbytes: 1 });
  desk.send(1, "x");
  const waiting = [desk.receive(2), desk.receive(3), desk.send(1, "y"), desk.send(1, "z")];
  refused("EPERM", () => desk.table.remove(BOB, desk.id));
  desk.table.remove(ALICE, desk.id);
  assertEquals(desk.completed(), waiting.map((ticket) => [ticket, "EIDRM"]));
  refused("EINVAL", () => desk.receive(0));
  refused("EINVAL", () => desk.send(1, "x"));
});

Deno.test("queues: a call that is cancelled does not come back", () => {
  const desk = new Desk({ qbytes: 1 });
  const receiver = desk.receive(0) as number;
  assertEquals([desk.table.cancel(receiver), desk.table.cancel(receiver)], [true, false]);
  assertEquals(desk.send(1, "x"), "sent");
  const sender = desk.send(1, "y") as number;
  assert(desk.table.cancel(sender));
  assertEquals(desk.receive(0), "x");
  assertEquals([desk.texts(), desk.completed()], [[], []]);
});

// ---- who may, and how much there may be

Deno.test("queues: each call needs the right that Linux asks for", () => {
  const desk = new Desk({ mode: 0o624 });
  refused("EACCES", () => desk.send(1, "x", { who: BOB }));
  assertEquals(typeof desk.receive(0, { who: BOB }), "number");
  assertEquals(desk.send(1, "x", { who: principal(3, 1) }), "sent");
  refused("EACCES", () => desk.receive(0, { who: principal(3, 1) }));
  refused("EACCES", () => desk.table.stat(principal(3, 1), desk.id));
  assertEquals(desk.table.statAnyAt(desk.id).id, desk.id);
  refused("EPERM", () => desk.table.set(BOB, desk.id, { uid: 2, gid: 2, mode: 0, qbytes: 1 }, NOW));
});

Deno.test("queues: the limits are refused by name", () => {
  const table = new QueueTable({ limits: { msgmax: 4, msgmnb: 10, msgmni: 2 } });
  const id = table.msgget(ALICE, 7, IPC_CREAT | 0o600, NOW);
  assertEquals(table.msgget(ALICE, 7, IPC_CREAT | 0o600, NOW), id);
  table.msgget(ALICE, IPC_PRIVATE, 0o600, NOW);
  refused("ENOSPC", () => table.msgget(ALICE, IPC_PRIVATE, 0o600, NOW));
  refused("ENOENT", () => table.msgget(ALICE, 8, 0, NOW));
  const send = (type: number, size: number) =>
    table.msgsnd(ALICE, "s", { id, type, data: new Uint8Array(size), flags: 0 }, NOW);
  refused("EINVAL", () => send(1, 5));
  for (const type of [0, -1, 1.5, TYPE_MAX + 1]) refused("EINVAL", () => send(type, 4));
  assertEquals(send(TYPE_MAX, 4).outcome, "sent");
  const change = { uid: 1, gid: 1, mode: 0o600 };
  refused("EPERM", () => table.set(ALICE, id, { ...change, qbytes: 11 }, NOW));
  table.set(ROOT, id, { ...change, qbytes: 11 }, NOW);
  for (const qbytes of [-1, 0.5, 2 ** 31]) refused("EINVAL", () => table.set(ROOT, id, { ...change, qbytes }, NOW));
  refused("EINVAL", () => table.set(ROOT, id, { ...change, uid: -1, qbytes: 1 }, NOW));
});

Deno.test("queues: what each call leaves behind in times and pids", () => {
  const desk = new Desk();
  const stat = () => desk.table.stat(ALICE, desk.id);
  assertEquals([stat().stime, stat().rtime, stat().ctime, stat().lspid, stat().lrpid], [0, 0, NOW, 0, 0]);
  desk.now = NOW + 1;
  desk.send(1, "abc");
  assertEquals([stat().stime, stat().rtime, stat().lspid, stat().qnum, stat().cbytes], [NOW + 1, 0, ALICE.pid, 1, 3]);
  desk.now = NOW + 2;
  desk.receive(0);
  assertEquals([stat().stime, stat().rtime, stat().lrpid, stat().qnum], [NOW + 1, NOW + 2, ALICE.pid, 0]);
  desk.now = NOW + 3;
  desk.receive(0, { who: ROOT });
  desk.send(1, "");
  assertEquals([stat().rtime, stat().lrpid, stat().ctime], [NOW + 3, ROOT.pid, NOW]);
});

Deno.test("msgctl: each command by its number", () => {
  const desk = new Desk();
  desk.send(1, "abc");
  const call = (command: number, id = desk.id) => msgctl(desk.table, ALICE, { id, command }, NOW);
  assertEquals(call(IPC_STAT), { value: 0, status: desk.table.stat(ALICE, desk.id) });
  assertEquals(call(MSG_STAT).value, desk.id);
  assertEquals(call(MSG_STAT_ANY).value, desk.id);
  assertEquals(call(IPC_INFO), { value: 0, limits: DEFAULT_LIMITS });
  assertEquals(call(MSG_INFO).usage, { queueCount: 1, messageCount: 1, size: 3 });
  refused("EFAULT", () => call(IPC_SET));
  refused("EINVAL", () => call(99));
  refused("EINVAL", () => call(IPC_INFO, -1));
  assertEquals(call(IPC_RMID), { value: 0 });
  refused("EINVAL", () => call(IPC_STAT));
  assertEquals([IPC_STAT, IPC_SET, IPC_RMID, MSG_INFO].map(isQuestion), [true, false, false, true]);
});
