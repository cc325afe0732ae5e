/** Ranges of the space: against a model that looks at every byte, and the rules one by one. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { InvariantError } from "../../../../lib/base/errors.ts";
import type { Random } from "../../../../lib/base/random.ts";
import type { Place, Space } from "../../../../lib/config/space.ts";
import { Allocator } from "../../../../lib/ipc/segments/allocator.ts";
import type { Range } from "../../../../lib/ipc/segments/allocator.ts";
import { seededTest } from "../../../support/seeded.ts";
import { spaceOf } from "./tables.ts";
import type { Server } from "./tables.ts";

/** Says of every byte whether it is free, and finds room by trying every address. */
class Model {
  readonly #space: Space;
  readonly #mayBeUsed: readonly boolean[];
  readonly #isFree: boolean[];

  constructor(space: Space, lowWaterMark: number) {
    this.#space = space;
    this.#mayBeUsed = Array.from({ length: space.size }, (_, address) => {
      return address >= lowWaterMark && this.#placeOf(address).isAlive;
    });
    this.#isFree = [...this.#mayBeUsed];
  }

  #placeOf(address: number): Place {
    return this.#space.places.find(({ base, size }) => base <= address && address < base + size) as Place;
  }

  #isBlockStart(address: number): boolean {
    if (address === this.#space.size) return true;
    const { base, blockSize } = this.#placeOf(address);
    return (address - base) % blockSize === 0;
  }

  #isAligned(address: number): boolean {
    return (address - this.#placeOf(address).base) % 8 === 0;
  }

  #holes(): Range[] {
    const holes: { base: number; size: number }[] = [];
    for (const [address, isFree] of this.#isFree.entries()) {
      const last = holes.at(-1);
      if (!isFree) continue;
      if (last && last.base + last.size === address) last.size++;
      else holes.push({ base: address, size: 1 });
    }
    return holes;
  }

  /** Where best fit has to put `size` bytes. */
  find(size: number): Range | undefined {
    const fits = this.#holes().flatMap((hole) => {
      const range = this.#lowestIn(hole, size);
      return range ? [{ hole, range }] : [];
    });
    return fits.sort((a, b) => a.hole.size - b.hole.size || a.hole.base - b.hole.base)[0]?.range;
  }

  #lowestIn(hole: Range, size: number): Range | undefined {
    const holeEnd = hole.base + hole.size;
    for (let base = hole.base; base + size <= holeEnd; base++) {
      if (!this.#isBlockStart(base) || !this.#isAligned(base)) continue;
      let end = base + size;
      while (end < holeEnd && !this.#isBlockStart(end)) end++;
      if (this.#isBlockStart(end)) return { base, size: end - base };
    }
    return undefined;
  }

  mark({ base, size }: Range, isFree: boolean): void {
    for (let address = base; address < Math.min(base + size, this.#space.size); address++) {
      this.#isFree[address] = isFree && this.#mayBeUsed[address] === true;
    }
  }

  get freeSize(): number {
    return this.#isFree.filter(Boolean).length;
  }

  get largestHoleSize(): number {
    return Math.max(0, ...this.#holes().map(({ size }) => size));
  }
}

function randomServers(random: Random): Server[] {
  return Array.from({ length: random.between(1, 4) }, () => {
    const blockSize = random.pick([1, 4, 8, 12, 16, 20, 32]);
    return { size: blockSize * random.between(1, 12), blockSize, isAlive: !random.isOneIn(6) };
  });
}

seededTest("allocator: 400 random lives are those of a model that looks at every byte", (random) => {
  for (let life = 0; life < 400; life++) {
    const space = spaceOf(randomServers(random));
    const lowWaterMark = random.isOneIn(2) ? 0 : random.below(space.size + 1);
    const allocator = new Allocator(space, lowWaterMark);
    const model = new Model(space, lowWaterMark);
    const taken: Range[] = [];
    for (let step = 0; step < 40; step++) {
      if (taken.length > 0 && random.isOneIn(3)) {
        const [range] = taken.splice(random.below(taken.length), 1) as [Range];
        allocator.free(range);
        model.mark(range, true);
      } else {
        const size = random.between(1, random.pick([8, 40, space.size]));
        const expected = model.find(size);
        assertEquals(allocator.allocate(size), expected, `${size} bytes`);
        if (!expected) continue;
        taken.push(expected);
        model.mark(expected, false);
      }
      assertEquals(allocator.freeSize, model.freeSize);
      assertEquals(allocator.largestHoleSize, model.largestHoleSize);
    }
  }
});

seededTest("allocator: what was taken in another layout is not handed out in a new one", (random) => {
  for (let life = 0; life < 200; life++) {
    const before = spaceOf(randomServers(random));
    const old = new Allocator(before, 0);
    const taken = Array.from({ length: 6 }, () => old.allocate(random.between(1, 40))).filter((range) => !!range);
    const after = spaceOf(randomServers(random));
    const allocator = new Allocator(after, 0);
    const model = new Model(after, 0);
    for (const range of taken) {
      allocator.reserve(range);
      model.mark(range, false);
    }
    assertEquals(allocator.freeSize, model.freeSize);
    for (const range of taken) {
      const size = random.between(1, 20);
      const expected = model.find(size);
      assertEquals(allocator.allocate(size), expected);
      if (expected) model.mark(expected, false);
      allocator.free(range);
      model.mark(range, true);
      assertEquals(allocator.freeSize, model.freeSize);
    }
  }
});

Deno.test("allocator: a range ends with the block it ends in, by the block size there", () => {
  const allocator = new Allocator(spaceOf([{ size: 8192, blockSize: 4096 }, { size: 131_072, blockSize: 65_536 }]), 0);
  assertEquals(allocator.allocate(4097), { base: 0, size: 8192 });
  allocator.free({ base: 0, size: 8192 });
  assertEquals(allocator.allocate(8193), { base: 0, size: 8192 + 65_536 });
});

Deno.test("allocator: a range begins at a multiple of 8 bytes in its region, whatever the blocks are", () => {
  const allocator = new Allocator(spaceOf([{ size: 1000, blockSize: 100 }, { size: 1000, blockSize: 100 }]), 0);
  assertEquals(allocator.allocate(1), { base: 0, size: 100 });
  assertEquals(allocator.allocate(1), { base: 200, size: 100 });
});

Deno.test("allocator: best fit is the smallest hole, and freed neighbours are one hole again", () => {
  const allocator = new Allocator(spaceOf([{ size: 10 * 64, blockSize: 64 }]), 0);
  const [first, , third, , fifth] = [128, 64, 64, 64, 128].map((size) => allocator.allocate(size));
  assert(first && third && fifth);
  allocator.free(first);
  allocator.free(third);
  assertEquals(allocator.allocate(64), third);
  allocator.free(third);
  allocator.free({ base: 128, size: 64 });
  assertEquals(allocator.allocate(256), { base: 0, size: 256 });
});

Deno.test("allocator: nothing below the mark, on the dead, or beyond what is known", () => {
  const block = 64;
  const servers = [
    { size: 128, blockSize: block },
    { size: 128, blockSize: block, isAlive: false },
    {
      size: 64,
      blockSize: block,
    },
    { size: 0, blockSize: 0 },
    { size: 640, blockSize: block },
  ];
  const allocator = new Allocator(spaceOf(servers), 1);
  assertEquals(allocator.allocate(65), undefined);
  assertEquals([1, 1, 1].map((size) => allocator.allocate(size)), [
    { base: 256, size: 64 },
    { base: 64, size: 64 },
    undefined,
  ]);
});

Deno.test("allocator: what is free cannot be freed", () => {
  const allocator = new Allocator(spaceOf([{ size: 128, blockSize: 64 }]), 0);
  allocator.allocate(64);
  assertThrows(() => allocator.free({ base: 0, size: 128 }), InvariantError);
});
