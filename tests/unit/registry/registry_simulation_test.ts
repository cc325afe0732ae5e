/** The registry's service in a simulated world: what its clients were told could have been, whatever was killed when. */
import { assert, fail } from "@std/assert";
import { Random } from "../../../lib/base/random.ts";
import { RegistrySimulation } from "../../support/registry_simulator.ts";
import { seededTest } from "../../support/seeded.ts";

/** Many short runs find more than few long ones. */
const RUNS = 400;

seededTest("simulation: names and queues are linearizable under kill -9 of clients and registry", (random) => {
  let [operations, unjudged] = [0, 0];
  for (let run = 0; run < RUNS; run++) {
    const seed = random.word();
    const size = { clients: random.between(2, 4), operations: random.between(5, 30) };
    const { history, log } = RegistrySimulation.run(new Random(seed), size);
    operations += history.size;
    const violations = history.violations();
    unjudged += history.unjudged;
    if (violations.length === 0) continue;
    fail(
      `run ${run} (seed ${seed}, ${JSON.stringify(size)}) cannot have been: ${[...violations, ...log].join("\n  ")}`,
    );
  }
  console.log(`${RUNS} runs, ${operations} operations, ${unjudged} histories too long to judge`);
  assert(operations > 10 * RUNS);
  assert(unjudged < RUNS / 100);
});
