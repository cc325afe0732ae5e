/** A server that is killed loses nothing: the next one on its keys takes the bytes over. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { connect } from "../../mod.ts";
import type { Cluster } from "../../mod.ts";
import { setSize } from "../../lib/sys/semaphores.ts";
import { dsm, TestCluster, TestServer } from "../support/processes.ts";
import { within } from "../support/until.ts";

/** A random generator that a seed repeats. */
function generator(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** Comparison without a diff of thousands of lines. */
function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

const SLOT_SIZE = 3_000;

/** Writes to its own slot again and again; returns what was acknowledged last. */
async function writeUntil(
  stopped: () => boolean,
  cluster: Cluster,
  address: number,
  random: (below: number) => number,
): Promise<{ readonly last: Uint8Array; readonly count: number }> {
  let last = new Uint8Array(SLOT_SIZE);
  let count = 0;
  while (!stopped()) {
    const next = new Uint8Array(new Uint32Array(SLOT_SIZE / 4).fill(random(2 ** 32)).buffer);
    await cluster.write(address, next, { timeoutMs: 20_000 });
    last = next;
    count++;
  }
  return { last, count };
}

for (const attach of [false, true]) {
  const way = attach ? "through memory" : "over TCP";
  Deno.test(`kill -9 at random moments under writes ${way}: every acknowledged write is there`, async () => {
    const seed = crypto.getRandomValues(new Uint32Array(1))[0] as number;
    console.log(`seed ${seed}`);
    const random = generator(seed);
    await using cluster = await TestCluster.start({ args: ["--size", "64KiB", "--block-size", "1KiB"] });
    await using space = await connect({ config: cluster.address, attach });
    // slots lie side by side over the whole space: some on two servers, most in several blocks
    const slots = Array.from({ length: Math.floor(space.size / SLOT_SIZE) }, (_, i) => i * SLOT_SIZE);
    let isOver = false;
    const writers = slots.map((at) => writeUntil(() => isOver, space, at, generator(random(2 ** 31))));
    const failed = Promise.race(writers.map((writer) => writer.then(() => new Promise<never>(() => {}))));
    failed.catch(() => {});
    const clientPause = async (): Promise<void> => {
      for (let i = random(40); i >= 0; i--) await space.read(0, 1);
    };
    for (let round = 0; round < 3; round++) {
      const server = cluster.server(random(3));
      await Promise.race([clientPause(), failed]);
      await server.program.kill();
      const { line, fields } = await Promise.race([server.restart(), failed]);
      assertEquals(fields["start"], "taken-over", line);
    }
    isOver = true;
    const written = await within("the last writes", Promise.all(writers), 25_000);
    await using fresh = await connect({ config: cluster.address, attach: false });
    for (const [i, { last }] of written.entries()) {
      const at = slots[i] as number;
      assert(isSame(await fresh.read(at, SLOT_SIZE), last), `the slot at ${at} lost a write; seed ${seed}`);
    }
    assert(written.every(({ count }) => count > 0));
  });
}

Deno.test("a server killed again and again is taken over each time, and says how often it was started", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  const server = cluster.server(0);
  await using space = await connect({ config: cluster.address, attach: false });
  await space.write(0, new TextEncoder().encode("still here"));
  for (let time = 2; time <= 4; time++) {
    await server.program.kill();
    const { fields } = await server.restart();
    assertEquals(fields["start"], "taken-over");
    assertEquals(new TextDecoder().decode(await space.read(0, 10)), "still here");
    assertEquals((await space.info())[0]?.region?.startCount, time);
  }
  const liveness = server.keys.liveness() ?? 0;
  await server.program.stop();
  assertEquals(server.keys.leftovers(), []);
  assertEquals(setSize(liveness), undefined);
});

Deno.test("a region is taken over only in its own shape", async () => {
  await using server = await TestServer.start(["--size", "64KiB"]);
  server.keys.withRegion((region) => region.data.fill(9));
  await server.program.kill();

  const { shm, sem } = server.keys;
  for (const args of [["--size", "128KiB"], ["--size", "64KiB", "--block-size", "8KiB"]]) {
    const { code, stderr, stdout } = await dsm(["server", "0", `${shm}`, `${sem}`, ...args]);
    assertEquals([code, stdout], [1, ""]);
    assertMatch(stderr, new RegExp(`${shm}.*another size.*--size 64KiB --block-size 4KiB.*ipcrm -M ${shm}`));
  }
  assertEquals((await server.restart()).fields["start"], "taken-over");
  assertEquals(server.keys.withRegion((region) => region.data.every((byte) => byte === 9)), true);
});
