/** The scanner that finds changes: what it returns rebuilds the picture from the one before, and is no more than changed. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { freshSeed, Random } from "../../../lib/base/random.ts";
import { ChangeScanner } from "../../../lib/checkpoint/change_scanner.ts";
import type { Changes, ScanLimits, ScanSource } from "../../../lib/checkpoint/change_scanner.ts";
import { CHECKED_SIZE, Hasher } from "../../../lib/checkpoint/checksum.ts";
import { GRAIN_SIZE, GrainTable } from "../../../lib/checkpoint/grain_table.ts";

const hasher = await Hasher.create();
const { signal } = new AbortController();
const ALL: ScanLimits = { sizeMax: 512 * 1024, timeMsMax: Infinity };

/** A picture in memory: whole MiBs that were never written are "zeros". */
class Bytes implements ScanSource {
  #at = 0;
  copies = 0;
  constructor(readonly bytes: Uint8Array, readonly mayBeUntouched = true) {}
  copyNext(into: Uint8Array<ArrayBuffer>): Promise<"zeros" | "bytes"> {
    const part = this.bytes.subarray(this.#at, this.#at + into.length);
    assertEquals(part.length, into.length);
    this.#at += into.length;
    this.copies++;
    if (this.mayBeUntouched && part.every((byte) => byte === 0)) return Promise.resolve("zeros");
    into.set(part);
    return Promise.resolve("bytes");
  }
}

/** Scans to the end, applying what comes to `image`; the changed bytes, and the checksums seen. */
async function replay(scanner: ChangeScanner, image: Uint8Array, limits = ALL): Promise<Changes[]> {
  const all: Changes[] = [];
  while (!scanner.isComplete) {
    const changes = await scanner.scan(limits, signal);
    let at = 0;
    for (const { offset, size } of changes.runs) {
      image.set(changes.bytes.subarray(at, at + size), offset);
      at += size;
    }
    assertEquals(at, changes.bytes.length);
    assert(changes.bytes.length <= limits.sizeMax);
    all.push({ ...changes, bytes: changes.bytes.slice() });
  }
  return all;
}

const changedSize = (all: readonly Changes[]): number => all.reduce((sum, { bytes }) => sum + bytes.length, 0);

Deno.test("a region that was never written has no changes, and is not hashed", async () => {
  const size = 3 * CHECKED_SIZE + 10;
  const scanner = new ChangeScanner(new Bytes(new Uint8Array(size)), new GrainTable(size, hasher), hasher);
  const all = await replay(scanner, new Uint8Array(size));
  assertEquals([changedSize(all), all.flatMap(({ checksums }) => checksums)], [0, []]);
  assertEquals([0, 1, 2, 3].map((mebibyte) => scanner.table.isPlain(mebibyte)), [true, true, true, true]);
});

Deno.test("only changed grains are returned, merged, with the checksum of their MiB", async () => {
  const size = 2 * CHECKED_SIZE;
  const bytes = new Uint8Array(size);
  bytes[GRAIN_SIZE - 1] = 1;
  bytes[GRAIN_SIZE] = 2;
  bytes[CHECKED_SIZE - 1] = 3;
  bytes[CHECKED_SIZE] = 4;
  const scanner = new ChangeScanner(new Bytes(bytes), new GrainTable(size, hasher), hasher);
  const all = await replay(scanner, new Uint8Array(size));
  assertEquals(all.flatMap(({ runs }) => runs), [
    { offset: 0, size: 2 * GRAIN_SIZE },
    { offset: CHECKED_SIZE - GRAIN_SIZE, size: 2 * GRAIN_SIZE },
  ]);
  assertEquals(all.flatMap(({ checksums }) => checksums), [
    { index: 0, digest: hasher.digest(bytes.subarray(0, CHECKED_SIZE)) },
    { index: 1, digest: hasher.digest(bytes.subarray(CHECKED_SIZE)) },
  ]);
});

Deno.test("a MiB that is written back to zero is a change, whether or not its pages are there", async () => {
  for (const mayBeUntouched of [true, false]) {
    const size = CHECKED_SIZE + 5;
    const before = new Uint8Array(size).fill(7);
    const first = new ChangeScanner(new Bytes(before), new GrainTable(size, hasher), hasher);
    await replay(first, new Uint8Array(size));
    const second = new ChangeScanner(new Bytes(new Uint8Array(size), mayBeUntouched), first.table, hasher);
    const image = before.slice();
    assertEquals(changedSize(await replay(second, image)), size);
    assertEquals(image, new Uint8Array(size));
    const third = new ChangeScanner(new Bytes(new Uint8Array(size), true), second.table, hasher);
    assertEquals(changedSize(await replay(third, image)), 0);
  }
});

Deno.test("whatever changes between pictures, what is returned makes the later one of the earlier", async () => {
  const random = new Random(freshSeed());
  const seed = `seed ${random.seed}`;
  const size = random.between(1, 4 * CHECKED_SIZE);
  let table = new GrainTable(size, hasher);
  const bytes = new Uint8Array(size);
  const image = new Uint8Array(size);
  for (let round = 0; round < 12; round++) {
    const changed = new Set<number>();
    for (let i = random.below(6); i > 0; i--) {
      const at = random.below(size);
      const part = random.isOneIn(3) ? new Uint8Array(20_000) : random.bytes(random.between(1, 20_000));
      const fits = part.subarray(0, Math.min(part.length, size - at));
      bytes.set(fits, at);
      for (let each = at; each < at + fits.length; each++) changed.add(Math.floor(each / GRAIN_SIZE));
    }
    const limits = { sizeMax: random.between(1, 100_000), timeMsMax: random.isOneIn(2) ? 0.01 : Infinity };
    const scanner = new ChangeScanner(new Bytes(bytes, random.isOneIn(2)), table, hasher);
    const all = await replay(scanner, image, limits);
    assertEquals(image, bytes, seed);
    assert(changedSize(all) <= changed.size * GRAIN_SIZE, seed);
    for (const { index, digest } of all.flatMap(({ checksums }) => checksums)) {
      const part = bytes.subarray(index * CHECKED_SIZE, (index + 1) * CHECKED_SIZE);
      assertEquals(digest, hasher.digest(part), seed);
    }
    table = scanner.table;
  }
});

Deno.test("a scan that may take no time still ends: it looks at a MiB when nothing is waiting", async () => {
  const size = 4 * CHECKED_SIZE;
  const source = new Bytes(new Uint8Array(size).fill(1));
  const scanner = new ChangeScanner(source, new GrainTable(size, hasher), hasher);
  const all = await replay(scanner, new Uint8Array(size), { sizeMax: 300_000, timeMsMax: 0 });
  assertEquals(source.copies, 4);
  assertEquals(all.map(({ next }) => next).at(-1), size);
});

Deno.test("a scan that is aborted rejects with the reason", async () => {
  const source: ScanSource = {
    copyNext: (_into, { reason }) => Promise.reject(reason),
  };
  const scanner = new ChangeScanner(source, new GrainTable(10, hasher), hasher);
  const error = await assertRejects(() => scanner.scan(ALL, AbortSignal.abort(new Error("abandoned"))), Error);
  assertEquals(error.message, "abandoned");
});
