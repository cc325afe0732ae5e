/** How a memory server starts, stops and is lost, and what it leaves. */
import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "@std/assert";
import { SystemError } from "../../lib/base/errors.ts";
import type { Random } from "../../lib/base/random.ts";
import { FooterWord } from "../../lib/memory/layout.ts";
import { findSet, removeSet } from "../../lib/sys/semaphores.ts";
import { findSegment, removeSegment } from "../../lib/sys/shared_memory.ts";
import type { Fields } from "../../lib/wire/messages.ts";
import { frame } from "../support/frames.ts";
import { BLOCK_SIZE, TestServer, TRANSPORTS } from "../support/memory_server.ts";
import type { Peer, TestServerOptions, TransportName } from "../support/memory_server.ts";
import { Keys } from "../support/processes.ts";
import { RegionChild } from "../support/region_child.ts";
import { seededTest } from "../support/seeded.ts";
import { until, within } from "../support/until.ts";

/** A case, run on every transport. */
function onEach(
  name: string,
  run: (server: TestServer, random: Random) => Promise<void>,
  options: TestServerOptions = {},
): void {
  for (const transport of TRANSPORTS) {
    seededTest(`${transport}: ${name}`, async (random) => {
      await using server = await TestServer.start(transport, options);
      await run(server, random);
    });
  }
}

/** The same without a server. */
function onEachTransport(name: string, run: (transport: TransportName) => Promise<void>): void {
  for (const transport of TRANSPORTS) Deno.test(`${transport}: ${name}`, () => run(transport));
}

const BYTE = new Uint8Array([7]);

async function infoOf(peer: Peer): Promise<Fields<"regionInfoReply">> {
  return (await peer.request("regionInfo", {})).header.fields as Fields<"regionInfoReply">;
}

/** Until `count` requests have been parked since the server started. */
async function untilParked(watcher: Peer, count: number): Promise<void> {
  await until(`${count} parked requests`, async () => (await infoOf(watcher)).waitCount >= BigInt(count));
}

onEach("stopped while clients wait, read and write, it ends soon and leaves nothing", async (server) => {
  const held = server.hold(0);
  const peers = await Promise.all(Array.from({ length: 20 }, () => server.greet()));
  await Promise.all(peers.map((peer, i) => {
    return peer.send(
      frame("read", 1, { offset: BLOCK_SIZE, size: 2 * BLOCK_SIZE }),
      frame("write", 2, { offset: (i % 2) * BLOCK_SIZE }, BYTE),
      frame("wait", 3, { offset: 0, timeoutMs: 60_000 }, new Uint8Array(4)),
    );
  }));
  using watcher = await server.greet();
  await untilParked(watcher, 10);
  const stopped = server.stop();
  held[Symbol.dispose]();
  const started = performance.now();
  assertEquals(await stopped, true);
  assert(performance.now() - started < 3_000);
  for (const peer of peers) await peer.reader.rest();
});

Deno.test("stopped while somebody keeps a block, a server removes everything all the same, and says so", async () => {
  await using server = await TestServer.start("epoll");
  await using child = await RegionChild.start("hold", server.server.region, "0", "1");
  assertEquals(await server.stop(), false);
  await child.kill();
});

onEachTransport("stopped with --keep, the next server finds every byte", async (transport) => {
  using keys = new Keys();
  let cookie: string;
  {
    await using server = await TestServer.start(transport, { keys });
    assertEquals(server.server.start, "fresh");
    using peer = await server.greet();
    await peer.write(10, new TextEncoder().encode("kept"));
    ({ cookie } = server.server.region);
    await server.stop(true);
  }
  await using server = await TestServer.start(transport, { keys });
  assertEquals([server.server.start, server.server.region.cookie], ["taken-over", cookie]);
  assertEquals(server.server.region.word(FooterWord.startCount), 2);
  using peer = await server.greet();
  assertEquals(new TextDecoder().decode(await peer.read(10, 4)), "kept");
  await server.stop();
});

onEachTransport("a port that is taken is EADDRINUSE, and no memory is touched", async (transport) => {
  await using server = await TestServer.start(transport);
  using keys = new Keys();
  const error = await assertRejects(() => TestServer.start(transport, { keys, port: server.server.port }), SystemError);
  assertInstanceOf(error, SystemError);
  assertStrictEquals(error.code, "EADDRINUSE");
  assertEquals(keys.leftovers(), []);
});

onEachTransport("keys that are served already are EBUSY, and the port is free again", async (transport) => {
  using keys = new Keys();
  await using server = await TestServer.start(transport, { keys });
  const free = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = free.addr;
  free.close();
  const error = await assertRejects(() => TestServer.start(transport, { keys, port }), SystemError, "already running");
  assertStrictEquals((error as SystemError).code, "EBUSY");
  Deno.listen({ hostname: "127.0.0.1", port }).close();
  using peer = await server.greet();
  await peer.write(0, BYTE);
  await server.stop();
});

onEachTransport("a set or segment removed under it is a loss, said in words", async (transport) => {
  for (
    const [remove, words] of [
      [(keys: Keys) => removeSet(findSet(keys.sem) as number), "semaphore set"],
      [(keys: Keys) => removeSegment(findSegment(keys.shm) as number), "shared memory"],
    ] as const
  ) {
    using keys = new Keys();
    await using server = await TestServer.start(transport, { keys });
    using peer = await server.greet();
    const liveness = server.server.region.word(FooterWord.livenessId);
    assert(remove(keys));
    await peer.send(frame("write", 1, { offset: 0 }, BYTE));
    assert((await within("the loss", server.server.lost)).includes(words));
    await server.stop();
    removeSet(liveness);
  }
});
