/** Writing checkpoints: complete or absent, and never at the cost of an older one. */
import { Buffer } from "node:buffer";
import { assert, assertEquals, assertInstanceOf, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { CheckpointError, InvariantError, SystemError } from "../../../lib/base/errors.ts";
import { Draft } from "../../../lib/checkpoint/draft.ts";
import { startOf } from "../../../lib/sys/processes.ts";
import { listCheckpoints } from "../../../lib/checkpoint/store.ts";
import { verify } from "../../../lib/checkpoint/verify.ts";
import {
  filesOf,
  requestOf,
  setChecksums,
  sparseMemory,
  writeFull,
  writeIncremental,
} from "../../support/checkpoints.ts";
import type { Memory } from "../../support/checkpoints.ts";
import { TempDir } from "../../support/machine.ts";
import { seededTest } from "../../support/seeded.ts";

const MIB = 1024 * 1024;
const SIZES = [3 * MIB, MIB + 8192, 20];

function isAnotherFileSystem(path: string): boolean {
  const temporary = Deno.makeTempDirSync();
  try {
    return Deno.statSync(path).dev !== Deno.statSync(temporary).dev;
  } catch {
    return false;
  } finally {
    Deno.removeSync(temporary);
  }
}

async function namesIn(directory: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(directory), ({ name }) => name)).sort();
}

seededTest("a checkpoint is a manifest and an image per server, byte for byte, sparse, and private", async (random) => {
  await using dir = new TempDir();
  const memories = SIZES.map((size) => sparseMemory(random, size));
  const { name, path, manifest } = await writeFull(dir.path, { epoch: 5, memories });
  assertEquals(name, "2026-02-01T00-08-19Z-5");
  assertEquals(await namesIn(dir.path), [name]);
  assertEquals(await namesIn(path), ["manifest.json", "server-0.img", "server-1.img", "server-2.img"]);
  for (const [index, memory] of memories.entries()) {
    assertEquals(await Deno.readFile(`${path}/server-${index}.img`), memory);
  }
  assertEquals(manifest.servers.map(({ method }) => method), ["full", "full", "full"]);
  const { blocks, mode } = await Deno.stat(`${path}/server-0.img`);
  assertEquals((mode ?? 0) & 0o777, 0o600);
  const changed = manifest.servers[0]?.changedSize ?? 0;
  assert((blocks ?? 0) * 512 <= changed + 64 * 1024 && changed < 2 * MIB, `${blocks} blocks for ${changed} bytes`);
  assertEquals(await verify(path), []);
});

seededTest("a chain of incremental checkpoints: each is whole, none changes an older one", async (random) => {
  await using dir = new TempDir();
  let memories: Memory[] = SIZES.map((size) => sparseMemory(random, size));
  let newest = await writeFull(dir.path, { epoch: 0, memories });
  const taken = [{ checkpoint: newest, memories, files: await filesOf(newest) }];
  for (let epoch = 1; epoch <= 6; epoch++) {
    const changed = memories.map((memory) => memory.slice());
    for (let times = random.below(4); times > 0; times--) {
      const memory = random.pick(changed);
      const offset = random.below(memory.length);
      // zeros too: they have to replace what was there
      memory.set(random.isOneIn(2) ? [0] : random.bytes(Math.min(6000, memory.length - offset)), offset);
    }
    newest = await writeIncremental(dir.path, { epoch, memories: changed }, newest, memories);
    const isSame = changed.map((memory, index) => Buffer.compare(memory, memories[index] as Memory) === 0);
    for (const [index, { method }] of newest.manifest.servers.entries()) {
      assertEquals(method === "hardlink", isSame[index], `${method} of server ${index}`);
    }
    memories = changed;
    taken.push({ checkpoint: newest, memories, files: await filesOf(newest) });
    for (const { checkpoint, memories, files } of taken) {
      assertEquals(await verify(checkpoint.path), [], checkpoint.name);
      assertEquals(await filesOf(checkpoint), files, checkpoint.name);
      for (const [index, memory] of memories.entries()) assertEquals(files.get(`server-${index}.img`), memory);
    }
  }
  assertEquals((await listCheckpoints(dir.path)).length, 7);
});

seededTest("an image that did not change is the same file, and copied images keep their holes", async (random) => {
  await using dir = new TempDir();
  const before = [sparseMemory(random, 4 * MIB, 64), sparseMemory(random, MIB)];
  const first = await writeFull(dir.path, { epoch: 1, memories: before });
  const after = [(before[0] as Memory).slice().fill(1, 5000, 5010), before[1] as Memory];
  const second = await writeIncremental(dir.path, { epoch: 2, memories: after }, first, before);
  assertEquals(second.manifest.previous, { name: first.name, epoch: 1 });
  const inode = async (path: string): Promise<unknown> => (await Deno.stat(path)).ino;
  assertEquals(await inode(`${second.path}/server-1.img`), await inode(`${first.path}/server-1.img`));
  assertEquals(second.manifest.servers.map(({ changedSize }) => changedSize), [4096, 0]);
  assertMatch(second.manifest.servers[0]?.method ?? "", /^(copy|reflink)$/);
  const { blocks } = await Deno.stat(`${second.path}/server-0.img`);
  assert((blocks ?? 0) * 512 < 2 * MIB, `${blocks} blocks: its holes are filled`);
  // once nobody else has the file, it is still whole
  await Deno.remove(first.path, { recursive: true });
  assertEquals(await verify(second.path), []);
});

