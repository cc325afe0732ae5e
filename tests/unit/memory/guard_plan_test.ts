/** lib/memory/guards.ts: which guards a range takes, each once. (What the kernel makes of it is in tests/sys.) */
import { assert, assertEquals } from "@std/assert";
import { GuardPlan } from "../../../lib/memory/guards.ts";
import { seededTest } from "../../support/seeded.ts";

function guardsOf(plan: GuardPlan): number[] {
  return [...plan.indices.subarray(0, plan.count)];
}

seededTest("guard plan: ranges of blocks in any order name each guard once", (random) => {
  for (let round = 0; round < 500; round++) {
    const guardCount = random.pick([1, 2, 7, 499, 500]);
    const plan = new GuardPlan(guardCount);
    for (let use = 0; use < 3; use++) {
      const expected = new Set<number>();
      for (let range = random.between(1, 5); range > 0; range--) {
        const first = random.below(3 * guardCount);
        const last = first + random.below(random.pick([1, 3, 2 * guardCount + 1]));
        plan.addBlocks(first, last);
        for (let block = first; block <= last; block++) expected.add(block % guardCount);
      }
      assertEquals(guardsOf(plan).sort((a, b) => a - b), [...expected].sort((a, b) => a - b));
      const copy = new GuardPlan(guardCount);
      copy.addBlocks(0, 0);
      copy.copyFrom(plan);
      assertEquals(guardsOf(copy), guardsOf(plan));
      plan.clear();
      assertEquals(plan.count, 0);
    }
  }
});

Deno.test("guard plan: a new one takes block 0, and millions of blocks take every guard once, soon", () => {
  const plan = new GuardPlan(500);
  plan.addBlocks(0, 0);
  assertEquals(guardsOf(plan), [0]);
  const started = performance.now();
  plan.addBlocks(3, 2 ** 24 - 1);
  assertEquals(plan.count, 500);
  assert(performance.now() - started < 100);
});
