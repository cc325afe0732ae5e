/**
 * Putting a checkpoint's bytes and its table of segments back into a running cluster.
 *
 *   - All servers or none: every one must answer before the first byte is written. To restore some would mix two times.
 *   - By address: onto other servers, more or fewer of them, of other sizes, as long as the last byte that is not zero fits.
 *   - What the checkpoint does not have becomes zero, up to the end of the space.
 *   - It takes as long as it takes, and who writes at the same time writes over it. Calls on segments wait.
 *   - The bytes first, then the table in one step: it is the old one or the new one, whoever is killed meanwhile. What was
 *     attached is so no more.
 *
 * Whether the checkpoint is sound was for the caller to find out (soundCheckpoint).
 */
import { CheckpointError, PeerLostError } from "../../base/errors.ts";
import type { Endpoint } from "../../base/units.ts";
import { endOf } from "../../ipc/segments/segment_rows.ts";
import { SpaceReader } from "../../checkpoint/space_reader.ts";
import type { Checkpoint } from "../../checkpoint/store.ts";
import type { VerifyOptions } from "../../checkpoint/verify.ts";
import type { Cluster } from "../cluster/cluster.ts";
import type { Credentials } from "../../net/credentials.ts";
import { HeldTable } from "./held_table.ts";

/** How much is made zero at once: while it lasts, all blocks of it are held. */
const FILL_SIZE_MAX = 1024 * 1024;
/** How long a server may take to say that it is there. */
const ANSWER_MS_MAX = 3_000;

/** What was restored. */
export interface Restored {
  /** Bytes of the cluster's space, all of which were written. */
  readonly spaceSize: number;
  /** Bytes up to the last one that is not zero. */
  readonly usedSize: number;
  /** How many segments there are now. */
  readonly segmentCount: number;
}

/**
 * Makes the space of `cluster`, and the table of its config server at `config`, what `checkpoint` has. `credentials` are
 * shown to that server.
 *
 * @throws PeerLostError naming the servers that do not answer, CheckpointError when the space is too small, SystemError EPERM,
 * EBUSY when table or bytes may not be had: nothing was written then. Later: as Cluster.write and SpaceReader.extents, and the
 * signal's reason; then the space is part old, part new, and the table the old one. At last as HeldTable.replace.
 */
export async function restore(
  cluster: Cluster,
  config: Endpoint,
  credentials: Credentials,
  checkpoint: Checkpoint,
  { onProgress, signal }: VerifyOptions = {},
): Promise<Restored> {
  await requireWhole(cluster);
  await using space = await SpaceReader.open(checkpoint);
  const { size } = cluster;
  const { table } = checkpoint.manifest;
  const usedSize = await space.usedSize();
  if (usedSize > size) {
    throw new CheckpointError(
      `the checkpoint ${checkpoint.name} does not fit: its last byte in use is at ${usedSize - 1}, and the space has ` +
        `${size} bytes; restore into larger servers or more of them`,
    );
  }
  requireFitting(checkpoint, size);
  await using held = await HeldTable.hold(config, credentials);
  await cluster.govern();
  const options = { signal: AbortSignal.any([held.lost, ...signal === undefined ? [] : [signal]]) };
  const zero = async (start: number, end: number): Promise<void> => {
    for (let address = start; address < end; address += FILL_SIZE_MAX) {
      await cluster.fill(address, Math.min(FILL_SIZE_MAX, end - address), 0, options);
      onProgress?.(Math.min(address + FILL_SIZE_MAX, end), size);
    }
  };
  let next = 0;
  for await (const { address, bytes } of space.extents()) {
    if (address >= usedSize) break; // zeros that are stored as such, perhaps beyond the space
    const used = bytes.subarray(0, usedSize - address);
    await zero(next, address);
    await cluster.write(address, used, options);
    next = address + used.length;
    onProgress?.(next, size);
  }
  await zero(next, size);
  await held.replace(table);
  return { spaceSize: size, usedSize, segmentCount: table.segments.length };
}

/** A segment may end in zeros, beyond the last byte in use. */
function requireFitting({ name, manifest }: Checkpoint, size: number): void {
  const lost = manifest.table.segments.find((segment) => endOf([segment]) > size);
  if (lost === undefined) return;
  throw new CheckpointError(
    `the checkpoint ${name} does not fit: its segment ${lost.id} ends at ${
      endOf([lost])
    }, and the space has ${size} bytes; ` +
      `restore into larger servers or more of them`,
  );
}

async function requireWhole(cluster: Cluster): Promise<void> {
  const missing = (await cluster.info({ timeoutMs: ANSWER_MS_MAX })).filter(({ region }) => region === undefined);
  if (missing.length === 0) return;
  const names = missing.map(({ name, reason }) => `${name} (${reason})`).join(", ");
  throw new PeerLostError(
    `nothing was restored: ${names} ${
      missing.length === 1 ? "does" : "do"
    } not answer, and restoring only some servers ` +
      `would mix two times; start ${missing.length === 1 ? "it" : "them"} again, see dsm status`,
    "no",
  );
}
