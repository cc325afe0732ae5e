/** mod.ts against real servers. */
import { assert, assertEquals, assertInstanceOf, assertNotEquals, assertRejects } from "@std/assert";
import { connect, PeerLostError, SystemError, TimeoutError, UsageError } from "../../mod.ts";
import { HeldBlock } from "../support/holder.ts";
import { compiled, have, ROOT, runCommand, TestCluster, testWhere } from "../support/processes.ts";
import { until, within } from "../support/until.ts";

const SIZE = 65536;
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const bytes = (string: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(string);
const WAYS = [["through memory", true], ["over TCP", false]] as const;

for (const [way, attach] of WAYS) {
  Deno.test(`two thousand requests in flight at once ${way}, each answered with its own bytes`, async () => {
    await using cluster = await TestCluster.start();
    await using space = await connect({ config: cluster.address, attach });
    const slot = 98; // straddles blocks and servers
    const count = Math.min(2_000, Math.floor(space.size / slot));
    const wanted = Array.from({ length: count }, (_, i) => new Uint8Array(slot).fill(i).fill(i >> 8, 50));
    await Promise.all(wanted.map((piece, i) => space.write(i * slot, piece)));
    const got = await Promise.all(wanted.map((_, i) => space.read(i * slot, slot)));
    assertEquals(got.findIndex((piece, i) => piece.toHex() !== wanted[i]?.toHex()), -1);
    const whole = await space.read(0, count * slot);
    assertEquals(whole.toHex() === wanted.map((piece) => piece.toHex()).join(""), true);
  });

  Deno.test(`atomic words ${way}: 32 and 64 bits, signed operands, wrapping, little-endian`, async () => {
    await using cluster = await TestCluster.start({ servers: 1 });
    await using space = await connect({ config: cluster.address, attach });
    assertEquals(await space.fetchAdd(8, 5), 0);
    assertEquals(await space.fetchAdd(8, -7), 5);
    assertEquals(await space.fetchAdd(8, 1), 0xffff_fffe);
    assertEquals(await space.read(8, 8), new Uint8Array([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]));
    assertEquals(await space.fetchAdd(8, 1), 0xffff_ffff);
    assertEquals(await space.read(8, 8), new Uint8Array(8));
    assertEquals(await space.fetchAdd(16, 0x1_0000_0001n), 0n);
    assertEquals(await space.fetchAdd(16, -1n), 0x1_0000_0001n);
    assertEquals(await space.read(16, 8), new Uint8Array([0, 0, 0, 0, 1, 0, 0, 0]));
    assertEquals(await space.compareExchange(24, 0, 42), 0);
    assertEquals(await space.compareExchange(24, 0, 43), 42);
    assertEquals(await space.compareExchange(24, 42, -1), 42);
    assertEquals(await space.compareExchange(24, -1, 7), 0xffff_ffff);
    assertEquals(await space.compareExchange(32, 0n, -1n), 0n);
    assertEquals(await space.compareExchange(32, -1n, 9n), 2n ** 64n - 1n);
    assertEquals(await space.compareExchange(32, 8n, 1n), 9n);
    for (const wrong of [() => space.fetchAdd(2, 1), () => space.fetchAdd(12, 1n), () => space.fetchAdd(SIZE - 2, 1)]) {
      assertEquals((await assertRejects(wrong, SystemError)).code, "EINVAL");
    }
    await assertRejects(() => space.fetchAdd(0, 1.5), UsageError);
    await assertRejects(() => space.fetchAdd(0, 2 ** 32), UsageError);
    await assertRejects(() => space.fetchAdd(0, 2n ** 64n), UsageError);
    await assertRejects(() => space.compareExchange(0, 0, 1n as unknown as number), UsageError);
  });

  Deno.test(`ranges that are none are refused ${way}, and nothing else happens`, async () => {
    await using cluster = await TestCluster.start({ servers: 2 });
    await using space = await connect({ config: cluster.address, attach });
    for (
      const wrong of [
        () => space.read(2 * SIZE - 1, 2),
        () => space.read(-1, 1),
        () => space.read(0.5, 1),
        () => space.read(0, -1),
        () => space.read(0, NaN),
        () => space.write(2 * SIZE, new Uint8Array(1)),
        () => space.fill(0, 2 * SIZE + 1, 0),
      ]
    ) assertEquals((await assertRejects(wrong, SystemError)).code, "EINVAL");
    await assertRejects(() => space.fill(0, 1, 256), UsageError);
    assertEquals(await space.read(2 * SIZE, 0), new Uint8Array(0));
    await space.write(2 * SIZE, new Uint8Array(0));
  });

  Deno.test(`a deadline and a signal end what waits for a block ${way}; the block's holder is not disturbed`, async () => {
    await using cluster = await TestCluster.start({ servers: 1 });
    await using space = await connect({ config: cluster.address, attach });
    await space.write(0, bytes("before"));
    using block = new HeldBlock(cluster.server(0).keys, 0);
    const from = performance.now();
    const late = await assertRejects(() => space.read(0, 6, { timeoutMs: 300 }), TimeoutError);
    assertEquals(late.outcome, "no");
    assert(performance.now() - from < 3_000);
    assert(late.message.includes(cluster.server(0).address), late.message);
    const controller = new AbortController();
    const aborted = assertRejects(
      () => space.write(0, bytes("never!"), { signal: controller.signal }),
      Error,
      "changed my mind",
    );
    await until("the write to wait", () => block.waiters > 0);
    controller.abort(new Error("changed my mind"));
    await within("the abort", aborted, 2_000);
    await assertRejects(
      () => space.read(8192, 1, { signal: AbortSignal.abort(new Error("too late")) }),
      Error,
      "too late",
    );
    block.release();
    await until("the block to be free", () => block.isFree);
    await space.write(10, bytes("after"));
    assertEquals(text(await space.read(10, 5)), "after");
  });
}

Deno.test("a range over three servers is asked of all of them at once", async () => {
  await using cluster = await TestCluster.start({ args: ["--size", "64KiB", "--hold", "400ms"] });
  await using space = await connect({ config: cluster.address });
  await space.read(0, 0);
  const from = performance.now();
  await space.write(SIZE - 8, new Uint8Array(SIZE + 16).fill(1));
  const tookMs = performance.now() - from;
  assert(tookMs >= 400, `a server let go of its blocks after ${Math.round(tookMs)} ms`);
  assert(tookMs < 1_000, `one after the other: ${Math.round(tookMs)} ms`);
});

Deno.test("fetchAdd from four processes, attached and TCP mixed, is exact", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  const perProcess = 400;
  const ran = await Promise.all(["memory", "tcp", "memory", "tcp"].map(async (way) => {
    const { code, stdout, stderr } = await runCommand([
      Deno.execPath(),
      "run",
      "-A",
      `${ROOT}tests/process/programs/add.ts`,
      cluster.address,
      "128",
      `${perProcess}`,
      way,
    ]);
    assertEquals(code, 0, stderr);
    const said = JSON.parse(stdout) as { before: number[]; way: string };
    assertEquals(said.way, way);
    return said.before;
  }));
  const all = ran.flat().sort((a, b) => a - b);
  assertEquals(all.length, 4 * perProcess);
  assertEquals(all.findIndex((value, i) => value !== i), -1, "a value was given twice, or left out");
  await using space = await connect({ config: cluster.address });
  assertEquals(await space.fetchAdd(128, 0), 4 * perProcess);
});

