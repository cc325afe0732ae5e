/** What is in checkpoints: the space they are a picture of, how two differ, and exports. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Random } from "../../../lib/base/random.ts";
import { changedRanges } from "../../../lib/checkpoint/diff.ts";
import { exportTo, exportToFile, textFileName } from "../../../lib/checkpoint/export.ts";
import { SpaceReader } from "../../../lib/checkpoint/space_reader.ts";
import { isZero, runsToWrite, usedSizeOf } from "../../../lib/checkpoint/zeros.ts";
import { spaceOf, sparseMemory, writeFull } from "../../support/checkpoints.ts";
import type { Memory } from "../../support/checkpoints.ts";
import { HAS_FFI, TempDir } from "../../support/machine.ts";
import { seededTest } from "../../support/seeded.ts";

const MIB = 1024 * 1024;

Deno.test("one byte that is not zero is seen, wherever it is and however the bytes lie in memory", () => {
  const memory = new Uint8Array(40);
  for (let start = 0; start < 8; start++) {
    for (let end = start; end <= 30; end++) {
      assert(isZero(memory.subarray(start, end)));
      for (let at = start; at < end; at++) {
        memory[at] = 0x80;
        assert(!isZero(memory.subarray(start, end)), `byte ${at} of ${start} to ${end}`);
        assert(isZero(memory.subarray(at + 1, end)) && isZero(memory.subarray(start, at)));
        memory[at] = 0;
      }
    }
  }
});

seededTest("runs to write, put into zeros, are the bytes again; whole units of zeros are left out", (random) => {
  for (let times = 0; times < 200; times++) {
    const memory = sparseMemory(random, random.between(1, 50_000), 2);
    const from = random.below(memory.length);
    const bytes = memory.subarray(from);
    const file = new Uint8Array(memory.length);
    for (const run of runsToWrite(from, bytes)) {
      assert(!isZero(run.bytes));
      file.set(run.bytes, run.offset);
    }
    assertEquals(file.subarray(from), bytes);
    assertEquals(usedSizeOf(bytes), bytes.findLastIndex((byte) => byte !== 0) + 1);
  }
  assertEquals([...runsToWrite(10, new Uint8Array(9000))], []);
});

seededTest("a space is read in parts, in extents and at any address, over servers of any size", async (random) => {
  await using dir = new TempDir();
  const memories = [20, 2 * MIB + 10, 4096, MIB].map((size) => sparseMemory(random, size, 8));
  memories.push(new Uint8Array(2 * MIB));
  const space = spaceOf(memories);
  await using reader = await SpaceReader.open(await writeFull(dir.path, { epoch: 1, memories }));
  assertEquals([reader.size, await reader.usedSize()], [space.length, usedSizeOf(space)]);

  const [whole, sparse] = [new Uint8Array(space.length), new Uint8Array(space.length)];
  let next = 0;
  for await (const { address, bytes } of reader.parts()) {
    assertEquals(address, next);
    assert(bytes.length > 0 && bytes.length <= MIB);
    whole.set(bytes, address);
    next += bytes.length;
  }
  assertEquals(next, space.length);
  let extentsSize = 0;
  for await (const { address, bytes } of reader.extents()) {
    sparse.set(bytes, address);
    extentsSize += bytes.length;
  }
  assert(extentsSize < space.length || !HAS_FFI, "the holes are skipped");
  for (const seen of [whole, sparse]) assert(seen.every((byte, at) => byte === space[at]));

  for (let times = 0; times < 50; times++) {
    const address = random.below(space.length + 100);
    const into = new Uint8Array(random.below(100_000)).fill(0xee);
    await reader.read(address, into);
    assert(into.every((byte, at) => byte === (space[address + at] ?? 0)), `${into.length} bytes at ${address}`);
  }
});

/** The ranges between two checkpoints. */
async function rangesBetween(dir: TempDir, before: readonly Memory[], after: readonly Memory[]): Promise<number[][]> {
  const folder = await Deno.makeTempDir({ dir: dir.path });
  const a = await writeFull(folder, { epoch: 1, memories: before });
  const b = await writeFull(folder, { epoch: 2, memories: after });
  return (await Array.fromAsync(changedRanges(a, b))).map(({ start, end }) => [start, end]);
}

