/** Whose message queues the tools work on: this host's kernel's, or the registry's. */
import { formatEndpoint } from "../../lib/base/units.ts";
import type { Shared } from "../../lib/cli/shared.ts";
import { hostQueues } from "../../lib/node/queues/kernel_queues.ts";
import type { Queues } from "../../lib/node/queues/queues.ts";
import { Registry } from "../../lib/node/registry_client/registry.ts";

/** How long the registry may take to answer. */
const ANSWER_MS_MAX = 1_500;

/** Queues, until they are disposed of. */
export interface OpenQueues extends AsyncDisposable {
  /** See the head of this file. */
  readonly queues: Queues;
}

/** The queues of this host, or of the registry of `--registry`. */
export function openQueues(host: boolean, { registry: endpoint, secret, tlsCa }: Shared): OpenQueues {
  if (host) return { queues: hostQueues(), [Symbol.asyncDispose]: async () => {} };
  return new Registry({ registry: formatEndpoint(endpoint), secret, tlsCa, timeoutMs: ANSWER_MS_MAX });
}
