/** A memory server whose blocks and peers are contended for: who waits and who does not. */
import { assert, assertEquals } from "@std/assert";
import type { Random } from "../../lib/base/random.ts";
import type { Fields } from "../../lib/wire/messages.ts";
import { concat, frame, hello } from "../support/frames.ts";
import { BLOCK_SIZE, SIZE, TestServer, TRANSPORTS } from "../support/memory_server.ts";
import type { Peer, TestServerOptions } from "../support/memory_server.ts";
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

const BYTE = new Uint8Array([7]);

async function infoOf(peer: Peer): Promise<Fields<"regionInfoReply">> {
  return (await peer.request("regionInfo", {})).header.fields as Fields<"regionInfoReply">;
}

/** Until `count` requests have been parked since the server started. */
async function untilParked(watcher: Peer, count: number): Promise<void> {
  await until(`${count} parked requests`, async () => (await infoOf(watcher)).waitCount >= BigInt(count));
}

onEach("while a block is held only the connection that needs it waits", async (server) => {
  using waiting = await server.greet();
  using other = await server.greet();
  {
    using _held = server.hold(1);
    await waiting.send(
      frame("write", 1, { offset: 0 }, BYTE),
      frame("write", 2, { offset: BLOCK_SIZE }, BYTE),
      frame("write", 3, { offset: 2 * BLOCK_SIZE }, BYTE),
    );
    await waiting.reply(1); // what came before is answered
    await untilParked(other, 1);
    for (const block of [0, 2, 3]) await other.write(block * BLOCK_SIZE + 1, BYTE);
    assertEquals(await other.read(2 * BLOCK_SIZE, 1), new Uint8Array(1)); // its third waits behind its second
    assertEquals(server.data[BLOCK_SIZE], 0);
    await until("one who waits in the kernel", async () => {
      const { guards } = (await other.request("blockStates", {})).header.fields as Fields<"blockStatesReply">;
      return JSON.stringify(guards) === JSON.stringify([[1, 0, Deno.pid, 1]]);
    });
  }
  await waiting.reply(2);
  await waiting.reply(3);
  assertEquals([server.data[BLOCK_SIZE], server.data[2 * BLOCK_SIZE]], [7, 7]);
});

onEach("an operation on many blocks waits for all of them at once, holding none meanwhile", async (server) => {
  using waiting = await server.greet();
  using other = await server.greet();
  {
    using _held = server.hold(5);
    await waiting.send(frame("fill", 1, { offset: 0, size: 10 * BLOCK_SIZE, byte: 7 }));
    await untilParked(other, 1);
    for (let block = 0; block < 10; block++) {
      if (block !== 5) await other.write(block * BLOCK_SIZE, new Uint8Array([1]));
    }
  }
  await waiting.reply(1);
  assert(server.data.subarray(0, 10 * BLOCK_SIZE).every((byte) => byte === 7));
});

onEach("classic requests wait for a held block as native ones do", async (server) => {
  using waiting = await server.dial();
  using watcher = await server.greet();
  const request = new Uint8Array([0x72, 0, 0, 0, 0, 0, 0, 0, 4]);
  {
    using _held = server.hold(0);
    await waiting.send(request);
    await untilParked(watcher, 1);
    server.data.set([1, 2, 3, 4]);
  }
  assertEquals([...await waiting.reader.bytes(4)], [1, 2, 3, 4]);
});

onEach(
  "a request that waited is served when its block is free, though half a frame has come behind it",
  async (server) => {
    using waiting = await server.greet();
    using other = await server.greet();
    const large = frame("write", 2, { offset: 0 }, new Uint8Array(100_000).fill(9));
    {
      using _held = server.hold(0);
      await waiting.send(frame("write", 1, { offset: 0 }, BYTE), large.subarray(0, 50_000));
      await untilParked(other, 1);
    }
    await waiting.reply(1);
    await other.write(0, new Uint8Array([8])); // its guard has been given back
    await waiting.send(large.subarray(50_000));
    await waiting.reply(2);
    assertEquals(server.data[99_999], 9);
  },
);

onEach("a client that goes while its request waits leaves nothing held", async (server) => {
  using other = await server.greet();
  {
    using _held = server.hold(0);
    for (let i = 0; i < 5; i++) {
      const waiting = await server.greet();
      await waiting.send(frame("write", 1, { offset: 0 }, BYTE));
      await untilParked(other, i + 1);
      waiting.close();
    }
  }
  await other.write(0, new Uint8Array([9]));
  const { guards } = (await other.request("blockStates", {})).header.fields as Fields<"blockStatesReply">;
  assertEquals(guards, []);
});

