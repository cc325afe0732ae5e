/** The picture of a region at a cut: what is in it, what is not, and what is left when somebody dies on the way. */
import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { SystemError } from "../../lib/base/errors.ts";
import { Attachment } from "../../lib/memory/attachment.ts";
import { FooterWord } from "../../lib/memory/layout.ts";
import { attachForLogger, closeRegion, openRegion, reclaimFromLogger } from "../../lib/memory/open.ts";
import type { LoggedRegion } from "../../lib/memory/open.ts";
import { Picture } from "../../lib/memory/picture.ts";
import type { Region } from "../../lib/memory/region.ts";
import { segmentStatus, SharedMemory } from "../../lib/sys/shared_memory.ts";
import { libc } from "../../lib/sys/libc.ts";
import { Keys } from "../support/processes.ts";
import { RegionChild } from "../support/region_child.ts";
import { seededTest } from "../support/seeded.ts";
import { until } from "../support/until.ts";

libc();

const BLOCK_SIZE = 4096;
const NEVER = new AbortController().signal;

/** A region with its server's, its logger's and an attached program's view of it, all in this process. */
class Scene implements AsyncDisposable {
  private constructor(readonly keys: Keys, readonly server: Region, readonly logged: LoggedRegion) {}

  static async open(size: number, blockSize = BLOCK_SIZE): Promise<Scene> {
    const keys = new Keys();
    const request = { shmkey: keys.shm, semkey: keys.sem, size, blockSize, fill: 0, mode: 0o600 };
    const { region } = await openRegion(request);
    return new Scene(keys, region, attachForLogger(infoOf(region)));
  }

  attach(): Attachment {
    const opened = Attachment.open(infoOf(this.server));
    if (!(opened instanceof Attachment)) throw new Error(opened.reason);
    return opened;
  }

  prepare(): Picture {
    return Picture.prepare(this.logged.region, this.server.epochHeld + 1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.logged[Symbol.dispose]();
    await closeRegion(this.server);
    this.keys[Symbol.dispose]();
  }
}

function infoOf(region: Region): { shmid: number; semid: number; cookie: string } {
  return { shmid: region.memory.id, semid: region.guards.id, cookie: region.cookie };
}

/** Everything a picture has not given yet, in pieces of `pieceSize`. */
async function rest(picture: Picture, size: number, pieceSize = 64 * 1024): Promise<Uint8Array> {
  const all = new Uint8Array(size);
  for (let at = 0; at < size; at += pieceSize) {
    await picture.copyNext(all.subarray(at, Math.min(size, at + pieceSize)), NEVER);
  }
  return all;
}

const filled = (size: number, byte: number): Uint8Array => new Uint8Array(size).fill(byte);

Deno.test("picture: what is written after the cut is not in it, what was written before is", async () => {
  const size = 16 * BLOCK_SIZE;
  await using scene = await Scene.open(size);
  const program = scene.attach();
  program.write(0, filled(size, 1));
  const picture = scene.prepare();
  program.write(100, filled(3 * BLOCK_SIZE, 2));
  picture.cut();
  program.write(0, filled(10, 3));
  program.write(5 * BLOCK_SIZE - 1, filled(2 * BLOCK_SIZE, 3));
  const seen = await rest(picture, size);
  const expected = filled(size, 1);
  expected.fill(2, 100, 100 + 3 * BLOCK_SIZE);
  assertEquals(seen, expected);
  assertStrictEquals(picture.whyVoid(), "");
  assertStrictEquals(scene.server.word(FooterWord.copying), 0);
  program.detach();
});

Deno.test("picture: a block that the logger has passed is written without a save, others are saved once", async () => {
  const size = 8 * BLOCK_SIZE;
  await using scene = await Scene.open(size);
  const program = scene.attach();
  program.write(0, filled(size, 1));
  const picture = scene.prepare();
  picture.cut();
  const first = new Uint8Array(4 * BLOCK_SIZE);
  await picture.copyNext(first, NEVER);
  program.write(0, filled(size, 2));
  program.write(0, filled(size, 3));
  const second = new Uint8Array(4 * BLOCK_SIZE);
  await picture.copyNext(second, NEVER);
  assertEquals(first, filled(first.length, 1));
  assertEquals(second, filled(second.length, 1));
  program.detach();
});

Deno.test("picture: pages that nobody has written stay without memory, and are zero in it", async () => {
  const size = 256 * BLOCK_SIZE;
  await using scene = await Scene.open(size);
  const program = scene.attach();
  program.write(200 * BLOCK_SIZE, filled(1, 7));
  const picture = scene.prepare();
  picture.cut();
  program.write(100 * BLOCK_SIZE, filled(1, 8));
  const seen = await rest(picture, size);
  assertStrictEquals(seen.indexOf(8), -1);
  assertStrictEquals(seen.indexOf(7), 200 * BLOCK_SIZE);
  const pages = new Uint8Array(256);
  assert(scene.server.memory.residency(0, pages));
  assertEquals([...pages.keys()].filter((page) => (pages[page] as number) & 1), [100, 200]);
  program.detach();
});

seededTest("picture: any block size, any writes in between, the picture is of the cut", async (random) => {
  for (const blockSize of [1, 2, 10, 100, 4096, 5000, 65536, 200_000]) {
    const blockCount = blockSize < 100 ? 3000 : blockSize < 10_000 ? 40 : 3;
    const size = blockSize * blockCount;
    await using scene = await Scene.open(size, blockSize);
    const programs = [scene.attach(), scene.attach()];
    const write = (): void => {
      const offset = random.between(0, size - 1);
      const bytes = random.bytes(random.between(1, Math.min(size - offset, 3 * blockSize + 50)));
      (programs[random.between(0, 1)] as Attachment).write(offset, bytes);
    };
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 20; i++) write();
      const picture = scene.prepare();
      for (let i = 0; i < 5; i++) write();
      const expected = scene.server.data.slice();
      picture.cut();
      const seen = new Uint8Array(size);
      for (let at = 0; at < size;) {
        for (let i = 0; i < 5; i++) write();
        const end = Math.min(size, at + 4096 * random.between(1, 5));
        const piece = new Uint8Array(end - at);
        if (await picture.copyNext(piece, NEVER) === "bytes") seen.set(piece, at);
        at = end;
      }
      assertStrictEquals(picture.whyVoid(), "");
      assertEquals(seen, expected, `block size ${blockSize}, round ${round}`);
    }
    for (const program of programs) program.detach();
  }
});