// ---- waitUntil

const WRITERS: Record<string, (cluster: TestCluster) => Promise<unknown>> = {
  "a TCP writer": async (cluster) => {
    await using space = await connect({ config: cluster.address, attach: false });
    await space.write(64, bytes("AAAA"));
  },
  "an attached writer": async (cluster) => {
    await using space = await connect({ config: cluster.address });
    await space.write(64, bytes("AAAA"));
    assertNotEquals(space.attachments[0], undefined);
  },
  "fetchAdd": async (cluster) => {
    await using space = await connect({ config: cluster.address, attach: false });
    await space.fetchAdd(64, 0x4141_4141);
  },
  "the classic dialect": async (cluster) => {
    using connection = await Deno.connect({ port: cluster.server(0).port });
    // nobody answers a classic write: the read behind it is
    await connection.write(
      new Uint8Array([...[0x77, 0, 0, 0, 64, 0, 0, 0, 68, 65, 65, 65, 65], ...[0x72, 0, 0, 0, 64, 0, 0, 0, 68]]),
    );
    await connection.read(new Uint8Array(4));
  },
};

for (const [writer, write] of Object.entries(WRITERS)) {
  for (const [way, attach] of WAYS) {
    Deno.test(`waitUntil ${way} is woken by ${writer}`, async () => {
      await using cluster = await TestCluster.start({ servers: 1 });
      await using space = await connect({ config: cluster.address, attach });
      const waiting = space.waitUntil(64, (value) => value === 0x4141_4141);
      const wide = space.waitUntil(64, (value) => value !== 0n, { width: 8 });
      await write(cluster);
      assertEquals(await within("the wait", waiting), 0x4141_4141);
      assertEquals(await within("the wide wait", wide), 0x4141_4141n);
    });
  }
}

