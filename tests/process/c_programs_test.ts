/** Programs in C: one knows two keys and nothing else, one speaks classic, one the native dialect by hand. */
import { assertEquals, assertMatch, fail } from "@std/assert";
import { connect } from "../../mod.ts";
import { attachForLogger } from "../../lib/memory/open.ts";
import { Picture } from "../../lib/memory/picture.ts";
import { semaphoreState } from "../../lib/sys/semaphores.ts";
import { compiled, have, Program, runCommand, TestCluster, TestServer, testWhere } from "../support/processes.ts";
import type { Ran, TestServer as Server } from "../support/processes.ts";
import { until, within } from "../support/until.ts";

const HAS_CC = have("cc");
const NO_CC = "no C compiler here";
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const bytes = (string: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(string);

/** The command line of key_only on that server's region. */
function keyOnly(server: Server, ...args: (string | number)[]): string[] {
  const blockSize = server.ready.fields["block"] ?? "";
  return [compiled("key_only"), `${server.keys.shm}`, `${server.keys.sem}`, blockSize, ...args.map(String)];
}

for (const transport of ["epoll", "deno"]) {
  testWhere(
    HAS_CC,
    NO_CC,
    `a C program that knows only the keys holds a block: who wants it waits, others go on, all see the same (${transport})`,
    async () => {
      await using cluster = await TestCluster.start({
        servers: 1,
        args: ["--size", "64KiB", "--block-size", "4KiB", "--transport", transport],
      });
      const server = cluster.server(0);
      await using tcp = await connect({ config: cluster.address, attach: false });
      await using tcpToo = await connect({ config: cluster.address, attach: false });
      await using attached = await connect({ config: cluster.address });
      await attached.write(3 * 4096, bytes("before"));
      await using holder = new Program(keyOnly(server, "holdwrite", 3, 3 * 4096, "from C"));
      await holder.saysOut(/^held$/m);

      const done: string[] = [];
      const overTcp = tcp.read(3 * 4096, 6).finally(() => done.push("tcp"));
      const throughMemory = attached.read(3 * 4096, 6).finally(() => done.push("memory"));
      // those that need a neighbour of the block too
      const wide = attached.read(3 * 4096 - 3, 9).finally(() => done.push("wide"));
      const writing = tcpToo.write(4 * 4096 - 4, bytes("from TCP")).finally(() => done.push("write"));
      const setId = server.keys.withRegion((region) => region.guards.id) ?? -1;
      await until("all four to wait in the kernel", () => semaphoreState(setId, 3)?.waiterCount === 4);
      // other blocks, through every door, while they wait
      await using other = await connect({ config: cluster.address, attach: false });
      for (const door of [other, attached]) {
        await door.write(4096, bytes("meanwhile"));
        assertEquals(text(await door.read(4096, 9)), "meanwhile");
      }
      assertEquals((await runCommand(keyOnly(server, "read", 4096, 9))).stdout, "meanwhile\n");
      assertEquals(done, []);
      assertEquals(
        text(server.keys.withRegion((region) => region.data.slice(3 * 4096, 3 * 4096 + 6)) ?? bytes("")),
        "from C",
      );

      await holder.write("\n");
      assertEquals(await holder.end(), { code: 0, signal: null });
      assertEquals(text(await within("the TCP reader", overTcp)), "from C");
      assertEquals(text(await within("the attached reader", throughMemory)), "from C");
      assertEquals(text(await within("the wide reader", wide)), "\0\0\0from C");
      await within("the writer", writing);
      // and it sees what they wrote
      assertEquals((await runCommand(keyOnly(server, "read", 4 * 4096 - 4, 8))).stdout, "from TCP\n");
      await attached.write(4 * 4096 - 4, bytes("attached"));
      assertEquals((await runCommand(keyOnly(server, "read", 4 * 4096 - 4, 8))).stdout, "attached\n");
      assertEquals((await runCommand(keyOnly(server, "write", 8190, "over blocks"))).code, 0);
      assertEquals(text(await tcp.read(8190, 11)), "over blocks");
      assertEquals(text(await attached.read(8190, 11)), "over blocks");
    },
  );
}

testWhere(HAS_CC, NO_CC, "a key-only program killed with a block in its hands gives it back", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  await using holder = new Program(keyOnly(cluster.server(0), "hold", 0));
  await holder.saysOut(/^held 0$/m);
  await using tcp = await connect({ config: cluster.address, attach: false });
  const reading = tcp.read(0, 4);
  await holder.kill();
  assertEquals(await within("the read", reading), new Uint8Array(4));
});

testWhere(
  HAS_CC,
  NO_CC,
  "a key-only program goes on while the server is down, and the next server has what it wrote",
  async () => {
    await using server = await TestServer.start(["--size", "64KiB"]);
    await using holder = new Program(keyOnly(server, "holdwrite", 1, 4096, "held over"));
    await holder.saysOut(/^held$/m);
    await server.program.kill();
    assertEquals((await runCommand(keyOnly(server, "write", 0, "orphan"))).code, 0);
    assertEquals((await server.restart()).fields["start"], "taken-over");
    // a block held through all of it is still held: no semaphore was reset
    assertEquals(server.keys.withRegion((region) => semaphoreState(region.guards.id, 1)?.value), 0);
    await holder.write("\n");
    await holder.end();
    assertEquals((await runCommand(keyOnly(server, "read", 0, 6))).stdout, "orphan\n");
    assertEquals((await runCommand(keyOnly(server, "read", 4096, 9))).stdout, "held over\n");
  },
);