Deno.test("picture: a program that has seen the next epoch elsewhere makes the cut here by writing", async () => {
  await using scene = await Scene.open(4 * BLOCK_SIZE);
  assert(scene.server.join(7, 1));
  const known = { incarnation: 7, epoch: 2 };
  const program = Attachment.open(infoOf(scene.server), known) as Attachment;
  const picture = scene.prepare();
  program.write(0, filled(10, 9));
  assertStrictEquals(scene.server.epochHeld, 2);
  assertEquals(await rest(picture, 4 * BLOCK_SIZE), filled(4 * BLOCK_SIZE, 0));
  known.epoch = 4;
  assertStrictEquals(program.tryWrite(0, filled(10, 9)), "refused");
  known.epoch = 2;
  known.incarnation = 6;
  assertStrictEquals(program.tryRead(0, new Uint8Array(10)), "refused");
  program.detach();
});

Deno.test("picture: what a program reads after a cut tells it the epoch, also without a guard", async () => {
  await using scene = await Scene.open(4 * BLOCK_SIZE);
  assert(scene.server.join(7, 1));
  for (const read of ["tryRead", "readOptimistic"] as const) {
    const known = { incarnation: 7, epoch: scene.server.epochHeld };
    const program = Attachment.open(infoOf(scene.server), known) as Attachment;
    scene.server.raiseEpoch(known.epoch + 1);
    assert(program[read](0, new Uint8Array(10)));
    assertStrictEquals(known.epoch, scene.server.epochHeld);
    program.detach();
  }
});

Deno.test("picture: a cut waits for who is in the middle of a write, and its bytes are in the picture", async () => {
  await using scene = await Scene.open(4 * BLOCK_SIZE);
  const picture = scene.prepare();
  const program = scene.attach();
  let copied: Promise<Uint8Array> | undefined;
  program.tryLend(0, 4 * BLOCK_SIZE, "w", (bytes) => {
    picture.cut();
    copied = rest(picture, 4 * BLOCK_SIZE);
    bytes.fill(5);
  });
  assertEquals(await copied, filled(4 * BLOCK_SIZE, 5));
  program.detach();
});

Deno.test("picture: only an epoch beyond the footer's can be prepared, and one logger has a region", async () => {
  await using scene = await Scene.open(4 * BLOCK_SIZE);
  const busy = assertThrows(() => attachForLogger(infoOf(scene.server)), SystemError);
  assertStrictEquals(busy.code, "EBUSY");
  assert(busy.message.includes(`pid ${Deno.pid}`), busy.message);
  const stale = assertThrows(() => Picture.prepare(scene.logged.region, 1), SystemError);
  assertStrictEquals(stale.code, "ESTALE");
  const picture = Picture.prepare(scene.logged.region, 9);
  assertStrictEquals(scene.server.epochHeld, 8);
  assert(!scene.server.isCutUnreleased);
  picture.cut();
  assert(scene.server.isCutUnreleased);
  picture.release();
  assert(!scene.server.isCutUnreleased);
  picture.end();
  assert(picture.whyVoid() !== "");
});

