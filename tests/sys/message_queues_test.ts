/** This host's message queues through KernelQueues: calls that wait on other threads, in order, and are ended there. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { SystemError, TimeoutError } from "../../lib/base/errors.ts";
import { IPC_CREAT, IPC_EXCL, IPC_NOWAIT, IPC_PRIVATE, IPC_RMID } from "../../lib/ipc/common/flags.ts";
import { MSG_NOERROR } from "../../lib/ipc/queues/flags.ts";
import { hostQueues } from "../../lib/node/queues/kernel_queues.ts";
import { Queue } from "../../lib/node/queues/queue.ts";
import { libc } from "../../lib/sys/libc.ts";
import { WAITING_COUNT_MAX } from "../../lib/sys/message_queues.ts";
import { blockedCount } from "../support/blocked.ts";
import type { WaitingCall } from "../support/blocked.ts";
import { until, within } from "../support/until.ts";

libc(); // it stays open, so it is opened before any test begins

/** A queue of the kernel's that is removed after the test. */
async function withQueue(run: (queue: Queue) => Promise<void>): Promise<void> {
  const queue = await hostQueues().create();
  try {
    await run(queue);
  } finally {
    await queue.remove().catch(() => {}); // the test may have removed it
  }
}

/** Waits until `count` calls of this process wait in the kernel. */
async function untilBlocked(call: WaitingCall, count: number): Promise<void> {
  await until(`${count} ${call} in the kernel`, () => blockedCount(Deno.pid, call) === count);
}

async function refused(code: string, call: Promise<unknown>): Promise<void> {
  const error = await assertRejects(() => within(code, call), SystemError);
  assertEquals(error.code, code);
  assert(error.errno !== undefined && error.message.includes(code));
}

async function fill(queue: Queue): Promise<void> {
  while (await queue.send(1, new Uint8Array(1024), { wait: false }));
}

Deno.test("host queues: messages by type, cut, too long, none", () =>
  withQueue(async (queue) => {
    for (const [type, text] of [[5, "a"], [2, "bcd"], [2 ** 53 - 1, ""]] as const) await queue.send(type, text);
    await refused("E2BIG", queue.receive({ type: -3, size: 2 }));
    const cut = await queue.receive({ type: -3, size: 2, isCut: true });
    assertEquals([cut.type, cut.text, cut.deliveryCount], [2, "bc", 1]);
    const other = await queue.receive({ type: 5, isOtherType: true });
    assertEquals([other.type, other.data], [2 ** 53 - 1, new Uint8Array()]);
    assertEquals(await queue.receive({ type: 2, wait: false }), undefined);
    const { qnum, cbytes, lspid, lrpid, mode, uid } = await queue.status();
    assertEquals([qnum, cbytes, lspid, lrpid, mode, uid], [1, 1, Deno.pid, Deno.pid, 0o600, Deno.uid()]);
    await refused("EINVAL", queue.send(0, "no type"));
    await refused("EINVAL", queue.send(1, new Uint8Array(2 ** 24)));
  }));

Deno.test("host queues: who waits waits in the kernel, in order, and the event loop goes on", () =>
  withQueue(async (queue) => {
    const received: Promise<string>[] = [];
    for (let count = 1; count <= 3; count++) {
      received.push(queue.receive().then(({ text }) => text));
      await untilBlocked("msgrcv", count);
    }
    for (const text of ["first", "second", "third"]) await queue.send(1, text);
    assertEquals(await within("three messages", Promise.all(received)), ["first", "second", "third"]);

    await fill(queue);
    const sent = queue.send(2, new Uint8Array(1024));
    await untilBlocked("msgsnd", 1);
    assertEquals(await queue.send(2, "", { wait: false }), true, "what has room goes");
    await queue.receive({ type: 1 });
    assertEquals(await within("room", sent), true);
  }));

Deno.test("host queues: an abort ends the call in the kernel, and takes no message along", () =>
  withQueue(async (queue) => {
    for (const isReceiver of [true, false]) {
      const aborting = new AbortController();
      const options = { signal: aborting.signal };
      if (!isReceiver) await fill(queue);
      const call = isReceiver ? queue.receive({ type: 7, ...options }) : queue.send(7, new Uint8Array(1024), options);
      await untilBlocked(isReceiver ? "msgrcv" : "msgsnd", 1);
      const reason = new Error("enough");
      aborting.abort(reason);
      const error = await assertRejects(() => within<unknown>("the end of the call", call));
      assertEquals(error, reason);
      await untilBlocked(isReceiver ? "msgrcv" : "msgsnd", 0);
      assertEquals(await queue.receive({ type: 7, wait: false }), undefined);
    }
    await assertRejects(() => queue.receive({ signal: AbortSignal.abort(new Error("before")) }), Error, "before");
    assert((await queue.status()).qnum > 0, "nothing was received");
    await assertRejects(() => queue.receive({ type: 7, timeoutMs: 1 }), TimeoutError, "not within 1 ms");
  }));