testWhere(HAS_CC, NO_CC, "a checkpoint has each block of a key-only program whole", async () => {
  // large, so that the writer is at work again when the picture comes to its block, the last one
  const size = 16 * 1024 * 1024;
  await using server = await TestServer.start(["--size", `${size}`, "--fill", "x"]);
  await using writer = new Program(keyOnly(server, "churn", size / 4096 - 1));
  await writer.saysOut(/^churning$/m);
  const info = server.keys.withRegion((region) => {
    return { shmid: region.memory.id, semid: region.guards.id, cookie: region.cookie };
  });
  using logged = attachForLogger(info ?? fail("there is no region"));
  const seen = new Set<number>();
  const image = new Uint8Array(size);
  await until("pictures of ten different moments", async () => {
    const picture = Picture.prepare(logged.region, logged.region.epochHeld + 1);
    picture.cut();
    picture.release();
    await picture.copyNext(image, AbortSignal.timeout(10_000));
    const block = image.subarray(size - 4096);
    assertEquals(block, new Uint8Array(4096).fill(block[0] as number));
    return seen.add(block[0] as number).size === 10;
  });
  await writer.kill();
});

function classic(cluster: TestCluster, args: readonly string[], stdin?: string): Promise<Ran> {
  return runCommand(
    [compiled("classic_client"), "127.0.0.1", `${cluster.port}`, "10", ...args],
    stdin === undefined ? {} : { stdin },
  );
}

for (const transport of ["epoll", "deno"]) {
  testWhere(
    HAS_CC,
    NO_CC,
    `the classic client works on three servers of ten bytes, to the byte (${transport})`,
    async () => {
      await using cluster = await TestCluster.start({
        servers: 3,
        args: ["--size", "10", "--block-size", "2", "--fill", "-", "--transport", transport],
      });
      const fresh = await classic(cluster, ["r", "0", "30"]);
      assertEquals([fresh.code, fresh.stdout], [0, `${"-".repeat(30)}\n`], fresh.stderr);
      const wrote = await classic(cluster, ["w", "7", "23", "sixteen letters!", "r", "0", "30", "r", "9", "11", "q"]);
      assertEquals([wrote.code, wrote.stdout], [0, "-------sixteen letters!-------\nxt\n"], wrote.stderr);
      // from standard input, as a person would
      const typed = await classic(cluster, [], "r 7 14\nw\n28\n30\nok\nr\n0 30\nr 5 5\nq\n");
      assertEquals([typed.code, typed.stdout], [0, "sixteen\n-------sixteen letters!-----ok\n\n"], typed.stderr);
      // our own client sees the same bytes, and the other way round
      assertEquals((await cluster.client(["read", "0", "30"])).stdout, "-------sixteen letters!-----ok\n");
      await cluster.client(["write", "8", "IX"]);
      assertEquals((await classic(cluster, ["r", "7", "14"])).stdout, "sIXteen\n");
      // every byte value survives
      const all = new Uint8Array(30).map((_, i) => (i * 37 + 128) & 0xff);
      await cluster.client(["write", "0", "-"], { stdin: all });
      assertEquals((await classic(cluster, ["r", "0", "30"])).bytes.subarray(0, 30), all);
    },
  );
}

testWhere(HAS_CC, NO_CC, "five classic clients at once leave whole pieces", async () => {
  await using cluster = await TestCluster.start({
    servers: 3,
    args: ["--size", "10", "--block-size", "2", "--fill", "-"],
  });
  const letters = ["a", "b", "c", "d", "e"];
  const ran = await Promise.all(letters.map((letter) => {
    const piece = letter.repeat(10);
    return classic(cluster, Array.from({ length: 20 }, () => ["w", "10", "20", piece, "r", "10", "20"]).flat());
  }));
  for (const { code, stdout, stderr } of ran) {
    assertEquals(code, 0, stderr);
    // ten bytes on one server are one operation: never a mixture
    for (const line of stdout.trim().split("\n")) assertMatch(line, /^(a{10}|b{10}|c{10}|d{10}|e{10})$/);
  }
});

testWhere(HAS_CC, NO_CC, "the native dialect spoken by hand in C", async () => {
  await using server = await TestServer.start(["--size", "64KiB"]);
  const native = (...args: string[]): Promise<Ran> =>
    runCommand([compiled("native_client"), "127.0.0.1", `${server.port}`, ...args]);
  const { code, stdout, stderr } = await native(
    ...["write", "4090", "over two blocks", "read", "4090", "15"],
    ...[
      "fetchAdd",
      "16",
      "8",
      "5000000000",
      "fetchAdd",
      "16",
      "8",
      "1",
      "fetchAdd",
      "24",
      "4",
      "7",
      "fetchAdd",
      "24",
      "4",
      "0",
    ],
  );
  assertEquals([code, stdout], [0, "written 15\nover two blocks\n0\n5000000000\n0\n7\n"], stderr);
  const past = await native("read", "65530", "10");
  assertEquals(past.code, 1);
  assertMatch(past.stderr, /EINVAL: 10 bytes at 65530/);
  const misaligned = await native("fetchAdd", "3", "4", "1");
  assertEquals(misaligned.code, 1);
  assertMatch(misaligned.stderr, /EINVAL/);
});
