/** What the commands on names share: the registry they ask, and a name as a flat object. */
import { formatEndpoint } from "../../lib/base/units.ts";
import type { Shared } from "../../lib/cli/shared.ts";
import type { Cell } from "../../lib/cli/table.ts";
import { Registry } from "../../lib/node/registry_client/registry.ts";
import type { BoundName } from "../../lib/node/registry_client/registry.ts";

/** How long the registry may take to answer. */
const ANSWER_MS_MAX = 1_500;

/** A name for programs. */
export type NameRow = Readonly<Record<"name" | "value" | "revision" | "leased" | "uid" | "time", Cell>>;

/** The registry of `--registry`. */
export function openRegistry({ registry, secret, tlsCa }: Shared): Registry {
  return new Registry({ registry: formatEndpoint(registry), secret, tlsCa, timeoutMs: ANSWER_MS_MAX });
}

/** A name as it is bound; the time in ISO 8601. */
export function nameRow({ name, value, revision, isLeased, uid, time }: BoundName): NameRow {
  return { name, value, revision, leased: isLeased, uid, time: new Date(time * 1000).toISOString() };
}
