/** Segments come and go while checkpoints are taken: in each of them table and images are of one moment. */
import { assert, assertEquals } from "@std/assert";
import { openCheckpoint } from "../../lib/checkpoint/store.ts";
import { LoggedCluster } from "../support/loggers.ts";
import { Program, ROOT } from "../support/processes.ts";
import { foreignIn, markedIn } from "../support/segment_marks.ts";

const CHECKPOINT_COUNT = 60;
const CUT_DELAY_MS_MAX = 20;
const CHURN = `${ROOT}tests/process/programs/segment_churn.ts`;

/** Ids of the lines of `sign` in the churners' logs. */
function logged(logs: readonly string[], sign: "+" | "-"): Set<number> {
  const lines = logs.flatMap((file) => Deno.readTextFileSync(file).split("\n").slice(0, -1));
  return new Set(lines.filter((line) => line.startsWith(sign)).map((line) => Number(line.slice(1))));
}

Deno.test("segments made and removed under checkpoints: what is in the table has its own bytes, and nothing is missing", async () => {
  await using stack = new AsyncDisposableStack();
  const cluster = stack.use(await LoggedCluster.start());
  const { address: config, dir } = cluster.cluster;
  const master = stack.use(cluster.master({ cutDelayMsMax: CUT_DELAY_MS_MAX }));
  const logs = ["attach", "tcp", "attach"].map((way, index) => {
    const log = dir.file(`churn-${index}`);
    Deno.writeTextFileSync(log, "");
    return { way, log };
  });
  const churners = logs.map(({ way, log }) => {
    return stack.use(new Program([Deno.execPath(), "run", "-A", CHURN, config, log, way]));
  });
  await Promise.all(churners.map((churner) => churner.saysOut(/at work/)));
  const files = logs.map(({ log }) => log);

  let [segmentCount, markedCount] = [0, 0];
  for (let taken = 0; taken < CHECKPOINT_COUNT; taken++) {
    const made = logged(files, "+");
    const { directory } = await master.take();
    const removed = logged(files, "-");
    const checkpoint = await openCheckpoint(directory);
    assertEquals(await foreignIn(checkpoint), [], directory);
    const there = new Set(checkpoint.manifest.table.segments.map(({ id }) => id));
    assertEquals([...made].filter((id) => !there.has(id) && !removed.has(id)), [], `missing in ${directory}`);
    segmentCount += there.size;
    markedCount += await markedIn(checkpoint);
  }
  const ended = churners.find((churner) => churner.hasExited);
  assert(ended === undefined, ended?.stderr);
  assert(logged(files, "-").size > CHECKPOINT_COUNT, "hardly anything was removed");
  assert(markedCount > CHECKPOINT_COUNT, `${markedCount} of ${segmentCount} segments had bytes: the test sees nothing`);
  for (const churner of churners) churner.signal("SIGKILL");
});