testWhere(have("cc"), "no C compiler here", "waitUntil is woken by a program that knows only the keys", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  await using space = await connect({ config: cluster.address, attach: false });
  const { shm, sem } = cluster.server(0).keys;
  const waiting = space.waitUntil(64, (value) => value === 0x4141_4141);
  await runCommand([compiled("key_only"), `${shm}`, `${sem}`, "4096", "write", "64", "AAAA"]);
  assertEquals(await within("the wait", waiting), 0x4141_4141);
});

Deno.test("waitUntil ends by its deadline, by its signal, and at once when it is so already", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  await using space = await connect({ config: cluster.address });
  assertEquals(await space.waitUntil(0, (value) => value === 0), 0);
  await assertRejects(() => space.waitUntil(0, (value) => value === 1, { timeoutMs: 200 }), TimeoutError);
  const controller = new AbortController();
  const waiting = assertRejects(
    () => space.waitUntil(0, (value) => value === 1, { signal: controller.signal }),
    Error,
    "enough",
  );
  await space.write(0, bytes("x"));
  controller.abort(new Error("enough"));
  await within("the abort", waiting, 2_000);
});

// ---- servers that come and go

for (const [way, attach] of WAYS) {
  Deno.test(`a server that is down fails its own ranges only (${way})`, async () => {
    await using cluster = await TestCluster.start();
    await using space = await connect({ config: cluster.address, attach, timeoutMs: 500 });
    await cluster.server(1).program.stop(); // in order, so that its memory is gone too
    const results = await Promise.allSettled([0, 1, 2].map((i) => space.write(i * SIZE, bytes("here"))));
    assertEquals(results.map((result) => result.status), ["fulfilled", "rejected", "fulfilled"]);
    const { reason } = results[1] as PromiseRejectedResult;
    assertInstanceOf(reason, PeerLostError);
    assert(reason.message.includes(cluster.server(1).address), reason.message);
    const across = await assertRejects(() => space.read(SIZE - 4, 8), PeerLostError);
    assertEquals(across.code, "PEER_LOST");
    assertEquals(text(await space.read(0, 4)), "here");
  });

  Deno.test(`requests to a server that is started again within their deadline succeed (${way})`, async () => {
    await using cluster = await TestCluster.start({ servers: 1 });
    await using space = await connect({ config: cluster.address, attach, timeoutMs: 20_000 });
    await space.write(0, bytes("kept"));
    await cluster.server(0).program.stop();
    const asked = [space.read(0, 4), space.write(8, bytes("new")), space.fetchAdd(16, 3)] as const;
    assertEquals((await cluster.server(0).restart()).fields["start"], "fresh");
    assertEquals(text(await asked[0]), "\0\0\0\0");
    await asked[1];
    assertEquals(await asked[2], 0);
    assertEquals(text(await space.read(8, 3)), "new");
    assertEquals(await space.fetchAdd(16, 0), 3);
  });
}

Deno.test("fetchAdd cut off by a killed server is never applied twice: the outcome is unknown", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  const server = cluster.server(0);
  await using space = await connect({ config: cluster.address, attach: false });
  await space.read(0, 1);
  using block = new HeldBlock(server.keys, 0);
  const adding = assertRejects(() => space.fetchAdd(0, 1), PeerLostError);
  const reading = space.read(0, 1); // may be repeated, and is
  await until("the request to wait", () => block.waiters > 0);
  await server.program.kill();
  await server.restart();
  block.release();
  assertEquals((await within("the failure", adding)).outcome, "unknown");
  assertEquals(await within("the read", reading), new Uint8Array(1));
  assertEquals(await space.fetchAdd(0, 0), 0);
});

