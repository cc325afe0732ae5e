/** Checkpoints under load are consistent cuts, whatever path a writer takes; and a mutant of any rule is found out. */
import { assert, assertEquals } from "@std/assert";
import { PATHS } from "../support/chains.ts";
import { ConsistencyRun } from "../support/consistency.ts";
import { ROOT } from "../support/processes.ts";

Deno.test("consistency: 200 checkpoints under load on every path, and a gather without a cut is not one", async () => {
  const outcome = await ConsistencyRun.run({
    root: ROOT,
    paths: PATHS,
    checkpointCount: 200,
    stopsAtContradiction: false,
    cutDelayMs: 50,
    gathersUncoordinated: true,
  });
  assertEquals(outcome.contradictions, []);
  assert(outcome.progress > 1000, `the chains came no further than ${outcome.progress}`);
  assert(outcome.uncoordinated.length > 0, "without a cut the same load shows no contradiction: the test sees nothing");
});

Deno.test("consistency: 60 checkpoints under load in the dialects that carry no epoch", async () => {
  const outcome = await ConsistencyRun.run({
    root: ROOT,
    paths: ["classic", "simple"],
    checkpointCount: 60,
    stopsAtContradiction: false,
    cutDelayMs: 50,
    gathersUncoordinated: false,
  });
  assertEquals(outcome.contradictions, []);
  assert(outcome.progress > 100, `the chains came no further than ${outcome.progress}`);
});
