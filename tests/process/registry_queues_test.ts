/** Message queues of a registry as programs and tools meet them: waiting, giving up, dying, and the kernel's own beside them. */
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { turn } from "../../lib/base/clock.ts";
import { SystemError, TimeoutError } from "../../lib/base/errors.ts";
import { IPC_CREAT, IPC_NOWAIT, IPC_RMID, IPC_SET, IPC_STAT } from "../../lib/ipc/common/flags.ts";
import { MSG_EXCEPT, MSG_NOERROR } from "../../lib/ipc/queues/flags.ts";
import { connect } from "../../lib/node/cluster/cluster.ts";
import { hostQueues } from "../../lib/node/queues/kernel_queues.ts";
import { dsm, have, Keys, runCommand, TestCluster, testWhere } from "../support/processes.ts";
import type { Ran } from "../support/processes.ts";
import { TestRegistry } from "../support/registry.ts";
import { until, within } from "../support/until.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function parsed(ran: Ran): Record<string, unknown>[] {
  assertEquals([ran.code, ran.stderr], [0, ""]);
  return JSON.parse(ran.stdout);
}

Deno.test("ipcmk -Q, queue send, queue recv, ipcs -q and ipcrm -q on a registry, one after the other", async () => {
  await using registry = await TestRegistry.start();
  const run = (...args: string[]): Promise<Ran> => registry.dsm(...args);
  const missing = await run("queue", "send", "7", "hello");
  assertEquals(missing.code, 1);
  assertStringIncludes(missing.stderr, "ENOENT; make it with IPC_CREAT (dsm ipcmk -Q)");
  assertEquals((await run("ipcmk", "-Q", "--key", "7", "-p", "0640")).stdout, "Message queue id: 0\n");
  assertEquals((await run("ipcmk", "-Q", "--key", "7")).code, 1);
  assertEquals(await run("queue", "send", "7", "--type", "2", "two").then(({ code, stdout }) => [code, stdout]), [
    0,
    "",
  ]);
  assertEquals(parsed(await run("queue", "send", "7", "one", "--json")), [{ id: 0, type: 1, size: 3 }]);
  assertMatch((await run("ipcs", "-q")).stdout, /^0x00000007 0 {10}\S+ +640 {8}6 {12}2 {11}$/m);
  const [row] = parsed(await run("ipcs", "-q", "--json"));
  assertEquals([row?.["key"], row?.["perms"], row?.["qnum"], row?.["cbytes"], row?.["qbytes"]], [
    7,
    "0640",
    2,
    6,
    16384,
  ]);
  assertMatch(
    (await run("ipcs", "-q", "-u")).stdout,
    /^allocated queues = 1\nused headers = 2\nused space = 6 bytes\n$/m,
  );
  assertMatch((await run("ipcs", "-q", "-l")).stdout, /^max size of message \(bytes\) = 8192$/m);
  assertMatch((await run("ipcs", "-q", "-i", "0")).stdout, /^cbytes=6\tqbytes=16384\tqnum=2\t/m);
  assertEquals((await run("ipcs", "-q", "-i", "9")).stderr, "dsm: id 9 not found\n");

  assertEquals((await run("queue", "recv", "7", "--type=-9", "--json")).stdout, `[{"type":1,"text":"one"}]\n`);
  assertEquals((await run("queue", "recv", "7")).stdout, "two\n");
  const none = await run("queue", "recv", "7");
  assertEquals([none.code, none.stdout, none.stderr], [3, "", "dsm: no such message in queue 0\n"]);
  const late = await run("queue", "recv", "7", "--wait", "50ms", "--json");
  assertEquals([late.code, late.stdout], [3, "[]\n"]);
  const waiting = registry.start("queue", "recv", "7", "--type", "5", "--wait", "20s");
  const looking = registry.client();
  await until("it to be there", async () => (await looking.info()).sessionCount > 1);
  await run("queue", "send", "7", "other", "--type", "4");
  await run("queue", "send", "7", "five", "--type", "5");
  assertEquals((await waiting.end()).code, 0);
  assertEquals(waiting.stdout, "five\n");

  assertEquals(
    (await run("ipcrm", "-q", "5", "-Q", "8")).stderr,
    "dsm: invalid id (5)\ndsm: invalid key (0x00000008)\n",
  );
  assertEquals((await run("ipcrm", "-Q", "7")).code, 0);
  assertEquals(parsed(await run("ipcs", "-q", "--json")), []);
  await run("queue", "send", "9", "x", "--create");
  assertEquals((await run("ipcrm", "--all-queues")).code, 0);
  assertEquals(parsed(await run("ipcs", "-q", "--json")), []);
});

