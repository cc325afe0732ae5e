/** What ipcs, ipcmk and ipcrm share: whose segments they work on. */
import type { Params } from "../../lib/cli/command.ts";
import type { Shared } from "../../lib/cli/shared.ts";
import { ClusterSegments } from "./cluster_segments.ts";
import { HostSegments } from "./host_segments.ts";
import type { Segments } from "./segments.ts";

/** Whose segments. */
export const HOST = {
  host: { kind: "boolean", about: "work on this host's kernel, not on the cluster" },
} as const satisfies Params;

/** The segments of this host, or of the cluster of `--config`. */
export async function openSegments(host: boolean, shared: Shared): Promise<Segments> {
  return host ? new HostSegments() : await ClusterSegments.open(shared);
}