Deno.test("regions are attached by themselves, and again when they were removed and made anew", async () => {
  await using cluster = await TestCluster.start({ servers: 2 });
  await using space = await connect({ config: cluster.address, timeoutMs: 20_000 });
  assertEquals(space.attachments, [undefined, undefined]);
  await space.write(SIZE - 2, bytes("both"));
  const [first, second] = space.attachments;
  assert(first && second);
  assertEquals((await space.info()).map((server) => server.way), ["memory", "memory"]);
  await cluster.server(0).program.stop();
  await cluster.server(0).restart();
  assertEquals(text(await space.read(SIZE - 2, 4)), "\0\0th");
  await space.write(0, bytes("again"));
  const [anew, same] = space.attachments;
  assert(anew && anew !== first, "the new region is attached");
  assertEquals(same === second, true);
  assertEquals((await space.info()).map((server) => server.way), ["memory", "memory"]);
  assertEquals(text(cluster.server(0).keys.withRegion((region) => region.data.slice(0, 5)) ?? bytes("")), "again");
});

Deno.test("a takeover does not disturb an attached client, which needs no server meanwhile", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  await using space = await connect({ config: cluster.address });
  await space.write(0, bytes("one"));
  const [attachment] = space.attachments;
  await cluster.server(0).program.kill();
  await space.write(0, bytes("two"), { timeoutMs: 1_000 });
  await cluster.server(0).restart();
  assertEquals(text(await space.read(0, 3)), "two");
  assertEquals(space.attachments[0] === attachment, true);
});

Deno.test("an attached client whose region is removed by ipcrm goes on with the next one", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  const server = cluster.server(0);
  await using space = await connect({ config: cluster.address, timeoutMs: 20_000 });
  await space.write(0, bytes("one"));
  const removed = await runCommand(["ipcrm", "-M", `${server.keys.shm}`]).catch(() => undefined);
  if (removed === undefined) return console.log("skipped: no ipcrm here");
  await server.program.end();
  await server.restart();
  await space.write(0, bytes("two"));
  assertEquals(text(server.keys.withRegion((region) => region.data.slice(0, 3)) ?? bytes("")), "two");
});

Deno.test("attach: false asks over TCP whatever could be attached", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  await using space = await connect({ config: cluster.address, attach: false });
  await space.write(0, bytes("x"));
  const [info] = await space.info();
  assertEquals([info?.way, info?.reason], ["tcp", "attaching was not asked for"]);
  assertEquals(space.attachments, [undefined]);
});

Deno.test("a loop of awaits through memory leaves timers their turn", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  await using space = await connect({ config: cluster.address });
  let isOver = false;
  const timer = setTimeout(() => isOver = true, 50);
  try {
    for (let i = 0; !isOver; i++) {
      await space.write(0, bytes("x"));
      assert(i < 5_000_000, "the timer never came");
    }
  } finally {
    clearTimeout(timer);
  }
});

Deno.test("await using closes everything: the program ends, the server's connections are gone", async () => {
  await using cluster = await TestCluster.start({ servers: 2 });
  for (const attach of [true, false]) {
    const program = `
      import { connect } from "${new URL("../../mod.ts", import.meta.url).href}";
      await using space = await connect({ config: "${cluster.address}", attach: ${attach} });
      await space.write(${SIZE - 3}, new Uint8Array(6));
      space.waitUntil(0, (value) => value === 1).catch(() => {});
      console.log("done");
    `;
    const ran = await runCommand([Deno.execPath(), "run", "-A", "-"], { stdin: program });
    assertEquals([ran.code, ran.stdout], [0, "done\n"], ran.stderr);
  }
  await using space = await connect({ config: cluster.address, attach: false });
  await until("the connections to be gone", async () => {
    // this client's and the config server's two are left
    return (await space.info()).every((server) => server.region?.connectionCount === 3);
  });
});

Deno.test("connect says which config server does not answer, and obeys its deadline and signal", async () => {
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" }); // accepts in the kernel, answers nothing
  const config = `127.0.0.1:${listener.addr.port}`;
  const late = await assertRejects(() => connect({ config, timeoutMs: 300 }), PeerLostError);
  assert(late.message.includes(config), late.message);
  await assertRejects(() => connect({ config, signal: AbortSignal.timeout(100) }), DOMException);
  await assertRejects(() => connect({ config: "nonsense" }), UsageError);
});
