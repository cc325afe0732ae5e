/** `dsm up --restore`: a cluster that begins with a checkpoint. */
import { Deadline, pause } from "../../lib/base/clock.ts";
import { SystemError } from "../../lib/base/errors.ts";
import { approximateSize, parseEndpoint } from "../../lib/base/units.ts";
import { soundCheckpoint } from "../../lib/checkpoint/choose.ts";
import { say } from "../../lib/cli/output.ts";
import type { ServerPlan } from "../../lib/launch/local_cluster.ts";
import { readCredentials } from "../../lib/node/common/credentials.ts";
import type { CredentialFiles } from "../../lib/node/common/credentials.ts";
import { connect } from "../../lib/node/cluster/cluster.ts";
import type { Cluster } from "../../lib/node/cluster/cluster.ts";
import { restore } from "../../lib/node/logger/restore.ts";
import { findSegment, IPC_PRIVATE } from "../../lib/sys/shared_memory.ts";
import { segmentCountText } from "../checkpoint/segments.ts";

/** How long the config server may take to find servers that are there. */
const ALIVE_MS_MAX = 5_000;
const LOOK_MS = 20;

/** Waits until the config server has met every server; whoever is still missing then is named by the restore. */
async function untilAlive(cluster: Cluster): Promise<void> {
  const deadline = new Deadline(ALIVE_MS_MAX);
  while (!cluster.places.every(({ isAlive }) => isAlive) && !deadline.passed) {
    await pause(LOOK_MS);
    await cluster.refresh();
  }
}

/**
 * Sees, before any server is started, that there is something to restore and room for it.
 *
 * @param credentials shown to the cluster's roles.
 * @returns fills the cluster whose config server it is given, once its servers serve.
 * @throws SystemError EEXIST when there is memory under a server's key: an earlier server may have left it, and neither a
 * restore nor the end of a cluster that could not start may cost its bytes; what `soundCheckpoint` throws.
 */
export async function prepareRestore(
  directory: string,
  name: string,
  servers: readonly ServerPlan[],
  credentials: CredentialFiles,
): Promise<(config: string) => Promise<void>> {
  const old = servers.find(({ shmkey }) => shmkey !== IPC_PRIVATE && findSegment(shmkey) !== undefined);
  if (old) {
    throw new SystemError(
      "restore",
      "EEXIST",
      `there is memory with key ${old.shmkey}, which an earlier server may have left, and a restore would overwrite it: ` +
        `start without --restore to go on with it, or remove it first: ipcrm -M ${old.shmkey}`,
    );
  }
  const checkpoint = await soundCheckpoint(directory, name);
  return async (config) => {
    await using cluster = await connect({ config, ...credentials });
    await untilAlive(cluster);
    const { usedSize, segmentCount } = await restore(
      cluster,
      parseEndpoint(config),
      readCredentials(credentials),
      checkpoint,
    );
    say(`restored ${checkpoint.path}: ${approximateSize(usedSize)} in use${segmentCountText(segmentCount)}`);
  };
}
