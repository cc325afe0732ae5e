/**
 * The cluster's calls in a process of a user's own: what kernel_segments.ts can be asked besides the kernel's.
 *
 * The module is loaded as root; the cluster is connected to as the user.
 */
import { connect } from "../../mod.ts";
import type { Cluster, SegmentAttachment } from "../../mod.ts";
import { SystemError } from "../../lib/base/errors.ts";
import type { NewOwnership } from "../../lib/ipc/segments/calls.ts";
import type { SegmentStatus } from "../../lib/ipc/segments/segment.ts";

/** A call on the cluster that the process is connected to. */
export type ClusterCall =
  | { readonly call: "shmget"; readonly key: number; readonly size: number; readonly flags: number }
  | { readonly call: "shmat"; readonly id: number; readonly flags: number }
  /** By the number that `shmat` returned. */
  | { readonly call: "shmdt"; readonly attachment: number }
  | { readonly call: "detachAll" }
  | { readonly call: "shmctl"; readonly id: number; readonly command: number; readonly ownership?: NewOwnership }
  | { readonly call: "list" }
  /** By address. */
  | { readonly call: "read" | "write" | "fill" | "fetchAdd" | "waitUntil"; readonly address: number }
  /** Whether the region of the first server is attached: 1 or 0. */
  | { readonly call: "isAttached" };

/** What came of it. */
export interface ClusterReply {
  /** What it returned, -1 for a failure. */
  readonly value: number;
  /** `ok`, or the errno's name. */
  readonly code: string;
  /** The error's message; "" for none. */
  readonly message: string;
  readonly status?: SegmentStatus;
  /** Of IPC_INFO: what JSON cannot carry as texts. */
  readonly limits?: Readonly<Record<string, number | string>>;
  readonly usage?: { readonly segmentCount: number; readonly pageCount: number };
  /** Of `list`. */
  readonly statuses?: readonly SegmentStatus[];
}

/** A process's connection to a cluster. */
export class ClusterCalls {
  readonly #cluster: Cluster;
  readonly #attached = new Map<number, SegmentAttachment>();

  private constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** Connects to the config server at that address. */
  static async connect(config: string): Promise<ClusterCalls> {
    return new ClusterCalls(await connect({ config }));
  }

  /** Makes a call. */
  async make(call: ClusterCall): Promise<ClusterReply> {
    try {
      return { code: "ok", message: "", ...await this.#make(call) };
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      return { value: -1, code: error.code, message: error.message };
    }
  }

  async #make(request: ClusterCall): Promise<Omit<ClusterReply, "code" | "message">> {
    const cluster = this.#cluster;
    switch (request.call) {
      case "shmget":
        return { value: await cluster.shmget(request.key, request.size, request.flags) };
      case "shmat": {
        const attached = await cluster.shmat(request.id, request.flags);
        this.#attached.set(attached.number, attached);
        return { value: attached.number };
      }
      case "shmdt":
        return await this.#detach(request.attachment);
      case "detachAll":
        for (const attachment of [...this.#attached.keys()]) await this.#detach(attachment);
        return { value: 0 };
      case "shmctl": {
        const { limits, ...rest } = await cluster.shmctl(request.id, request.command, request.ownership);
        if (!limits) return rest;
        const told = Object.entries(limits).map(([name, limit]) => [name, `${limit}`] as const);
        return { ...rest, limits: Object.fromEntries(told) };
      }
      case "list":
        return { value: 0, statuses: await cluster.segments.list() };
      case "read":
        return { value: (await cluster.read(request.address, 8))[0] ?? -1 };
      case "write":
        await cluster.write(request.address, new Uint8Array(8));
        return { value: 0 };
      case "fill":
        await cluster.fill(request.address, 8, 0);
        return { value: 0 };
      case "fetchAdd":
        return { value: await cluster.fetchAdd(request.address, 0) };
      case "waitUntil":
        return { value: await cluster.waitUntil(request.address, () => true) };
      case "isAttached":
        return { value: cluster.attachments[0] ? 1 : 0 };
    }
  }

  async #detach(number: number): Promise<{ value: number }> {
    const attachment = this.#attached.get(number);
    if (!attachment) throw new SystemError("shmdt", "EINVAL", `this process has no attachment ${number}`);
    this.#attached.delete(number);
    await this.#cluster.shmdt(attachment);
    return { value: 0 };
  }
}