testWhere(
  have("ipcs"),
  "no util-linux here",
  "ipcs -q --host prints what util-linux prints; queue meets the kernel's",
  async () => {
    using keys = new Keys();
    const made = await dsm(["ipcmk", "-Q", "--key", `${keys.shm}`, "--host"]);
    const id = Number(/\d+/.exec(made.stdout)?.[0]);
    try {
      assertEquals((await dsm(["queue", "send", `${keys.shm}`, "hello", "--type", "3", "--host"])).code, 0);
      const linesOf = (text: string): string[] =>
        text.split("\n").filter((line) => /^-|msqid/.test(line) || line.split(/\s+/).includes(`${id}`));
      for (const view of [[], ["-t"], ["-p"], ["-c"]]) {
        const [ours, theirs] = await Promise.all([
          dsm(["ipcs", "-q", ...view, "--host"]),
          runCommand(["ipcs", "-q", ...view]),
        ]);
        assertEquals(linesOf(ours.stdout), linesOf(theirs.stdout));
        assertEquals(linesOf(ours.stdout).length, 3);
      }
      for (const view of [["-l"], ["-i", `${id}`]]) {
        const theirs = await runCommand(["ipcs", "-q", ...view]);
        assertEquals((await dsm(["ipcs", "-q", ...view, "--host"])).stdout, theirs.stdout);
      }
      assertEquals((await dsm(["queue", "recv", `${keys.shm}`, "--host"])).stdout, "hello\n");
      assertEquals((await dsm(["ipcrm", "-q", `${id}`, "--host"])).code, 0);
      assertEquals((await dsm(["queue", "recv", `${keys.shm}`, "--host"])).code, 1);
    } finally {
      await hostQueues().calls.msgctl(id, IPC_RMID).catch(() => {}); // gone already
    }
  },
);

