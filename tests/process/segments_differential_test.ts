/**
 * A whole cluster against this host's kernel: the sequences of tests/sys/segments_differential_test.ts, each call made over
 * the wire and to the kernel by the same process, of one of several users.
 */
import { assert } from "@std/assert";
import { DEFAULT_LIMITS } from "../../lib/ipc/segments/limits.ts";
import { groupsOf } from "../../lib/node/common/user_groups.ts";
import { connect } from "../../mod.ts";
import { ClusterSide } from "../support/cluster_side.ts";
import { openCluster } from "../support/processes.ts";
import { seededTest } from "../support/seeded.ts";
import { playSequence } from "../support/segment_sequences.ts";
import { Twice } from "../support/segments_twice.ts";
import { usersOfThisHost } from "../support/users.ts";

const SEQUENCE_COUNT = 40;
const CALL_COUNT = 50;

seededTest(`segments: a cluster does in ${SEQUENCE_COUNT} sequences of calls what the kernel does`, async (random) => {
  if (Deno.uid() !== 0) return console.log("not root: skipped, since it takes several users and limits of our own");
  await using cluster = await openCluster({ servers: 3, args: ["--size", "8MiB"] });
  await using observer = await connect({ config: cluster.address });
  // a config server knows the groups of this host's users, and of no others
  const [one, two, three] = usersOfThisHost();
  assert(one && two && three, "this host has three users");
  const identities = [{ uid: 0, ...groupsOf(0) }, one, one, two, three];
  await using twice = await Twice.start(identities, new ClusterSide(observer), cluster.address);
  assert(twice.isAlone, "a namespace of our own");
  await twice.limit(DEFAULT_LIMITS);
  const cells = new Set<string>();
  for (let sequence = 0; sequence < SEQUENCE_COUNT; sequence++) {
    await playSequence(random, twice, DEFAULT_LIMITS, CALL_COUNT, (cell) => cells.add(cell));
  }
  console.log(`reached ${cells.size} cells`);
  assert(cells.size >= 40, [...cells].sort().join("\n"));
});
