/** The segments of a cluster, as its config server keeps them. */
import { formatEndpoint } from "../../lib/base/units.ts";
import { invariant } from "../../lib/base/assert.ts";
import type { Shared } from "../../lib/cli/shared.ts";
import { IPC_CREAT, IPC_EXCL, IPC_INFO, IPC_RMID } from "../../lib/ipc/common/flags.ts";
import { SHM_INFO } from "../../lib/ipc/segments/flags.ts";
import type { Limits } from "../../lib/ipc/segments/limits.ts";
import { connect } from "../../lib/node/cluster/cluster.ts";
import type { Cluster } from "../../lib/node/cluster/cluster.ts";
import type { ListedSegment, Segments, SegmentsUsage } from "./segments.ts";

const CONNECT_MS_MAX = 1_500;

/** See the head of this file. */
export class ClusterSegments implements Segments {
  readonly #cluster: Cluster;

  private constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** Asks the config server of `--config`. @throws PeerLostError, TimeoutError. */
  static async open({ config, secret, tlsCa }: Shared): Promise<ClusterSegments> {
    const asked = { config: formatEndpoint(config), secret, tlsCa, attach: false, connectTimeoutMs: CONNECT_MS_MAX };
    return new ClusterSegments(await connect(asked));
  }

  /** All of them, whoever may read them. */
  list(): Promise<readonly ListedSegment[]> {
    return this.#cluster.segments.list();
  }

  /** IPC_INFO. */
  async limits(): Promise<Limits> {
    const { limits } = await this.#cluster.shmctl(0, IPC_INFO);
    invariant(limits !== undefined, "IPC_INFO tells the limits");
    return limits;
  }

  /** SHM_INFO. */
  async usage(): Promise<SegmentsUsage> {
    const { usage } = await this.#cluster.shmctl(0, SHM_INFO);
    invariant(usage !== undefined, "SHM_INFO tells what is used");
    return usage;
  }

  /** `shmget`. */
  make(key: number, size: number, mode: number): Promise<number> {
    return this.#cluster.shmget(key, size, IPC_CREAT | IPC_EXCL | mode);
  }

  /** `shmget`. */
  find(key: number): Promise<number> {
    return this.#cluster.shmget(key, 0, 0);
  }

  /** IPC_RMID. */
  async remove(id: number): Promise<void> {
    await this.#cluster.shmctl(id, IPC_RMID);
  }

  /** Ends the connection. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#cluster[Symbol.asyncDispose]();
  }
}