seededTest("writes that nobody waits for, of any size, end up where they belong", async (random) => {
  await using dir = new TempDir();
  const memory = random.bytes(3 * MIB + 10);
  const request = requestOf({ epoch: 1, memories: [memory] });
  await using draft = await Draft.begin(dir.path, request);
  await draft.startImage(0, false);
  const writes: Promise<void>[] = [];
  for (let offset = 0; offset < memory.length;) {
    const size = Math.min(memory.length - offset, random.below(random.isOneIn(4) ? 2 * MIB : 10_000));
    writes.push(draft.write(0, offset, memory.subarray(offset, offset + size)));
    offset += size;
  }
  assertThrows(() => draft.write(0, 0, memory.subarray(0, 1)), InvariantError, "ascending order");
  await Promise.all(writes);
  await setChecksums(draft, 0, memory);
  const { path } = await draft.complete(request.servers);
  assertEquals(await verify(path), []);
  assertEquals(await Deno.readFile(`${path}/server-0.img`), memory);
});

Deno.test("what is still being written when it is completed is in it", async () => {
  await using dir = new TempDir();
  const memory = new Uint8Array(8 * MIB).fill(3);
  const request = requestOf({ epoch: 1, memories: [memory] });
  await using draft = await Draft.begin(dir.path, request);
  await draft.startImage(0, false);
  await setChecksums(draft, 0, memory);
  const writing = Promise.all([
    draft.write(0, 0, memory.subarray(0, 5000)),
    draft.write(0, 5000, memory.subarray(5000)),
  ]);
  assertEquals(await verify((await draft.complete(request.servers)).path), []);
  await writing;
});

Deno.test({
  name: "where no hard link is possible, as between two file systems, an image is a copy",
  ignore: !isAnotherFileSystem("/dev/shm"),
  async fn() {
    await using dir = new TempDir();
    const other = await Deno.makeTempDir({ dir: "/dev/shm", prefix: "dsm-test-" });
    try {
      const memories = [new Uint8Array(MIB).fill(1, 5000, 9000)];
      const previous = await writeFull(other, { epoch: 1, memories });
      const { path, manifest } = await writeIncremental(dir.path, { epoch: 2, memories }, previous, memories);
      assertEquals([manifest.servers[0]?.method, await verify(path)], ["copy", []]);
    } finally {
      await Deno.remove(other, { recursive: true });
    }
  },
});

Deno.test("an image is built only on the same memory", async () => {
  await using dir = new TempDir();
  const memories = [new Uint8Array(8192).fill(1), new Uint8Array(4096).fill(2)];
  const previous = await writeFull(dir.path, { epoch: 1, memories });
  const request = requestOf({ epoch: 2, memories });
  const may = async (change: Partial<(typeof request.servers)[number]>): Promise<boolean> => {
    const servers = request.servers.map((server, index) => index === 0 ? { ...server, ...change } : server);
    await using draft = await Draft.begin(dir.path, { ...request, servers, previous });
    return draft.canBeIncremental(0);
  };
  assertEquals(await may({}), true);
  assertEquals(await may({ startCount: 9 }), true, "who serves it does not matter");
  assertEquals(await may({ cookie: "f".repeat(32) }), false);
  assertEquals(await may({ name: "10.0.0.9:9734" }), false);
  assertEquals(await may({ size: 4096 }), false);
  await using draft = await Draft.begin(dir.path, request);
  assertEquals(draft.canBeIncremental(0), false);
  await assertRejects(() => draft.startImage(0, true), InvariantError);
});

Deno.test("a previous image that is gone or cut is an error, and a full one can be begun instead", async () => {
  await using dir = new TempDir();
  const memories = [new Uint8Array(8192).fill(1), new Uint8Array(4096).fill(2)];
  const previous = await writeFull(dir.path, { epoch: 1, memories });
  const request = { ...requestOf({ epoch: 2, memories }), previous };
  await Deno.remove(`${previous.path}/server-0.img`);
  await Deno.truncate(`${previous.path}/server-1.img`, 5);
  await using draft = await Draft.begin(dir.path, request);
  await assertRejects(() => draft.startImage(0, true), SystemError, "ENOENT");
  await assertRejects(() => draft.startImage(1, true), CheckpointError, "5 bytes");
  for (const [server, memory] of memories.entries()) {
    await draft.startImage(server, false);
    await draft.write(server, 0, memory);
    await setChecksums(draft, server, memory);
  }
  const { path, manifest } = await draft.complete(request.servers);
  assertEquals([await verify(path), manifest.previous], [[], null]);
});

