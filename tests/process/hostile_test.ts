/** Clients that mean harm or are broken: the server closes them or waits for them, says why, and serves the others. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { connect } from "../../mod.ts";
import { HeldBlock } from "../support/holder.ts";
import { Program, ROOT, TestCluster, TestServer, testWhere } from "../support/processes.ts";
import { hello } from "../support/frames.ts";
import { frame, HELLO, joined, RawClient } from "../support/raw.ts";
import { until, within } from "../support/until.ts";

const TEXT = new TextEncoder().encode("0123456789abcdef");

/** Whether the server still serves: writes through one proper client and reads back. */
async function assertServes(port: number): Promise<void> {
  using client = await RawClient.native(port);
  await client.send(frame("write", 1, { offset: 64 }, TEXT));
  assertEquals((await client.reply()).header.name, "writeReply");
  await client.send(frame("read", 2, { offset: 64, size: TEXT.length }));
  assertEquals((await client.reply()).payload, TEXT);
}

function bigEndian(...words: number[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(4 * words.length);
  words.forEach((word, i) => new DataView(bytes.buffer).setUint32(4 * i, word));
  return bytes;
}

function classic(command: "r" | "w", start: number, end: number): Uint8Array<ArrayBuffer> {
  return joined(new TextEncoder().encode(command), bigEndian(start, end));
}

/** Bytes after which a connection is closed, with what the log says of it. */
const POISON: Record<string, { bytes: Uint8Array; says: RegExp }> = {
  "bytes of no dialect": { bytes: new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"), says: /no dialect/ },
  "a header of 4 GiB": { bytes: joined(HELLO, bigEndian(0xffff_ffff, 0)), says: /header of 4294967295 bytes/ },
  "a payload of 4 GiB": { bytes: joined(HELLO, bigEndian(20, 0xffff_ffff)), says: /payload of 4294967295 bytes/ },
  "an empty header": { bytes: joined(HELLO, bigEndian(0, 0)), says: /header of 0 bytes/ },
  "a header that is not msgpack": {
    bytes: joined(HELLO, bigEndian(3, 0), new Uint8Array([0xc1, 0xc1, 0xc1])),
    says: /msgpack|array/,
  },
  "a message of unknown kind": {
    bytes: joined(HELLO, bigEndian(5, 0), new Uint8Array([0x94, 1, 127, 0, 0])),
    says: /unknown kind 127/,
  },
  "a request before hello": {
    bytes: joined(new TextEncoder().encode("DSM1"), frame("read", 1, { offset: 0, size: 4 })),
    says: /before hello/,
  },
  "a second hello": { bytes: joined(HELLO, HELLO.subarray(4)), says: /second hello/ },
  "a version nobody speaks": {
    bytes: joined(
      new TextEncoder().encode("DSM1"),
      hello(new Uint8Array(0), 9).subarray(4),
    ),
    says: /versions 9 to 9/,
  },
  "a reply from a client": { bytes: joined(HELLO, frame("layoutReply", 1, { revision: 1, servers: [] })), says: /./ },
  "a classic range past the region": { bytes: classic("r", 0, 70_000), says: /70000 bytes at 0/ },
  "a classic range backwards": { bytes: classic("r", 9, 3), says: /9 to 3/ },
  "a classic range of 2 GiB": { bytes: classic("w", 0, 0x7fff_ffff), says: /classic range/ },
  "a negative classic start": { bytes: classic("r", 0xffff_ffff, 4), says: /classic range/ },
  "classic, then something else": {
    bytes: joined(classic("r", 0, 4), new TextEncoder().encode("z")),
    says: /classic request 122/,
  },
};

// 5,000 of Deno's connections take seconds to make: the portable transport shows it with fewer
for (const [transport, connections] of [["epoll", 5_000], ["deno", 1_500]] as const) {
  Deno.test(`what is not the protocol closes its connection with a line, and nothing else: ${transport}`, async (t) => {
    await using server = await TestServer.start(["--size", "64KiB", "--transport", transport]);
    for (const [what, { bytes, says }] of Object.entries(POISON)) {
      await t.step(what, async () => {
        server.program.stderr = "";
        using client = await RawClient.connect(server.port);
        await client.send(bytes);
        if (what === "a reply from a client") {
          // answered with an error or closed: both will do
          await assertServes(server.port);
          return;
        }
        await client.untilClosed();
        await server.program.saysErr(/WARN server: closed 127\.0\.0\.1:\d+: /);
        assertMatch(server.program.stderr, says);
      });
    }
    await assertServes(server.port);
  });

  Deno.test(`random bytes from many clients do no harm: ${transport}`, async () => {
    await using server = await TestServer.start(["--size", "64KiB", "--transport", transport]);
    await Promise.all(Array.from({ length: 60 }, async (_, i) => {
      using client = await RawClient.connect(server.port);
      const noise = crypto.getRandomValues(new Uint8Array(1 + (i * 997) % 40_000));
      // a third begins properly, so that the noise reaches the frames; a third pretends to be classic
      const start = i % 3 === 0 ? HELLO : i % 3 === 1 ? new TextEncoder().encode("r") : new Uint8Array(0);
      await client.send(joined(start, noise)).catch(() => {});
      await client.connection.closeWrite().catch(() => {});
      await client.untilClosed();
    }));
    await assertServes(server.port);
  });

  Deno.test(`a header cut in half, then silence or the end: ${transport}`, async () => {
    await using server = await TestServer.start(["--size", "64KiB", "--transport", transport]);
    const request = frame("write", 1, { offset: 0 }, TEXT);
    using silent = await RawClient.native(server.port);
    await silent.send(request.subarray(0, 11));
    for (let cut = 1; cut < request.length; cut += 5) {
      using client = await RawClient.native(server.port);
      await client.send(request.subarray(0, cut));
    }
    await assertServes(server.port);
    // and the silent one goes on where it was
    await silent.send(request.subarray(11));
    assertEquals((await silent.reply()).header.name, "writeReply");
  });

  Deno.test(`a client that sends one byte at a time is served like any other: ${transport}`, async () => {
    await using server = await TestServer.start(["--size", "64KiB", "--transport", transport]);
    const drip = async (client: RawClient, bytes: Uint8Array): Promise<void> => {
      for (const byte of bytes) {
        await client.send(new Uint8Array([byte]));
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
    };
    using native = await RawClient.connect(server.port);
    await drip(native, HELLO);
    assertEquals(new TextDecoder().decode(await native.receive(4)), "DSM1");
    assertEquals((await native.reply()).header.name, "welcome");
    await drip(native, frame("write", 1, { offset: 5 }, TEXT));
    assertEquals((await native.reply()).header.name, "writeReply");
    await drip(native, frame("read", 2, { offset: 5, size: TEXT.length }));
    assertEquals((await native.reply()).payload, TEXT);
    using old = await RawClient.connect(server.port);
    await drip(old, joined(classic("w", 5, 9), new TextEncoder().encode("drip")));
    await drip(old, classic("r", 5, 21));
    assertEquals(new TextDecoder().decode(await old.receive(16)), "drip456789abcdef");
    await drip(old, new TextEncoder().encode("q"));
    assertEquals(await old.untilClosed(), 0);
  });

  Deno.test(`each refused request is answered once, whatever came before it in the same packet: ${transport}`, async () => {
    await using server = await TestServer.start(["--size", "64KiB", "--transport", transport]);
    using client = await RawClient.native(server.port);
    await client.send(joined(
      frame("read", 1, { offset: 0, size: 4 }),
      frame("read", 2, { offset: 65_534, size: 4 }),
      frame("write", 3, { offset: 70_000 }, TEXT),
      frame("fetchAdd", 4, { offset: 2, width: 4, operand: 1n }),
      frame("fetchAdd", 5, { offset: 0, width: 3, operand: 1n }),
      frame("layout", 6, {}),
      frame("read", 7, { offset: 0, size: 4 }),
      frame("ping", 8, {}),
    ));
    const replies: string[] = [];
    while (!replies.includes("8 pong")) {
      const { header } = await client.reply();
      replies.push(`${header.id} ${header.name === "error" ? header.fields.code : header.name}`);
    }
    assertEquals(replies.sort(), [
      "1 readReply",
      "2 EINVAL",
      "3 EINVAL",
      "4 EINVAL",
      "5 EINVAL",
      "6 ENOSYS",
      "7 readReply",
      "8 pong",
    ]);
  });

  Deno.test(`requests before a broken one in the same packet are carried out: ${transport}`, async () => {
    await using server = await TestServer.start(["--size", "64KiB", "--transport", transport]);
    using client = await RawClient.connect(server.port);
    await client.send(joined(classic("w", 100, 104), new TextEncoder().encode("kept"), classic("r", 9, 3)));
    await client.untilClosed();
    using other = await RawClient.connect(server.port);
    await other.send(classic("r", 100, 104));
    assertEquals(new TextDecoder().decode(await other.receive(4)), "kept");
  });

  Deno.test(`clients that never read are closed, and cost the server little: ${transport}`, async () => {
    await using server = await TestServer.start(["--size", "16MiB", "--transport", transport, "--stall", "1s"]);
    await assertServes(server.port);
    const before = rss(server.program.pid);
    const clients = await Promise.all(Array.from({ length: 8 }, () => RawClient.native(server.port)));
    try {
      // each asks for 1.6 GiB and takes nothing of it
      const asks = joined(
        ...Array.from({ length: 100 }, (_, i) => frame("read", i + 1, { offset: 0, size: 16 * 2 ** 20 })),
      );
      await Promise.all(clients.map((client) => client.send(asks)));
      let peak = before;
      const closed = until("all of them to be closed", () => {
        peak = Math.max(peak, rss(server.program.pid));
        return server.program.stderr.match(/did not take its replies for 1000 ms/g)?.length === clients.length;
      }, 20_000);
      await assertServes(server.port);
      await closed;
      const grownMiB = (peak - before) / 2 ** 20;
      assert(grownMiB < 600, `the server grew by ${Math.round(grownMiB)} MiB`);
      await assertServes(server.port);
    } finally {
      for (const client of clients) client[Symbol.dispose]();
    }
  });

  testWhere(
    openFilesMax() > 5_200,
    `ulimit -n is ${openFilesMax()}, and 5,200 are needed`,
    `${connections} connections while another client works: ${transport}`,
    async () => {
      await using server = await TestServer.start(["--size", "64KiB", "--transport", transport]);
      using worker = await RawClient.native(server.port);
      const clients: RawClient[] = [];
      try {
        while (clients.length < connections) {
          clients.push(...await Promise.all(Array.from({ length: 250 }, () => RawClient.connect(server.port))));
          const from = performance.now();
          await worker.send(frame("read", clients.length, { offset: 0, size: 16 }));
          await worker.reply();
          const tookMs = Math.round(performance.now() - from);
          assert(tookMs < 2_000, `with ${clients.length} connections a read took ${tookMs} ms`);
        }
        const last = clients.at(-1) as RawClient;
        await last.send(classic("r", 0, 4));
        assertEquals(await last.receive(4), new Uint8Array(4));
        using asking = await RawClient.native(server.port);
        await asking.send(frame("regionInfo", 1, {}));
        const { header } = await asking.reply();
        assert(header.name === "regionInfoReply");
        assert(header.fields.connectionCount >= connections + 2, `${header.fields.connectionCount} connections`);
      } finally {
        for (const client of clients) client[Symbol.dispose]();
      }
      await until("the connections to be gone", async () => {
        using asking = await RawClient.native(server.port);
        await asking.send(frame("regionInfo", 1, {}));
        const { header } = await asking.reply();
        return header.name === "regionInfoReply" && header.fields.connectionCount <= 2;
      });
      assertEquals(await server.program.stop(), { code: 0, signal: null });
    },
  );
}

Deno.test("random bytes, cut headers and silence do no harm to a config server", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  await Promise.all(Array.from({ length: 40 }, async (_, i) => {
    using client = await RawClient.connect(cluster.port);
    const noise = crypto.getRandomValues(new Uint8Array(1 + (i * 997) % 40_000));
    await client.send(joined(i % 2 === 0 ? HELLO : new Uint8Array(0), noise)).catch(() => {});
    await client.connection.closeWrite().catch(() => {});
    await client.untilClosed();
  }));
  for (const { bytes } of Object.values(POISON).slice(1, 9)) {
    using client = await RawClient.connect(cluster.port);
    await client.send(bytes);
    await client.untilClosed();
  }
  using drip = await RawClient.connect(cluster.port);
  for (const byte of joined(HELLO, frame("layout", 1, {}))) await drip.send(new Uint8Array([byte]));
  assertEquals((await cluster.client(["write", "0", "fine"])).code, 0);
});

for (const attach of [true, false]) {
  Deno.test(`a client killed while it holds blocks, seen ${attach ? "through memory" : "over TCP"}: they come back, half written ones are suspect`, async () => {
    await using cluster = await TestCluster.start({ servers: 1, args: ["--size", "64KiB"] });
    const server = cluster.server(0);
    await using space = await connect({ config: cluster.address, attach });
    await space.fill(0, 65536, 0x11);
    await using victim = new Program([
      Deno.execPath(),
      "run",
      "-A",
      `${ROOT}tests/process/programs/hold_for_ever.ts`,
      cluster.address,
      "8192",
      "8192",
    ]);
    await victim.saysOut(/writing/);
    // others go on, who wants its blocks waits
    await space.write(0, TEXT);
    // on a connection of its own: behind the read that waits it would wait too
    await using watcher = await connect({ config: cluster.address, attach: false });
    let isDone = false;
    const waiting = space.read(8192, 8192).finally(() => isDone = true);
    const held = await until("the held guards to be seen", async () => {
      const { guards } = await watcher.blockStates(0);
      return guards.length === 2 ? guards : undefined;
    });
    assertEquals(held.map(([guard, value, pid]) => [guard, value, pid]), [[2, 0, victim.pid], [3, 0, victim.pid]]);
    assertEquals(isDone, false);
    await victim.kill();
    const bytes = await within("the blocks to come back", waiting);
    assertEquals([bytes[0], bytes[4095], bytes[4096], bytes[8191]], [0xee, 0xee, 0x11, 0x11]);
    const { code, stdout } = await cluster.client(["info", "--json"]);
    assertEquals([code, JSON.parse(stdout)[0].suspects], [0, 2]);
    if (!attach) await server.program.saysErr(/WARN server: block 2 is suspect(.|\n)*WARN server: block 3 is suspect/);
    assertEquals((await space.blockStates(0)).suspects.map(([block]) => block).sort(), [2, 3]);
    // found once, counted once
    await space.write(8192, TEXT);
    assertEquals((await space.info())[0]?.region?.suspectCount, 2);
  });
}

Deno.test("a TCP client killed while its request waits for a block leaves nothing behind", async () => {
  await using server = await TestServer.start(["--size", "64KiB"]);
  using block = new HeldBlock(server.keys, 0);
  using waiting = await RawClient.native(server.port);
  await waiting.send(frame("write", 1, { offset: 0 }, TEXT));
  await until("it to wait", () => block.waiters > 0);
  waiting[Symbol.dispose]();
  block.release();
  await assertServes(server.port);
  using client = await RawClient.native(server.port);
  await client.send(frame("read", 1, { offset: 0, size: 16 }));
  await client.reply();
  await until("every guard to be free", () => block.isFree);
});

function rss(pid: number): number {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  // what is the server's own: without the region, which is shared
  return ["RssAnon", "RssFile"].reduce(
    (sum, name) => sum + 1024 * Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]),
    0,
  );
}

function openFilesMax(): number {
  return Number(/Max open files\s+(\d+)/.exec(Deno.readTextFileSync("/proc/self/limits"))?.[1] ?? 0);
}
