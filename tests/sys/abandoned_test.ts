/** lib/memory/abandoned.ts: what is an orphan, and what of it goes. */
import { assertEquals } from "@std/assert";
import { findOrphans, removeOrphan } from "../../lib/memory/abandoned.ts";
import type { Orphan } from "../../lib/memory/abandoned.ts";
import { FooterWord } from "../../lib/memory/layout.ts";
import { LOGGER_TOKEN, takeToken } from "../../lib/memory/liveness.ts";
import { attachForLogger, closeRegion, leaveRegion, openRegion } from "../../lib/memory/open.ts";
import { createSet, removeSet, setSize } from "../../lib/sys/semaphores.ts";
import { createSegment, findSegment, SharedMemory } from "../../lib/sys/shared_memory.ts";
import { hostSegments } from "../../lib/sys/sysvipc.ts";
import { Keys, runCommand, testWhere, works } from "../support/processes.ts";

const REQUEST = { size: 65_536, blockSize: 4096, fill: 7, mode: 0o600 };

/** A region under `keys` that nobody serves; its ids, and what it looks like as an orphan. */
async function leftIn(keys: Keys): Promise<Orphan & { semid: number }> {
  const { region } = await openRegion({ ...REQUEST, shmkey: keys.shm, semkey: keys.sem });
  const { memory: { id }, cookie } = region;
  const semid = region.guards.id;
  leaveRegion(region);
  return { id, key: keys.shm, size: REQUEST.size, cookie, serverPid: Deno.pid, nattch: 0, semid };
}

/** The orphans under `keys`: nobody else's segment is looked at. */
function orphansUnder(keys: Keys): Orphan[] {
  return findOrphans(({ key }) => key === keys.shm);
}

Deno.test("an orphan is found, and goes with its guards and its liveness set", async () => {
  using keys = new Keys();
  const { semid: _, ...orphan } = await leftIn(keys);
  const liveness = keys.liveness() as number;
  assertEquals(orphansUnder(keys), [orphan]);
  assertEquals(removeOrphan(orphan), true);
  assertEquals([keys.leftovers(), setSize(liveness), orphansUnder(keys)], [[], undefined, []]);
  assertEquals(removeOrphan(orphan), false);
});

Deno.test("a region is no orphan while its server or its logger lives", async () => {
  using keys = new Keys();
  const orphan = await leftIn(keys);
  const { region } = await openRegion({ ...REQUEST, shmkey: keys.shm, semkey: keys.sem });
  assertEquals([orphansUnder(keys), removeOrphan(orphan)], [[], false]);
  const logger = attachForLogger({ shmid: orphan.id, semid: orphan.semid, cookie: orphan.cookie });
  leaveRegion(region);
  assertEquals([orphansUnder(keys), removeOrphan(orphan)], [[], false]);
  logger[Symbol.dispose]();
  assertEquals(orphansUnder(keys).length, 1);
  // and whoever was refused has kept no token: a server may have it
  const again = await openRegion({ ...REQUEST, shmkey: keys.shm, semkey: keys.sem });
  assertEquals([again.start, again.region.data[0]], ["taken-over", 7]);
  await closeRegion(again.region);
});

Deno.test("a logger's token alone keeps a region, attached or not; a liveness set that is gone keeps nothing", async () => {
  using keys = new Keys();
  const orphan = await leftIn(keys);
  const liveness = keys.liveness() as number;
  assertEquals(takeToken(liveness, LOGGER_TOKEN), "taken");
  assertEquals([orphansUnder(keys), removeOrphan(orphan), keys.leftovers().length], [[], false, 2]);
  removeSet(liveness);
  assertEquals(orphansUnder(keys).length, 1);
  assertEquals([removeOrphan(orphan), keys.leftovers()], [true, []]);
});

Deno.test("an orphan that a program is attached to is shown with it, and stays", async () => {
  using keys = new Keys();
  const orphan = await leftIn(keys);
  const program = SharedMemory.attach(orphan.id);
  assertEquals(orphansUnder(keys).map(({ nattch }) => nattch), [1]);
  assertEquals([removeOrphan(orphan), findSegment(keys.shm)], [false, orphan.id]);
  assertEquals(keys.withRegion((region) => region.isServing), true);
  program.detach();
  assertEquals(removeOrphan(orphan), true);
});

Deno.test("what is no region of ours is no orphan, nor is another region under the same id", async () => {
  using keys = new Keys();
  createSegment(keys.shm, 278_528, 0o600);
  assertEquals(orphansUnder(keys), []);
  using others = new Keys();
  const orphan = await leftIn(others);
  assertEquals(removeOrphan({ ...orphan, cookie: "0".repeat(32) }), false);
  assertEquals(others.leftovers().length, 2);
});

Deno.test("a set that is not the region's stays, whatever the footer says", async () => {
  using keys = new Keys();
  const orphan = await leftIn(keys);
  const foreign = createSet(0, 3, 0o600) as number;
  try {
    keys.withRegion((region) => region.setWord(FooterWord.guardSetId, foreign));
    assertEquals([removeOrphan(orphan), setSize(foreign), findSegment(keys.shm)], [true, 3, undefined]);
  } finally {
    removeSet(foreign);
  }
});

testWhere(
  Deno.uid() === 0 && works("setpriv", "--reuid=65534", "ipcmk", "--version"),
  "no setpriv and ipcmk here, or not root",
  "a set of the right size that another user made stays, too",
  async () => {
    using keys = new Keys();
    const orphan = await leftIn(keys);
    const { stdout } = await runCommand(["setpriv", "--reuid=65534", "--clear-groups", "ipcmk", "-S", "16"]);
    const foreign = Number(stdout.trim().split(" ").at(-1));
    try {
      assertEquals(setSize(foreign), 16);
      keys.withRegion((region) => region.setWord(FooterWord.guardSetId, foreign));
      assertEquals([removeOrphan(orphan), setSize(foreign)], [true, 16]);
    } finally {
      removeSet(foreign);
    }
  },
);

Deno.test("the kernel's list has what a segment is and who made it", () => {
  using keys = new Keys();
  const id = createSegment(keys.shm, 5000, 0o640);
  const [row, ...others] = hostSegments().filter(({ key }) => key === keys.shm);
  assertEquals(others, []);
  const { ctime, gid, cgid, ...rest } = row ?? { ctime: 0, gid: 0, cgid: 0 };
  const uid = Deno.uid() ?? 0;
  assertEquals([gid, cgid, Math.abs(Date.now() / 1000 - ctime) < 60], [Deno.gid() ?? 0, Deno.gid() ?? 0, true]);
  assertEquals(rest, {
    ...{ id: id as number, key: keys.shm, size: 5000, mode: 0o640, nattch: 0, uid, cuid: uid },
    ...{ atime: 0, dtime: 0, cpid: Deno.pid, lpid: 0, residentSize: 0, swappedSize: 0 },
  });
});