for (const transport of ["epoll", "deno"]) {
  Deno.test(`queues on ${transport}: who waits is served in order, and told when the queue is removed`, async () => {
    await using registry = await TestRegistry.start(["--transport", transport]);
    const [a, b] = [registry.client().queues, registry.client().queues];
    const queue = await a.create({ key: 7 });
    const { calls } = b;
    const { id } = queue;
    await assertRejects(() => calls.msgrcv(id, 9, 0, { flags: IPC_NOWAIT }), SystemError, "ENOMSG");
    const first = calls.msgrcv(id, 9, 2);
    const second = a.calls.msgrcv(id, 9, 2, { flags: MSG_EXCEPT });
    await calls.msgsnd(id, 2, bytes("two"));
    await calls.msgsnd(id, 1, bytes("one"));
    assertEquals([(await first).text, (await second).text], ["two", "one"]);

    const { status } = await calls.msgctl(id, IPC_STAT);
    assertEquals([status?.qnum, status?.lspid, status?.lrpid, status?.key], [0, Deno.pid, Deno.pid, 7]);
    await calls.msgctl(id, IPC_SET, { uid: Deno.uid() ?? 0, gid: Deno.gid() ?? 0, mode: 0o600, qbytes: 4 });
    await calls.msgsnd(id, 1, bytes("full"));
    await assertRejects(() => calls.msgsnd(id, 1, bytes("x"), { flags: IPC_NOWAIT }), SystemError, "EAGAIN");
    await assertRejects(() => calls.msgsnd(id, 1, bytes("x"), { timeoutMs: 50 }), TimeoutError);
    const sending = calls.msgsnd(id, 1, bytes("more"));
    await assertRejects(() => a.calls.msgrcv(id, 2, 0), SystemError, "E2BIG");
    assertEquals((await a.calls.msgrcv(id, 2, 0, { flags: MSG_NOERROR })).text, "fu");
    await within("room", sending);
    const stuck = calls.msgsnd(id, 1, bytes("last"));
    const removed = assertRejects(() => stuck, SystemError, "EIDRM");
    await assertRejects(() => calls.msgrcv(id, 9, 5, { signal: AbortSignal.timeout(50) }), DOMException);
    await a.calls.msgctl(id, IPC_RMID);
    await removed;
    await assertRejects(() => calls.msgsnd(id, 1, bytes("x")), SystemError, "EINVAL");
  });

  Deno.test(`queues on ${transport}: given up, neither sent nor received; a message that was on its way goes to another`, async () => {
    await using registry = await TestRegistry.start(["--transport", transport]);
    const [a, b] = [registry.client().queues, registry.client().queues];
    const { id } = await a.create({ key: 7 });
    for (let round = 0; round < 30; round++) {
      // the message and the end of the wait cross each other somewhere
      const giveUp = new AbortController();
      const received = a.calls.msgrcv(id, 9, 0, { signal: giveUp.signal }).then(({ text }) => text, () => "given up");
      await turn();
      const sent = b.calls.msgsnd(id, 1, bytes(`m${round}`));
      if (round % 3 > 0) await turn();
      giveUp.abort(new Error("enough"));
      await sent;
      const text = await received;
      if (text !== "given up") assertEquals(text, `m${round}`);
      else assertEquals((await within("the message", b.calls.msgrcv(id, 9, 0))).text, `m${round}`);
      await assertRejects(() => b.calls.msgrcv(id, 9, 0, { flags: IPC_NOWAIT }), SystemError, "ENOMSG");
    }
  });

  Deno.test(`queues on ${transport}: what a receiver did not acknowledge before it died goes to another, at its old place`, async () => {
    await using registry = await TestRegistry.start(["--transport", transport]);
    const client = registry.client();
    const queue = await client.queues.create({ key: 7 });
    for (const text of ["first", "second", "third"]) await queue.send(1, text);
    const dying = registry.client();
    const taken = await (await dying.queues.open(7)).receive({ acknowledge: "later" });
    const kept = await (await dying.queues.open(7)).receive();
    assertEquals([taken.text, kept.text], ["first", "second"]);
    await dying.close();
    await until("the session to end", async () => (await client.info()).sessionCount === 1);
    const again = await queue.receive({ acknowledge: "later" });
    assertEquals([again.text, again.deliveryCount], ["first", 2]);
    await again.acknowledge();
    assertEquals((await queue.receive()).text, "third");
    assertEquals(await queue.receive({ wait: false }), undefined);
  });

  Deno.test(`queues on ${transport}: kill -9 of the registry loses no message, and who waits goes on waiting`, async () => {
    await using registry = await TestRegistry.start(["--transport", transport]);
    const [a, b] = [registry.client().queues, registry.client().queues];
    const queue = await a.create({ key: 7 });
    for (let i = 0; i < 20; i++) await queue.send(1, `${i}`);
    const held = await queue.receive({ acknowledge: "later" });
    const waiting = b.calls.msgrcv(queue.id, 9, 2);
    await registry.program.kill();
    await registry.restart();
    await held.acknowledge();
    for (let i = 1; i < 20; i++) assertEquals((await queue.receive()).text, `${i}`);
    await queue.send(2, "two");
    assertEquals((await within("the message", waiting)).text, "two");
    assertEquals(await queue.receive({ wait: false }), undefined, "what was acknowledged does not come again");
  });
}

Deno.test("a cluster has message queues and names: the registry's", async () => {
  await using registry = await TestRegistry.start();
  await using cluster = await TestCluster.start({ servers: 1 });
  await using connected = await connect({ config: cluster.address, registry: registry.address });
  const id = await connected.msgget(7, IPC_CREAT | 0o600);
  await connected.msgsnd(id, 3, bytes("three"));
  assertEquals((await connected.msgrcv(id, 100, -5)).text, "three");
  const { status } = await connected.msgctl(id, IPC_STAT);
  assertEquals(status?.qnum, 0);
  await connected.registry.bind("queue", "queue:7");
  assertEquals((await connected.registry.query("queue"))?.value, "queue:7");
  assertEquals((await connected.queues.list()).length, 1);
  assert(connected.size > 0);
});