onEach("a hundred and fifty who wait for one block do not keep others from waiting for another", async (server) => {
  using watcher = await server.greet();
  const count = 150;
  const crowd: Peer[] = [];
  for (let i = 0; i < count; i++) crowd.push(await server.greet());
  using late = await server.greet();
  {
    using _first = server.hold(0);
    for (const peer of crowd) await peer.send(frame("write", 1, { offset: 0 }, BYTE));
    await untilParked(watcher, count);
    {
      using _second = server.hold(1);
      await late.send(frame("write", 1, { offset: BLOCK_SIZE }, BYTE));
      await untilParked(watcher, count + 1);
    }
    await within("the one whose block is free", late.reply(1), 8_000);
  }
  for (const peer of crowd) await peer.reply(1);
});

onEach("what a killed program held comes back, and a block it left half written is suspect, once", async (server) => {
  using peer = await server.greet();
  await using child = await RegionChild.start("half", server.server.region, `${2 * BLOCK_SIZE}`, `${BLOCK_SIZE}`);
  await peer.send(frame("read", 1, { offset: 2 * BLOCK_SIZE, size: 4 }));
  using watcher = await server.greet();
  await untilParked(watcher, 1);
  await child.kill();
  assertEquals((await peer.reply(1)).payload.toHex(), "aaaaaaaa");
  await peer.write(2 * BLOCK_SIZE, BYTE);
  assertEquals((await infoOf(watcher)).suspectCount, 1);
  const states = (await watcher.request("blockStates", {})).header.fields as Fields<"blockStatesReply">;
  assertEquals(states, { blockCount: SIZE / BLOCK_SIZE, guards: [], suspects: [[2]] });
  await until("a line in the log", () => server.lines.some((line) => line.startsWith("warn: block 2 is suspect")));
});

onEach("--hold keeps each operation's block, and others wait for it", async (server) => {
  using first = await server.greet();
  using second = await server.greet();
  const started = performance.now();
  await first.send(frame("write", 1, { offset: 0 }, new Uint8Array([1])));
  using watcher = await server.greet();
  await until("the block is held", async () => {
    const { guards } = (await watcher.request("blockStates", {})).header.fields as Fields<"blockStatesReply">;
    return guards.length === 1;
  });
  await second.send(frame("fetchAdd", 1, { offset: 0, width: 4, operand: 1n }));
  await untilParked(watcher, 1);
  assertEquals(server.data[0], 0);
  await first.reply(1);
  assertEquals((await second.reply(1)).header.fields as unknown, { value: 1n });
  const took = performance.now() - started;
  assert(took >= 2 * 200, `${took} ms`);
  assertEquals((await infoOf(watcher)).attachable, false);
}, { holdMs: 200 });

onEach("--hold: a client that goes while its block is held for it gives it back", async (server) => {
  using watcher = await server.greet();
  const first = await server.greet();
  await first.send(frame("write", 1, { offset: 0 }, BYTE));
  const held = async (): Promise<number> => {
    const { header } = await watcher.request("blockStates", {});
    return (header.fields as Fields<"blockStatesReply">).guards.length;
  };
  await until("the block is held", async () => await held() === 1);
  first.close();
  await until("the block is free", async () => await held() === 0);
}, { holdMs: 300 });

onEach("a client that never takes its replies is closed, its replies bounded, and others go on", async (server) => {
  using greedy = await server.greet();
  using other = await server.greet();
  const size = 8 * 1024 * 1024;
  const sent = greedy.send(...Array.from({ length: 200 }, (_, i) => frame("read", i, { offset: 0, size }))).catch(
    () => {},
  );
  const before = Deno.memoryUsage().rss;
  await until("it is closed", async () => {
    await other.write(0, BYTE);
    return (await infoOf(other)).connectionCount === 1;
  });
  await sent;
  const grown = Deno.memoryUsage().rss - before;
  assert(grown < 200 * 1024 * 1024, `${grown} bytes more`);
  assert(server.lines.some((line) => /did not take its replies/.test(line)), server.lines.join("\n"));
}, { stallMsMax: 300, size: 8 * 1024 * 1024 });

onEach("a client that takes its replies slowly gets them all", async (server) => {
  using slow = await server.greet();
  const size = 1024 * 1024;
  const count = 24;
  server.data.fill(3);
  await slow.send(...Array.from({ length: count }, (_, i) => frame("read", i, { offset: 0, size })));
  using other = await server.greet();
  await other.write(size - 1, new Uint8Array([3]));
  for (let i = 0; i < count; i++) {
    const { payload } = await slow.reply(i);
    assert(payload.length === size && payload.every((byte) => byte === 3));
    await other.request("ping", {});
  }
}, { size: 1024 * 1024 });