Deno.test("changed ranges: runs of blocks, narrowed to the bytes that differ", async () => {
  await using dir = new TempDir();
  const before = [new Uint8Array(2 * MIB).fill(7), new Uint8Array(8192)];
  const after = before.map((memory) => memory.slice()) as [Memory, Memory];
  assertEquals(await rangesBetween(dir, before, after), []);
  after[0].set([1, 2], 5000); // one block
  after[0].fill(9, 20_000, 40_000); // some blocks
  after[0].fill(3, MIB - 1, MIB + 1); // over the end of a MiB
  after[0][2 * MIB - 1] = 0; // over the end of a server
  after[1][0] = 1;
  after[1][8191] = 1; // a neighbouring block
  assertEquals(await rangesBetween(dir, before, after), [
    [5000, 5002],
    [20_000, 40_000],
    [MIB - 1, MIB + 1],
    [2 * MIB - 1, 2 * MIB + 8192],
  ]);
});

Deno.test("changed ranges go by address, whatever servers the bytes were on", async () => {
  await using dir = new TempDir();
  const space = new Uint8Array(3 * MIB).fill(5);
  const split = (...sizes: number[]): Memory[] => {
    let at = 0;
    return sizes.map((size) => space.slice(at, at += size));
  };
  assertEquals(await rangesBetween(dir, split(3 * MIB), split(MIB + 4096, 20, 2 * MIB - 4116)), []);
  assertEquals(await rangesBetween(dir, split(MIB, 2 * MIB), split(2 * MIB)), [[2 * MIB, 3 * MIB]]);
  assertEquals(await rangesBetween(dir, split(MIB), [...split(MIB), new Uint8Array(MIB)]), []);
});

seededTest("changed ranges hold every byte that differs, and begin and end with one", async (random) => {
  await using dir = new TempDir();
  const before = [sparseMemory(random, MIB + 20), sparseMemory(random, 100_000)];
  const after = before.map((memory) => memory.slice());
  for (let times = 0; times < 40; times++) {
    const memory = random.pick(after);
    memory[random.below(memory.length)] = random.word();
  }
  const [a, b] = [spaceOf(before), spaceOf(after)];
  let last = 0;
  for (const [start = 0, end = 0] of await rangesBetween(dir, before, after)) {
    assertEquals(a.subarray(last, start), b.subarray(last, start));
    assert(a[start] !== b[start] && a[end - 1] !== b[end - 1]);
    last = end;
  }
  assertEquals(a.subarray(last), b.subarray(last));
});

async function exported(random: Random, form: "raw" | "text"): Promise<[Memory, Uint8Array, Uint8Array]> {
  await using dir = new TempDir();
  const memories = [random.bytes(100_020), new Uint8Array(MIB), random.bytes(20)];
  const checkpoint = await writeFull(dir.path, { epoch: 1, memories });
  const parts: Uint8Array[] = [];
  await exportTo(checkpoint, form, (bytes) => void parts.push(bytes.slice()));
  await Deno.writeTextFile(dir.file("file"), "what was there before, and longer ".repeat(10_000_000 / 30));
  await exportToFile(checkpoint, form, dir.file("file"));
  const names = (await Array.fromAsync(Deno.readDir(dir.path), ({ name }) => name)).sort();
  assertEquals(names, [checkpoint.name, "file"]);
  return [spaceOf(memories), await new Blob(parts as BlobPart[]).bytes(), await Deno.readFile(dir.file("file"))];
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

seededTest("an export is the bytes of the space", async (random) => {
  const [space, stream, file] = await exported(random, "raw");
  assert(isSame(stream, space) && isSame(file, space));
});

seededTest("an export as text has a line per byte, whatever the byte", async (random) => {
  const [space, stream, file] = await exported(random, "text");
  assert(isSame(stream, file));
  const text = new TextDecoder("latin1").decode(file); // latin1 is windows-1252 here; the digits do not care
  let at = 0;
  for (let address = 0; address < space.length; address++) {
    const head = `${address}: `;
    if (text.slice(at, at + head.length) !== head) throw new Error(`no line for address ${address}`);
    at += head.length;
    if (file[at] !== space[address] || file[at + 1] !== 0x0a) throw new Error(`the line of address ${address}`);
    at += 2;
  }
  assertEquals(at, file.length);
});

Deno.test("the text's file name is the local time, as the first ancestor had it", () => {
  assertEquals(textFileName(new Date(2026, 0, 2, 3, 4, 5).getTime()), "2026-01-02 03:04:05.txt");
});

Deno.test("an export that is stopped leaves no file", async () => {
  await using dir = new TempDir();
  const checkpoint = await writeFull(dir.file("checkpoints"), { epoch: 1, memories: [new Uint8Array(4096).fill(1)] });
  const signal = AbortSignal.abort(new Error("stopped"));
  for (const form of ["raw", "text"] as const) {
    await assertRejects(() => exportToFile(checkpoint, form, dir.file("file"), { signal }), Error, "stopped");
  }
  assertEquals((await Array.fromAsync(Deno.readDir(dir.path))).length, 1);
});
