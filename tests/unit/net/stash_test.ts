/** lib/net/stash.ts: what is kept is what came, and never more than the budget allows. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { ProtocolError } from "../../../lib/base/errors.ts";
import { Stash, StashBudget } from "../../../lib/net/stash.ts";
import { Output, OUTPUT_SIZE, peerName, STASH_TOTAL_MAX } from "../../../lib/net/transport.ts";
import { seededTest } from "../../support/seeded.ts";

Deno.test("stash: empty it has no buffer and costs nothing", () => {
  const budget = new StashBudget();
  const stash = new Stash(budget);
  stash.keep(new Uint8Array(10), 3, 3);
  assertEquals([stash.size, stash.bytes.length, budget.total], [0, 0, 0]);
});

Deno.test("stash: it keeps a copy, not a view", () => {
  const stash = new Stash(new StashBudget());
  const bytes = new Uint8Array([1, 2, 3, 4]);
  stash.keep(bytes, 1, 3);
  bytes.fill(9);
  assertEquals([...stash.bytes.subarray(0, stash.size)], [2, 3]);
  assertEquals(stash.view.getUint16(0), 0x0203);
});

Deno.test("stash: its own buffer is kept as it is, or cut from the front", () => {
  const budget = new StashBudget();
  const stash = new Stash(budget);
  stash.keep(new Uint8Array([1, 2]), 0, 2);
  stash.grow(100);
  assertEquals([stash.size, stash.bytes.length, budget.total], [2, 100, 100]);
  stash.bytes.set([3, 4, 5], 2);
  stash.keep(stash.bytes, 0, 5);
  assertEquals([stash.size, stash.bytes.length], [5, 100]);
  stash.keep(stash.bytes, 3, 5);
  assertEquals([...stash.bytes.subarray(0, stash.size)], [4, 5]);
  assertEquals(budget.total, 2);
  stash.clear();
  stash.clear();
  assertEquals([stash.size, budget.total], [0, 0]);
});

Deno.test("stash: all together hold no more than their budget", () => {
  const budget = new StashBudget();
  const [a, b] = [new Stash(budget), new Stash(budget)];
  budget.total = STASH_TOTAL_MAX - 100;
  a.grow(100);
  assertThrows(() => b.grow(1), ProtocolError, "no room");
  a.grow(50); // it has that already
  a.clear();
  b.grow(100);
  assertEquals(budget.total, STASH_TOTAL_MAX);
});

seededTest("stash: random keeping, growing and clearing agree with a model", (random) => {
  const budget = new StashBudget();
  const stashes = Array.from({ length: 4 }, () => ({ stash: new Stash(budget), model: new Uint8Array(0) }));
  for (let round = 0; round < 2000; round++) {
    const each = random.pick(stashes);
    const { stash } = each;
    switch (random.below(4)) {
      case 0: {
        const bytes = random.bytes(random.below(50));
        const start = random.below(bytes.length + 1);
        const end = random.between(start, bytes.length);
        stash.keep(bytes, start, end);
        each.model = bytes.slice(start, end);
        break;
      }
      case 1: {
        const start = random.below(stash.size + 1);
        stash.keep(stash.bytes, start, stash.size);
        each.model = each.model.slice(start);
        break;
      }
      case 2: {
        const capacity = random.below(200);
        stash.grow(capacity);
        assert(stash.bytes.length >= capacity);
        break;
      }
      default:
        stash.clear();
        each.model = new Uint8Array(0);
    }
    assertEquals(stash.bytes.slice(0, stash.size), each.model);
    assertEquals(stash.view.byteLength, stash.bytes.length);
    assertEquals(budget.total, stashes.reduce((sum, { stash }) => sum + stash.bytes.length, 0));
  }
});

Deno.test("output: it has room up to its size", () => {
  const output = new Output();
  assert(output.hasRoom(OUTPUT_SIZE) && !output.hasRoom(OUTPUT_SIZE + 1));
  output.size = OUTPUT_SIZE - 1;
  assert(output.hasRoom(1) && !output.hasRoom(2));
});

Deno.test("transport: a peer's name has brackets where its address has colons", () => {
  assertEquals(peerName({ host: "::1", port: 5 }), "[::1]:5");
  assertEquals(peerName({ host: "127.0.0.1", port: 5 }), "127.0.0.1:5");
});
