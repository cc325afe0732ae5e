/** lib/net/channel.ts against real servers, with connections cut and servers started anew under it. */
import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "@std/assert";
import { PeerLostError, SystemError, TimeoutError } from "../../lib/base/errors.ts";
import { Channel } from "../../lib/net/channel.ts";
import type { Fields } from "../../lib/wire/messages.ts";
import { CuttingProxy } from "../support/cutting_proxy.ts";
import { BLOCK_SIZE, SIZE, TestServer, TRANSPORTS } from "../support/memory_server.ts";
import { Keys } from "../support/processes.ts";
import { seededTest } from "../support/seeded.ts";
import { until } from "../support/until.ts";

function channelTo(port: number): Channel {
  return new Channel("127.0.0.1", port, { incarnation: 0, epoch: 0 });
}

async function fetchAdd(channel: Channel, offset: number, timeoutMs = 10_000): Promise<bigint> {
  const { header } = await channel.request("fetchAdd", { offset, width: 8, operand: 1n }, false, { timeoutMs });
  return (header.fields as Fields<"valueReply">).value;
}

for (const transport of TRANSPORTS) {
  seededTest(
    `${transport}: channel: thousands in flight of every size, and all as a model has them`,
    async (random) => {
      await using server = await TestServer.start(transport, { size: 8 * 1024 * 1024 });
      await using channel = channelTo(server.server.port);
      const model = new Uint8Array(server.data.length);
      const wanted: Promise<void>[] = [];
      for (let i = 0; i < 2000; i++) {
        const size = random.pick([0, 1, 64, 4096, 20_000, random.isOneIn(50) ? 2_000_000 : 100]);
        const offset = random.below(model.length - size);
        if (random.isOneIn(2)) {
          const bytes = new Uint8Array(size).fill(random.word());
          model.set(bytes, offset);
          wanted.push(channel.write(offset, bytes));
        } else {
          const expected = model.slice(offset, offset + size);
          wanted.push(
            channel.read(offset, size).then((bytes) => {
              assert(bytes.length === size && bytes.every((byte, at) => byte === expected[at]), `${size} at ${offset}`);
            }),
          );
        }
      }
      await Promise.all(wanted);
      assertEquals((await channel.read(0, model.length)).every((byte, at) => byte === model[at]), true);
      assertEquals(
        ((await channel.request("regionInfo", {}, true)).header.fields as Fields<"regionInfoReply">).connectionCount,
        1,
      );
    },
  );

  Deno.test(`${transport}: channel: a refusal is told with the server's words`, async () => {
    await using server = await TestServer.start(transport);
    await using channel = channelTo(server.server.port);
    for (
      const refused of [channel.read(SIZE, 1), channel.write(SIZE - 1, new Uint8Array(2)), channel.read(0, 2 ** 31)]
    ) {
      const error = await assertRejects(() => refused, SystemError, `this region has ${SIZE} bytes`);
      assertStrictEquals((error as SystemError).code, "EINVAL");
    }
    await assertRejects(() => channel.request("layout", {}, true), SystemError, "ENOSYS");
    assertEquals((await channel.read(0, 1)).length, 1);
  });

  Deno.test(`${transport}: channel: a server started anew within the deadline goes on where it was`, async () => {
    using keys = new Keys();
    let port = 0;
    await using channel = await (async () => {
      await using server = await TestServer.start(transport, { keys });
      ({ port } = server.server);
      const channel = channelTo(port);
      await channel.write(100, new Uint8Array([1, 2, 3]));
      await server.stop(true);
      return channel;
    })();
    await until("the loss is known", () => !channel.isConnected);
    const read = channel.read(100, 3);
    const add = fetchAdd(channel, 8);
    await using server = await TestServer.start(transport, { keys, port });
    assertEquals([...await read], [1, 2, 3]);
    assertEquals(await add, 0n); // it had not been sent: it is no guess
    await server.stop();
  });

  seededTest(
    `${transport}: channel: cut again and again, what may be repeated arrives, nothing is done twice`,
    async (random) => {
      await using server = await TestServer.start(transport);
      await using proxy = new CuttingProxy(server.server.port);
      await using channel = channelTo(proxy.port);
      let known = 0;
      let unknown = 0;
      for (let round = 0; round < 40; round++) {
        for (let cuts = random.below(3); cuts > 0; cuts--) proxy.cuts.push(random.between(0, 400));
        const adds = Array.from({ length: 5 }, () => {
          return fetchAdd(channel, 0).then(() => known++, (error) => {
            assertInstanceOf(error, PeerLostError);
            assertStrictEquals(error.outcome, "unknown");
            unknown++;
          });
        });
        const bytes = random.bytes(random.between(1, 30_000));
        const writes = channel.write(BLOCK_SIZE, bytes).then(() => channel.read(BLOCK_SIZE, bytes.length));
        if (random.isOneIn(2)) proxy.cutAll();
        assertEquals(await writes, bytes);
        await Promise.all(adds);
        if (random.isOneIn(4)) proxy.cutAll();
      }
      const total = Number(new DataView(server.data.buffer).getBigUint64(0, true));
      assert(total >= known && total <= known + unknown, `${known} known, ${unknown} unknown, ${total} done`);
      assert(proxy.connectionCount > 20 && known > 20, `${proxy.connectionCount} connections, ${known} known`);
    },
  );

  Deno.test(`${transport}: channel: a request for a held block times out, the next finds it free`, async () => {
    await using server = await TestServer.start(transport);
    await using channel = channelTo(server.server.port);
    await channel.read(BLOCK_SIZE, 1); // on a busy machine connecting alone may take as long
    {
      using _held = server.hold(0);
      const [late, other] = await Promise.all([
        channel.write(0, new Uint8Array([1]), { timeoutMs: 200 }).catch((error) => error),
        channel.read(BLOCK_SIZE, 1),
      ]);
      assertInstanceOf(late, TimeoutError);
      assertEquals([late.outcome, other.length], ["unknown", 1]);
    }
    await channel.write(0, new Uint8Array([2]));
    assertEquals(server.data[0], 2);
  });

  Deno.test(`${transport}: channel: what waits for a held block is counted once, though its connection was given up`, async () => {
    await using server = await TestServer.start(transport);
    await using channel = channelTo(server.server.port);
    let add: Promise<bigint>;
    {
      using _held = server.hold(0);
      add = fetchAdd(channel, 0);
      // the connection that does not answer this in time is given up, and the session resumed over another
      await assertRejects(() => channel.read(0, 1, { timeoutMs: 100 }), TimeoutError);
      await until("the next connection", () => channel.isConnected);
    }
    const outcome = await add.catch((error) => error);
    const done = new DataView(server.data.buffer).getBigUint64(0, true);
    if (outcome instanceof PeerLostError) assertEquals(outcome.outcome, "unknown");
    else assertEquals([outcome, done], [0n, 1n]);
    assert(done <= 1n);
  });
}
