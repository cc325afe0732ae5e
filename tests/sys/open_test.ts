/** lib/memory/open.ts: how a server comes to its region and leaves it, whatever is there already and whoever dies. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { SystemError, UsageError } from "../../lib/base/errors.ts";
import { removeAbandoned } from "../../lib/memory/abandoned.ts";
import { FooterWord } from "../../lib/memory/layout.ts";
import { closeRegion, leaveRegion, openRegion, whyLost } from "../../lib/memory/open.ts";
import type { RegionRequest } from "../../lib/memory/open.ts";
import type { Region } from "../../lib/memory/region.ts";
import { libc } from "../../lib/sys/libc.ts";
import { createSet, findSet, removeSet, semaphoreValues, setSize } from "../../lib/sys/semaphores.ts";
import { createSegment, findSegment, removeSegment, segmentStatus, SharedMemory } from "../../lib/sys/shared_memory.ts";
import { Keys } from "../support/processes.ts";
import { RegionChild } from "../support/region_child.ts";
import { until } from "../support/until.ts";

libc();

const SIZE = 65_536;
const BLOCK_SIZE = 4096;

function requestFor(keys: Keys, other: Partial<RegionRequest> = {}): RegionRequest {
  return { shmkey: keys.shm, semkey: keys.sem, size: SIZE, blockSize: BLOCK_SIZE, fill: 0, mode: 0o600, ...other };
}

async function refusal(request: RegionRequest, code: string): Promise<string> {
  const error = await assertRejects(() => openRegion(request), SystemError);
  assertEquals((error as SystemError).code, code, (error as Error).message);
  return (error as Error).message;
}

/** A region under `keys` as a server that was killed leaves it, with words in its first bytes. */
async function leftByDead(keys: Keys): Promise<{ cookie: string; pid: number }> {
  await using child = RegionChild.spawn("open", `${keys.shm}`, `${keys.sem}`, `${SIZE}`, `${BLOCK_SIZE}`);
  const [, cookie = ""] = await child.program.saysOut(/^fresh (\S+)$/m);
  await until("its bytes", () => keys.withRegion(textOf) === "left by the dead");
  await child.kill();
  return { cookie, pid: child.program.pid };
}

function textOf(region: Region): string {
  return new TextDecoder().decode(region.data.slice(0, 16));
}

Deno.test("fresh: bytes as asked, guards all free, and nothing is left when it is closed", async () => {
  using keys = new Keys();
  const { region, start } = await openRegion(requestFor(keys, { fill: 0x41, mode: 0o640 }));
  assertEquals(start, "fresh");
  assert(region.data.every((byte) => byte === 0x41));
  const status = segmentStatus(region.memory.id);
  assertEquals([status.mode & 0o777, status.size], [0o640, region.layout.totalSize]);
  assertEquals([...semaphoreValues(region.guards.id, 16) ?? []], new Array(16).fill(1));
  assertEquals([findSegment(keys.shm), findSet(keys.sem)], [region.memory.id, region.guards.id]);
  assertEquals([region.word(FooterWord.startCount), region.word(FooterWord.serverPid)], [1, Deno.pid]);
  assertEquals([region.cookie.length, region.isServing, whyLost(region)], [32, true, undefined]);
  const liveness = region.word(FooterWord.livenessId);
  assertEquals([...semaphoreValues(liveness, 2) ?? []], [0, 1]);
  assertEquals(await closeRegion(region), true);
  assertEquals([keys.leftovers(), setSize(liveness)], [[], undefined]);
});

Deno.test("fresh: a set under the semaphore key is refused, and no segment is left", async () => {
  using keys = new Keys();
  const set = createSet(keys.sem, 3, 0o600) as number;
  assertStringIncludes(await refusal(requestFor(keys), "EEXIST"), `ipcrm -S ${keys.sem}`);
  assertEquals([findSegment(keys.shm), setSize(set)], [undefined, 3]);
});

Deno.test("fresh: sizes that cannot be are refused before anything is made", async () => {
  using keys = new Keys();
  await assertRejects(() => openRegion(requestFor(keys, { size: 100 })), UsageError);
  assertStringIncludes(await refusal(requestFor(keys, { size: 2 ** 45, blockSize: 2 ** 30 }), "ENOMEM"), "--size");
  assertEquals(keys.leftovers(), []);
});

Deno.test("a foreign segment is refused, named with its cure, and not touched", async () => {
  using keys = new Keys();
  const id = createSegment(keys.shm, 100_000, 0o600) as number;
  using memory = SharedMemory.attach(id);
  crypto.getRandomValues(memory.bytes.subarray(0, 60_000));
  const before = memory.bytes.slice();
  assertStringIncludes(await refusal(requestFor(keys), "EEXIST"), `ipcrm -M ${keys.shm}`);
  assertEquals(memory.bytes.slice(), before);
  assertEquals([findSet(keys.sem), findSegment(keys.shm), segmentStatus(id).attachCount], [undefined, id, 1]);
});