Deno.test("host queues: an abort among many calls ends that one only", () =>
  withQueue(async (queue) => {
    const controllers = Array.from({ length: 4 }, () => new AbortController());
    const calls = controllers.map(({ signal }, index) => queue.receive({ type: index + 1, signal }));
    await untilBlocked("msgrcv", 4);
    controllers[2]?.abort(new Error("enough"));
    await assertRejects(() => calls[2] ?? Promise.resolve(), Error, "enough");
    for (const type of [1, 2, 4]) await queue.send(type, `${type}`);
    const others = await within("the others", Promise.all(calls.filter((_, index) => index !== 2)));
    assertEquals(others.map(({ text }) => text), ["1", "2", "4"]);
  }));

Deno.test("host queues: with its removal all who wait get EIDRM, and a loop over it ends", () =>
  withQueue(async (queue) => {
    await fill(queue);
    const sender = refused("EIDRM", queue.send(1, new Uint8Array(1024)));
    const receiver = refused("EIDRM", queue.receive({ type: 9 }));
    await untilBlocked("msgrcv", 1);
    await untilBlocked("msgsnd", 1);
    await queue.remove();
    await Promise.all([sender, receiver]);
    await refused("EINVAL", queue.receive());
  }));

Deno.test("host queues: a loop receives until the queue is removed", () =>
  withQueue(async (queue) => {
    for (const text of ["a", "b"]) await queue.send(1, text);
    const texts: string[] = [];
    const loop = (async () => {
      for await (const { text } of queue) texts.push(text);
    })();
    await until("two messages", () => texts.length === 2);
    await untilBlocked("msgrcv", 1);
    await queue.remove();
    await within("the end of the loop", loop);
    assertEquals(texts, ["a", "b"]);
  }));

Deno.test("host queues: disposing of one ends the calls that wait through it, and leaves the queue", () =>
  withQueue(async (queue) => {
    let call: Promise<unknown>;
    {
      await using same = new Queue(hostQueues().calls, queue.id);
      call = same.receive();
      await untilBlocked("msgrcv", 1);
    }
    await assertRejects(() => within("the end of the call", call), DOMException, "aborted");
    assertEquals((await queue.status()).id, queue.id);
  }));

Deno.test("host queues: more calls than may wait in the kernel wait all the same, and files can be read", () =>
  withQueue(async (queue) => {
    const aborting = new AbortController();
    const count = WAITING_COUNT_MAX + 4;
    const calls = Array.from(
      { length: count },
      (_, index) => queue.receive({ type: index + 1, signal: aborting.signal }),
    );
    await untilBlocked("msgrcv", WAITING_COUNT_MAX);
    await within("a file", Deno.readTextFile(new URL(import.meta.url)));
    for (let type = count; type > 4; type--) await queue.send(type, `${type}`);
    const texts = await within("messages", Promise.all(calls.slice(4)));
    assertEquals(texts.map(({ text }) => text), calls.slice(4).map((_, index) => `${index + 5}`));
    aborting.abort(new Error("enough"));
    for (const call of calls.slice(0, 4)) await assertRejects(() => call, Error, "enough");
  }));

Deno.test("host queues: made under a key, opened, listed, removed", async () => {
  const queues = hostQueues();
  const key = crypto.getRandomValues(new Int32Array(1))[0] ?? 1;
  const queue = await queues.create({ key, mode: 0o640 });
  try {
    await refused("EEXIST", queues.create({ key }));
    assertEquals((await queues.open(key)).id, queue.id);
    const status = (await queues.list()).find(({ id }) => id === queue.id);
    assertEquals([status?.key, status?.mode], [key >>> 0, 0o640]);
  } finally {
    await queue.remove();
  }
  await refused("ENOENT", queues.open(key));
});

Deno.test("host queues: System V's own calls", async () => {
  const { calls } = hostQueues();
  const id = await calls.msgget(IPC_PRIVATE, IPC_CREAT | IPC_EXCL | 0o600);
  try {
    await refused("ENOMSG", calls.msgrcv(id, 10, 0, { flags: IPC_NOWAIT }));
    await calls.msgsnd(id, 3, new Uint8Array([1, 2, 3]));
    const { type, data } = await calls.msgrcv(id, 2, 0, { flags: MSG_NOERROR });
    assertEquals([type, data], [3, new Uint8Array([1, 2])]);
    await refused("EINVAL", calls.msgrcv(id, -1, 0));
    while (await calls.msgsnd(id, 1, new Uint8Array(8), { flags: IPC_NOWAIT }).then(() => true, () => false));
    await refused("EAGAIN", calls.msgsnd(id, 1, new Uint8Array(8), { flags: IPC_NOWAIT }));
  } finally {
    await calls.msgctl(id, IPC_RMID);
  }
  await refused("EINVAL", calls.msgctl(id, IPC_RMID));
});
