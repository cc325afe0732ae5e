/** Our side of calls that are made twice, as a cluster: each process makes them over the wire (cluster_calls.ts). */
import type { Limits } from "../../lib/ipc/segments/limits.ts";
import type { SegmentStatus } from "../../lib/ipc/segments/segment.ts";
import type { ShmctlResult } from "../../lib/ipc/segments/shmctl.ts";
import type { Cluster } from "../../mod.ts";
import type { Actor, Call, OurSide, Outcome } from "./segments_twice.ts";

/** See the head of this file. */
export class ClusterSide implements OurSide {
  readonly #observer: Cluster;
  #statuses: SegmentStatus[] = [];

  /** @param observer connected to the same cluster. */
  constructor(observer: Cluster) {
    this.#observer = observer;
  }

  statuses(): SegmentStatus[] {
    return this.#statuses;
  }

  /** A cluster has the limits it was started with: tell the kernel those. */
  limit(_limits: Limits): void {}

  async make({ caller }: Actor, call: Call): Promise<Outcome> {
    const reply = await caller.makeOnCluster(call.call === "end" ? { call: "detachAll" } : call);
    this.#statuses = (await this.#observer.segments.list()).sort((a, b) => a.id - b.id);
    const { value, code, status, limits, usage } = reply;
    return {
      value,
      code,
      ...(status ? { status } : {}),
      // as texts, which is what they are compared as
      ...(limits ? { limits: limits as unknown as NonNullable<ShmctlResult["limits"]> } : {}),
      ...(usage ? { usage } : {}),
    };
  }
}