Deno.test("a region served already is refused, with the pid of who serves it", async () => {
  using keys = new Keys();
  const { region } = await openRegion(requestFor(keys));
  assertStringIncludes(await refusal(requestFor(keys), "EBUSY"), `already running (pid ${Deno.pid})`);
  assert(region.isServing);
  await using child = RegionChild.spawn("open", `${keys.shm}`, `${keys.sem}`, `${SIZE}`, `${BLOCK_SIZE}`, "exit");
  await child.program.saysOut(/^refused EBUSY: already running \(pid (\d+)\)/m);
  await child.done();
  await closeRegion(region);
});

Deno.test("after kill -9 the next one takes it over with every byte and the same cookie", async () => {
  using keys = new Keys();
  const { cookie, pid } = await leftByDead(keys);
  assertEquals(keys.withRegion((region) => region.word(FooterWord.serverPid)), pid);
  const { region, start } = await openRegion(requestFor(keys, { fill: 9 }));
  assertEquals([start, region.cookie, textOf(region)], ["taken-over", cookie, "left by the dead"]);
  assertEquals([region.word(FooterWord.startCount), region.word(FooterWord.serverPid)], [2, Deno.pid]);
  await closeRegion(region);
  assertEquals(keys.leftovers(), []);
});

Deno.test("another shape, or the wrong semaphore key, is refused; the right ones then take it over", async () => {
  using keys = new Keys();
  const { cookie } = await leftByDead(keys);
  for (const shape of [{ size: 2 * SIZE }, { blockSize: 2 * BLOCK_SIZE }, { size: SIZE / 2 }]) {
    const message = await refusal(requestFor(keys, shape), "EINVAL");
    assertStringIncludes(message, "--size 64KiB --block-size 4KiB");
  }
  using others = new Keys();
  await refusal(requestFor(keys, { semkey: others.sem }), "EINVAL");
  assertEquals(findSet(others.sem), undefined);
  createSet(others.sem, 16, 0o600);
  await refusal(requestFor(keys, { semkey: others.sem }), "EEXIST");
  const { region, start } = await openRegion(requestFor(keys));
  assertEquals([start, region.cookie, textOf(region)], ["taken-over", cookie, "left by the dead"]);
  await closeRegion(region);
});

Deno.test("a guard held by a process that lives is still held after a takeover", async () => {
  using keys = new Keys();
  await leftByDead(keys);
  const set = findSet(keys.sem) as number;
  await using holder = RegionChild.spawn("take", `${set}`, "5");
  await holder.program.saysOut(/^at work$/m);
  const { region } = await openRegion(requestFor(keys));
  assertEquals(region.guards.id, set);
  assertEquals([...semaphoreValues(set, 16) ?? []], new Array(16).fill(1).with(5, 0));
  await holder.kill();
  await until("its guard", () => semaphoreValues(set, 16)?.[5] === 1);
  await closeRegion(region);
});

Deno.test("a missing guard set is made again, one of another size refused", async () => {
  using keys = new Keys();
  await leftByDead(keys);
  removeSet(findSet(keys.sem) as number);
  const wrong = createSet(keys.sem, 15, 0o600) as number;
  assertStringIncludes(await refusal(requestFor(keys), "EEXIST"), `ipcrm -S ${keys.sem}`);
  removeSet(wrong);
  const { region, start } = await openRegion(requestFor(keys));
  assertEquals([start, setSize(findSet(keys.sem) as number)], ["taken-over", 16]);
  assertEquals(region.word(FooterWord.guardSetId), region.guards.id);
  await closeRegion(region);
});

Deno.test("a missing liveness set is made again, and held", async () => {
  using keys = new Keys();
  await leftByDead(keys);
  removeSet(keys.liveness() as number);
  const { region, start } = await openRegion(requestFor(keys));
  assertEquals(start, "taken-over");
  assertEquals([...semaphoreValues(region.word(FooterWord.livenessId), 2) ?? []], [0, 1]);
  await refusal(requestFor(keys), "EBUSY");
  await closeRegion(region);
  assertEquals(keys.leftovers(), []);
});

Deno.test("a server killed while it stopped: closing is taken over, gone is finished and made anew", async () => {
  using keys = new Keys();
  const { cookie } = await leftByDead(keys);
  keys.withRegion((region) => region.setState("closing"));
  const { region, start } = await openRegion(requestFor(keys));
  assertEquals([start, region.cookie, region.isServing], ["taken-over", cookie, true]);
  region.setState("gone");
  removeSet(region.guards.id);
  leaveRegion(region);
  const again = await openRegion(requestFor(keys));
  assertEquals(again.start, "fresh");
  assert(again.region.cookie !== cookie && again.region.data[0] === 0);
  await closeRegion(again.region);
  assertEquals(keys.leftovers(), []);
});