onEach("a thousand connections at once, each its own conversation", async (server) => {
  const count = 1000;
  const peers = await Promise.all(Array.from({ length: count }, () => server.dial()));
  await Promise.all(peers.map((peer) => peer.send(hello())));
  await Promise.all(peers.map((peer) => peer.welcomed()));
  await Promise.all(peers.map((peer, i) => peer.write(4 * i, new Uint8Array(new Uint32Array([i]).buffer))));
  const read = await Promise.all(peers.map((peer, i) => peer.read(4 * i, 4)));
  read.forEach((bytes, i) => assertEquals(new Uint32Array(bytes.buffer)[0], i));
  const replies = await Promise.all(peers.map((peer) => {
    return peer.request("fetchAdd", { offset: SIZE - 8, width: 8, operand: 1n });
  }));
  const values = replies.map(({ header }) => Number((header.fields as Fields<"valueReply">).value));
  assertEquals(values.sort((a, b) => a - b), Array.from({ length: count }, (_, i) => i));
  assertEquals((await infoOf(peers[0] as Peer)).connectionCount, count);
});

onEach("clients that add to one word at once, over TCP and attached, lose nothing", async (server) => {
  await using child = await RegionChild.start("add", server.server.region, "64", "2000");
  const peers = await Promise.all(Array.from({ length: 8 }, () => server.greet()));
  await Promise.all(peers.map(async (peer) => {
    for (let i = 0; i < 250; i++) await peer.request("fetchAdd", { offset: 64, width: 8, operand: 1n });
  }));
  await child.done();
  assertEquals(new DataView(server.data.buffer).getBigUint64(64, true), 4000n);
});

onEach("a write over several blocks is never seen in part", async (server) => {
  const size = 5 * BLOCK_SIZE;
  const offset = BLOCK_SIZE / 2;
  await using child = await RegionChild.start("fill", server.server.region, `${offset}`, `${size}`);
  using writer = await server.greet();
  using reader = await server.greet();
  const seen = new Set<number>();
  const startMs = performance.now();
  // for a while, and on a busy machine until there was something to be seen
  const isOver = (): boolean => {
    const ms = performance.now() - startMs;
    return ms > 20_000 || (ms > 700 && seen.size > 10);
  };
  const write = async (): Promise<void> => {
    for (let byte = 0; !isOver(); byte = (byte + 1) % 100) {
      await writer.write(offset, new Uint8Array(size).fill(byte));
    }
  };
  const read = async (): Promise<void> => {
    while (!isOver()) {
      const bytes = await reader.read(offset, size);
      assert(bytes.every((byte) => byte === bytes[0]), "torn");
      seen.add(bytes[0] as number);
    }
  };
  await Promise.all([write(), read()]);
  await child.kill();
  assert(seen.size > 10);
});

Deno.test("deno: a frame must arrive within two minutes, counted from its own first byte", async () => {
  await using server = await TestServer.start("deno");
  using idle = await server.greet();
  using slow = await server.greet();
  const large = frame("write", 2, { offset: 0 }, new Uint8Array(1000).fill(9));
  await slow.send(frame("ping", 1, {}), large.subarray(0, 500));
  await slow.reply(1);
  const now = performance.now.bind(performance);
  try {
    performance.now = () => now() + 200_000; // two minutes and more go by
    await idle.send(large.subarray(0, 500));
    await slow.isClosed();
  } finally {
    performance.now = now;
  }
  await idle.send(large.subarray(500));
  await idle.reply(2);
});

onEach("two conversations interleaved byte by byte do not mix", async (server, random) => {
  const streams = [3, 5].map((byte) =>
    concat(
      hello(),
      ...Array.from({ length: 20 }, (_, i) => {
        return frame("write", i + 1, { offset: byte * BLOCK_SIZE + i }, new Uint8Array([byte + i]));
      }),
    )
  );
  const peers = await Promise.all([server.dial(), server.dial()]);
  const at = [0, 0];
  while (streams.some((stream, i) => (at[i] as number) < stream.length)) {
    const i = random.below(2);
    const size = random.between(1, 20);
    await (peers[i] as Peer).send((streams[i] as Uint8Array).subarray(at[i], (at[i] as number) + size));
    at[i] = (at[i] as number) + size;
  }
  for (const peer of peers) {
    await peer.welcomed();
    for (let id = 1; id <= 20; id++) await peer.reply(id);
  }
  for (const byte of [3, 5]) {
    const expected = Uint8Array.from({ length: 20 }, (_, i) => byte + i);
    assertEquals(server.data.slice(byte * BLOCK_SIZE, byte * BLOCK_SIZE + 20), expected);
  }
});
