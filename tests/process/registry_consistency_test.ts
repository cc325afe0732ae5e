/** Names and queues of a real registry under kill -9 of its clients and of itself: what anybody was told could have been. */
import { assert, assertEquals } from "@std/assert";
import { registryRun } from "../support/registry_consistency.ts";
import { seededTest } from "../support/seeded.ts";

const RUNS = 20;

seededTest("registry: real histories of names and queues are linearizable under kill -9", async (random) => {
  let [operations, unjudged] = [0, 0];
  for (let run = 0; run < RUNS; run++) {
    const history = await registryRun(random.word());
    assertEquals(history.violations(), [], `run ${run}`);
    operations += history.size;
    unjudged += history.unjudged;
  }
  console.log(`${RUNS} runs, ${operations} operations, ${unjudged} histories too long to judge`);
  assert(operations > 20 * RUNS);
  assert(unjudged <= RUNS / 10);
});