Deno.test("a region left is whoever opens it next's, in this process or another", async () => {
  using keys = new Keys();
  const first = await openRegion(requestFor(keys));
  first.region.data[0] = 7;
  leaveRegion(first.region);
  const second = await openRegion(requestFor(keys));
  assertEquals([second.start, second.region.data[0]], ["taken-over", 7]);
  leaveRegion(second.region);
  await using child = RegionChild.spawn("open", `${keys.shm}`, `${keys.sem}`, `${SIZE}`, `${BLOCK_SIZE}`, "exit");
  await child.program.saysOut(/^taken-over/m);
  await child.done();
});

Deno.test("what an abandoned region leaves is removed, a served or foreign one is not", async () => {
  using keys = new Keys();
  assertEquals(removeAbandoned(keys.shm), false);
  assertEquals(removeAbandoned(0), false);
  const { region } = await openRegion(requestFor(keys));
  assertEquals(removeAbandoned(keys.shm), false);
  assert(region.isServing);
  await closeRegion(region);
  await leftByDead(keys);
  const liveness = keys.liveness() as number;
  assertEquals(removeAbandoned(keys.shm), true);
  assertEquals([keys.leftovers(), setSize(liveness)], [[], undefined]);
  const foreign = createSegment(keys.shm, 8192, 0o600) as number;
  assertEquals([removeAbandoned(keys.shm), findSegment(keys.shm)], [false, foreign]);
});

Deno.test("why a region is lost is said in words", async () => {
  using keys = new Keys();
  const { region } = await openRegion(requestFor(keys));
  removeSet(region.guards.id);
  assertStringIncludes(whyLost(region) ?? "", "semaphore set");
  removeSegment(region.memory.id);
  assertStringIncludes(whyLost(region) ?? "", "shared memory");
  await closeRegion(region);
});

Deno.test("closing waits for who holds a block, not for ever, and removes everything all the same", async () => {
  using keys = new Keys();
  const { region } = await openRegion(requestFor(keys));
  const liveness = region.word(FooterWord.livenessId);
  await using holder = await RegionChild.start("hold", region, "0", "1");
  const closing = closeRegion(region);
  await holder.kill();
  assertEquals(await closing, true);
  assertEquals([keys.leftovers(), setSize(liveness)], [[], undefined]);
});

Deno.test("of two processes that open the same keys at once exactly one has them, fresh or taken over", async () => {
  const racers = [RegionChild.spawn("race"), RegionChild.spawn("race")];
  const winners = [0, 0];
  try {
    for (const { program } of racers) await program.saysOut(/^at work$/m);
    let round = 0;
    const orderAll = async (order: string): Promise<string[]> => {
      const name = `r${++round}`;
      await Promise.all(racers.map(({ program }) => program.write(`${name} ${order}\n`)));
      return await Promise.all(racers.map(async ({ program }) => {
        return (await program.saysOut(new RegExp(`^${name} (.*)\\.$`, "m")))[1] as string;
      }));
    };
    for (let i = 0; i < 60; i++) {
      using keys = new Keys();
      for (const start of ["fresh", "taken-over"]) {
        const outcomes = await orderAll(`open ${keys.shm} ${keys.sem}`);
        assertEquals(outcomes.toSorted(), ["EBUSY", start].toSorted(), `round ${i}`);
        const winner = outcomes.indexOf(start);
        winners[winner] = (winners[winner] ?? 0) + 1;
        if (start === "fresh") await orderAll("leave");
      }
      const liveness = keys.liveness() as number;
      await orderAll("close");
      assertEquals([keys.leftovers(), setSize(liveness)], [[], undefined]);
    }
  } finally {
    for (const racer of racers) await racer.kill();
  }
  assert(winners.reduce((sum, count) => sum + count) === 120);
});

Deno.test("a process that opens while another closes gets it fresh or hears that it runs, and is not left with half", async () => {
  await using racer = RegionChild.spawn("race");
  await racer.program.saysOut(/^at work$/m);
  const seen = new Set<string>();
  for (let round = 0; round < 60; round++) {
    using keys = new Keys();
    const { region } = await openRegion(requestFor(keys));
    const closing = closeRegion(region);
    await racer.program.write(`c${round} open ${keys.shm} ${keys.sem}\n`);
    const [, outcome = ""] = await racer.program.saysOut(new RegExp(`^c${round} (.*)\\.$`, "m"));
    await closing;
    assert(["fresh", "EBUSY"].includes(outcome), `${outcome}: ${racer.program.stderr.slice(-500)}`);
    seen.add(outcome);
    if (outcome !== "EBUSY") {
      assertEquals(keys.withRegion((region) => whyLost(region)), undefined);
      await racer.program.write(`d${round} close\n`);
      await racer.program.saysOut(new RegExp(`^d${round} closed`, "m"));
    }
    assertEquals(keys.leftovers(), [], outcome);
  }
  assert(seen.has("EBUSY") || seen.has("fresh"));
});
