/** lib/memory/layout.ts: where everything lies, and that nothing else is taken for a region. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { UsageError } from "../../../lib/base/errors.ts";
import type { Random } from "../../../lib/base/random.ts";
import {
  BLOCK_COUNT_MAX,
  FOOTER_MAGIC,
  FooterWord,
  GUARD_COUNT_MAX,
  LAYOUT_VERSION,
  LOCATOR_SIZE,
  PAGE_SIZE,
  recognise,
  regionLayout,
  SUSPECTS_MAX,
} from "../../../lib/memory/layout.ts";
import type { RegionLayout } from "../../../lib/memory/layout.ts";
import { seededTest } from "../../support/seeded.ts";

function randomLayout(random: Random): RegionLayout {
  const blockSize = random.pick([1, 2, 7, 64, 100, 4096, 5000, 65_536]);
  return regionLayout(blockSize * random.between(1, 3000), blockSize);
}

/** A segment as a server leaves it, as far as it takes to be recognised. */
function segmentOf(layout: RegionLayout): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(layout.totalSize);
  const view = new DataView(bytes.buffer);
  const at = (word: number): number => layout.footerOffset + 4 * word;
  view.setUint32(at(FooterWord.layoutVersion), LAYOUT_VERSION, true);
  view.setBigUint64(at(FooterWord.size), BigInt(layout.size), true);
  view.setUint32(at(FooterWord.blockSize), layout.blockSize, true);
  view.setBigUint64(layout.footerOffset, FOOTER_MAGIC, true);
  view.setBigUint64(bytes.length - LOCATOR_SIZE, BigInt(layout.footerOffset), true);
  view.setBigUint64(bytes.length - 8, FOOTER_MAGIC, true);
  return bytes;
}

seededTest("layout: data first, then footer and arrays on pages of their own, none over another", (random) => {
  for (let round = 0; round < 500; round++) {
    const layout = randomLayout(random);
    const arraySize = 4 * layout.blockCount;
    assertEquals(layout.blockCount * layout.blockSize, layout.size);
    assertEquals(layout.guardCount, Math.min(layout.blockCount, GUARD_COUNT_MAX));
    const ends = [
      [0, layout.size],
      [layout.footerOffset, PAGE_SIZE],
      [layout.versionsOffset, arraySize],
      [layout.savedOffset, arraySize],
      [layout.holdersOffset, arraySize],
      [layout.totalSize - LOCATOR_SIZE, LOCATOR_SIZE],
    ] as const;
    for (const [i, [offset, size]] of ends.entries()) {
      assert(i === 5 || offset % PAGE_SIZE === 0);
      assert(offset + size <= (ends[i + 1]?.[0] ?? layout.totalSize), JSON.stringify(layout));
    }
    assertEquals(layout.totalSize % PAGE_SIZE, 0);
  }
  assert(4 * (FooterWord.suspects + SUSPECTS_MAX) <= PAGE_SIZE);
});

Deno.test("layout: the words of the footer do not lie over one another", () => {
  const sizes: Partial<Record<keyof typeof FooterWord, number>> = {
    magic: 2,
    size: 2,
    cookie: 4,
    suspects: SUSPECTS_MAX,
  };
  const used = new Set<number>();
  for (const [name, word] of Object.entries(FooterWord)) {
    for (let i = 0; i < (sizes[name as keyof typeof FooterWord] ?? 1); i++) {
      assert(!used.has(word + i), name);
      used.add(word + i);
    }
  }
});

Deno.test("layout: up to the most blocks there may be, and no further", () => {
  assertEquals(regionLayout(BLOCK_COUNT_MAX, 1).blockCount, BLOCK_COUNT_MAX);
  assertEquals(regionLayout(2 ** 40, 2 ** 20).blockCount, 2 ** 20);
  const wrong = [
    [BLOCK_COUNT_MAX + 1, 1],
    [0, 4096],
    [-4096, 4096],
    [4096, 0],
    [4096, -1],
    [4095, 4096],
    [4097, 4096],
    [1.5, 0.5],
    [NaN, 4096],
    [4096, NaN],
    [Infinity, 4096],
    [2 ** 31, 2 ** 31],
    [2 ** 54, 2 ** 30],
  ] as const;
  for (const [size, blockSize] of wrong) {
    assertThrows(() => regionLayout(size, blockSize), UsageError, "", `${size} ${blockSize}`);
  }
});

seededTest("recognise: what a server leaves is known again, by its layout", (random) => {
  for (let round = 0; round < 100; round++) {
    const layout = randomLayout(random);
    assertEquals(recognise(segmentOf(layout)), { layout });
  }
});

seededTest("recognise: a region cut anywhere, or with pages too many, is foreign", (random) => {
  for (let round = 0; round < 15; round++) {
    const bytes = segmentOf(randomLayout(random));
    for (const size of [0, 15, 16, PAGE_SIZE, bytes.length - PAGE_SIZE, bytes.length - 1, random.below(bytes.length)]) {
      assert("foreign" in recognise(bytes.slice(0, size)), `${size} of ${bytes.length}`);
    }
    const longer = new Uint8Array(bytes.length + PAGE_SIZE);
    longer.set(bytes);
    assert("foreign" in recognise(longer));
    longer.set(bytes.subarray(-LOCATOR_SIZE), longer.length - LOCATOR_SIZE);
    assert("foreign" in recognise(longer));
  }
});

seededTest("recognise: random bytes, magic or not, are foreign and never an error", (random) => {
  for (let round = 0; round < 300; round++) {
    const bytes = random.bytes(PAGE_SIZE * random.between(0, 5) + random.pick([0, 1, 16]));
    const view = new DataView(bytes.buffer);
    assert("foreign" in recognise(bytes));
    if (bytes.length < 2 * PAGE_SIZE) continue;
    view.setBigUint64(bytes.length - 8, FOOTER_MAGIC, true);
    assert("foreign" in recognise(bytes));
    for (
      const offset of [0n, 4096n, BigInt(bytes.length), BigInt(bytes.length - PAGE_SIZE), 2n ** 63n, 2n ** 64n - 4096n]
    ) {
      view.setBigUint64(bytes.length - LOCATOR_SIZE, offset, true);
      assert("foreign" in recognise(bytes));
    }
  }
});

seededTest("recognise: a footer with any word of its shape changed is foreign", (random) => {
  for (let round = 0; round < 200; round++) {
    const layout = randomLayout(random);
    for (const word of [0, 1, FooterWord.layoutVersion, FooterWord.size, FooterWord.size + 1, FooterWord.blockSize]) {
      const bytes = segmentOf(layout);
      const view = new DataView(bytes.buffer);
      const at = layout.footerOffset + 4 * word;
      view.setUint32(at, view.getUint32(at, true) ^ (1 + random.below(2 ** 32 - 1)), true);
      assert("foreign" in recognise(bytes), `word ${word} of ${JSON.stringify(layout)}`);
    }
  }
});

Deno.test("recognise: another version of the layout is said to be one", () => {
  const layout = regionLayout(4096, 4096);
  const bytes = segmentOf(layout);
  new DataView(bytes.buffer).setUint32(layout.footerOffset + 4 * FooterWord.layoutVersion, 99, true);
  const found = recognise(bytes);
  assert("foreign" in found && found.foreign.includes("version 99"));
});