Deno.test("picture: one that is given up leaves writers alone, and no segment", async () => {
  await using scene = await Scene.open(4 * BLOCK_SIZE);
  const program = scene.attach();
  const picture = scene.prepare();
  picture.cut();
  program.write(0, filled(10, 1));
  const shadow = scene.server.word(FooterWord.shadowId);
  assertStrictEquals(segmentStatus(shadow).attachCount, 2);
  picture.end();
  picture.end();
  assertStrictEquals(scene.server.word(FooterWord.copying), 0);
  assert(!scene.server.isCutUnreleased);
  program.write(0, filled(10, 2));
  assertThrows(() => segmentStatus(shadow), SystemError);
  program.detach();
});

Deno.test("picture: a writer whose shadow is gone goes on, and the picture is void", async () => {
  await using scene = await Scene.open(4 * BLOCK_SIZE);
  const picture = scene.prepare();
  picture.cut();
  scene.server.setWord(FooterWord.shadowId, scene.server.memory.id);
  scene.server.fillHeld(0, 10, 1);
  assert(picture.whyVoid().includes("not saved"), picture.whyVoid());
  assertStrictEquals(scene.server.word(FooterWord.copying), 0);
  picture.end();
});

Deno.test("picture: a logger that is killed has its checkpoint ended by the server, and nothing of it stays", async () => {
  const keys = new Keys();
  const size = 64 * BLOCK_SIZE;
  const request = { shmkey: keys.shm, semkey: keys.sem, size, blockSize: BLOCK_SIZE, fill: 0, mode: 0o600 };
  const { region } = await openRegion(request);
  for (const work of ["prepare", "cut"] as const) {
    const logger = await RegionChild.start(work, region);
    const shadow = region.word(FooterWord.shadowId);
    region.fillHeld(0, size, 1);
    assert(!reclaimFromLogger(region));
    assert(region.word(FooterWord.copying) !== 0);
    await logger.kill();
    assert(reclaimFromLogger(region));
    assert(!reclaimFromLogger(region));
    assertStrictEquals(region.word(FooterWord.copying), 0);
    region.fillHeld(0, size, 2);
    await until("the shadow to be gone", () => {
      try {
        segmentStatus(shadow);
        return false;
      } catch {
        return true;
      }
    });
  }
  await closeRegion(region);
  keys[Symbol.dispose]();
});

Deno.test("picture: writers of several processes at work, and every operation is in it as a whole", async () => {
  const size = 64 * BLOCK_SIZE;
  await using scene = await Scene.open(size);
  // each of them fills the whole region with one byte after the other, in one operation
  await using _first = await RegionChild.start("fill", scene.server, "0", `${size}`);
  await using _second = await RegionChild.start("fill", scene.server, "0", `${size}`);
  for (let round = 0; round < 50; round++) {
    const picture = scene.prepare();
    picture.cut();
    const seen = await rest(picture, size, 16 * 1024);
    assertStrictEquals(picture.whyVoid(), "");
    assertEquals(seen, filled(size, seen[0] as number), `round ${round}`);
  }
});

Deno.test("picture: a writer that is killed in the middle of a save leaves a block that was not saved", async () => {
  const blockSize = 32 * 1024 * 1024;
  await using scene = await Scene.open(blockSize, blockSize);
  scene.server.data.fill(1);
  for (let tries = 0; tries < 20; tries++) {
    const picture = scene.prepare();
    await using writer = await RegionChild.start("fill", scene.server, "0", "4096");
    {
      using shadow = SharedMemory.attach(scene.server.word(FooterWord.shadowId));
      picture.cut();
      while (Atomics.load(shadow.bytes, 4096) === 0 && !writer.program.hasExited);
      Deno.kill(writer.program.pid, "SIGKILL");
      await writer.program.end();
      // too late, the save was over: once more
      if (shadow.bytes[blockSize - 1] !== 0) {
        picture.end();
        continue;
      }
    }
    const seen = await rest(picture, blockSize, 1024 * 1024);
    assertStrictEquals(seen.indexOf(0), -1);
    return;
  }
  throw new Error("no writer could be killed in the middle of a save");
});

Deno.test("picture: a program without an event loop waits for a region that is behind it, and is told of another life once", async () => {
  await using scene = await Scene.open(4 * BLOCK_SIZE);
  assert(scene.server.join(7, 1));
  const known = { incarnation: 7, epoch: 4 };
  const program = Attachment.open(infoOf(scene.server), known) as Attachment;
  assertStrictEquals(program.tryWrite(0, filled(10, 9)), "refused");
  const raising = RegionChild.spawn(
    "raise",
    ...[scene.server.memory.id, scene.server.guards.id, scene.server.cookie, 3].map(String),
  );
  program.write(0, filled(10, 9));
  assertStrictEquals(scene.server.epochHeld, 4);
  await raising.done();
  assert(scene.server.join(8, 1));
  const stale = assertThrows(() => program.write(0, filled(10, 1)), SystemError);
  assertStrictEquals(stale.code, "ESTALE");
  assertStrictEquals(scene.server.data[0], 9);
  program.write(0, filled(10, 1));
  assertStrictEquals(scene.server.data[0], 1);
  program.detach();
});