Deno.test("what is not confirmed, aborted or abandoned leaves nothing", async () => {
  await using dir = new TempDir();
  const memories = [new Uint8Array(8192).fill(1), new Uint8Array(4096)];
  const ending = new AbortController();
  const begun = async (signal?: AbortSignal): Promise<Draft> => {
    const draft = await Draft.begin(dir.path, requestOf({ epoch: 1, memories, ...signal ? { signal } : {} }));
    await draft.startImage(0, false);
    await draft.startImage(1, false);
    await draft.write(0, 0, memories[0] as Memory);
    return draft;
  };
  const { servers } = requestOf({ epoch: 1, memories });
  const restarted = servers.map((server) => ({ ...server, startCount: 2 }));
  const error = await assertRejects(async () => (await begun()).complete(restarted), CheckpointError);
  assertMatch(error.message, /10\.0\.0\.1:9734 was started anew/);
  await assertRejects(async () => (await begun()).complete(servers.slice(0, 1)), CheckpointError, "did not confirm");
  await (await begun()).abandon();
  {
    await using _ = await begun();
  }
  const draft = await begun(ending.signal);
  ending.abort(new Error("stopped"));
  await assertRejects(() => draft.write(0, 0, new Uint8Array(1)), Error, "stopped");
  await assertRejects(() => draft.complete(servers), Error, "stopped");
  assertEquals(await namesIn(dir.path), []);
});

Deno.test("two drafts at once do not disturb each other; of two with one name the first stays", async () => {
  await using dir = new TempDir();
  const memories = [new Uint8Array(4096).fill(1)];
  const begun = async (epoch: number): Promise<[Draft, ReturnType<typeof requestOf>]> => {
    const request = requestOf({ epoch, memories });
    const draft = await Draft.begin(dir.path, request);
    await draft.startImage(0, false);
    return [draft, request];
  };
  const drafts = await Promise.all([begun(1), begun(2), begun(2)]);
  for (const [draft] of drafts) {
    await draft.write(0, 0, memories[0] as Memory);
    await setChecksums(draft, 0, memories[0] as Memory);
  }
  const ended = await Promise.allSettled(drafts.map(([draft, { servers }]) => draft.complete(servers)));
  assertEquals(ended.map(({ status }) => status).sort(), ["fulfilled", "fulfilled", "rejected"]);
  const refused = ended.find(({ status }) => status === "rejected") as PromiseRejectedResult;
  assertInstanceOf(refused.reason, SystemError);
  assertMatch(refused.reason.message, /ENOTEMPTY; there is one of that second and epoch already/);
  const names = await namesIn(dir.path);
  assertEquals(names.length, 2);
  for (const name of names) assertEquals(await verify(dir.file(name)), []);
});

Deno.test("what a killed process left goes when the next draft begins; what a living one writes stays", async () => {
  await using dir = new TempDir();
  const host = Deno.hostname();
  const started = startOf(Deno.pid);
  const canTell = started !== ""; // else only time tells
  const names = {
    living: `.tmp-${Deno.pid}-${started}-${host}-a`,
    reused: `.tmp-${Deno.pid}-1-${host}-b`,
    dead: `.tmp-4194305-77-${host}-c`,
    elsewhere: `.tmp-4194305-77-another-host-d`,
    abandonedElsewhere: `.tmp-4194305-77-another-host-e`,
    unknown: `.tmp-4194305--${host}-f`,
    other: ".git",
  };
  for (const name of Object.values(names)) {
    await Deno.mkdir(dir.file(name));
    await Deno.writeTextFile(`${dir.file(name)}/server-0.img`, "x");
  }
  const daysAgo = new Date(Date.now() - 49 * 3600_000);
  await Deno.utime(dir.file(names.abandonedElsewhere), daysAgo, daysAgo);
  await using draft = await Draft.begin(dir.path, requestOf({ epoch: 1, memories: [new Uint8Array(4096)] }));
  const left = await namesIn(dir.path);
  const { living, elsewhere, unknown, other, reused, dead } = names;
  const stay = [living, elsewhere, unknown, other, ...canTell ? [] : [reused, dead]];
  for (const name of stay) assert(left.includes(name), name);
  assertEquals(left.length, stay.length + 1, left.join(" "));
  await draft.abandon();
  assertEquals(await listCheckpoints(dir.path), []);
});

Deno.test("a directory that cannot be written to is named, with what to do", async () => {
  await using dir = new TempDir();
  await Deno.writeTextFile(dir.file("file"), "");
  const request = requestOf({ epoch: 1, memories: [new Uint8Array(4096)] });
  const error = await assertRejects(() => Draft.begin(dir.file("file/checkpoints"), request), SystemError);
  assertMatch(error.message, /cannot write a checkpoint into .*file\/checkpoints: ENOTDIR; name a directory: --dir/);
});
