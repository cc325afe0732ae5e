/** `dsm status`: the servers of a cluster, and what passes through them. */
import { DsmError } from "../lib/base/errors.ts";
import { formatEndpoint, formatTime } from "../lib/base/units.ts";
import { command } from "../lib/cli/command.ts";
import { print } from "../lib/cli/output.ts";
import type { Shared } from "../lib/cli/shared.ts";
import { Registry } from "../lib/node/registry_client/registry.ts";
import { connect } from "../lib/node/cluster/cluster.ts";
import { serverRows, trafficTable } from "./cluster/server_table.ts";
import type { ServerRow } from "./cluster/server_table.ts";
import { watch } from "./cluster/watch.ts";

const CONNECT_MS_MAX = 1_500;
/** How long the registry may take to answer: on a host without one this is waited in vain. */
const REGISTRY_MS_MAX = 400;

/** Operations per second of each server since the rows before. */
function ratesOf(before: readonly ServerRow[], now: readonly ServerRow[]): Map<string, number> {
  const rates = new Map<string, number>();
  for (const row of now) {
    const old = before.find((each) => each.server === row.server && each.starts === row.starts);
    if (!old || old.operations === null || row.operations === null) continue;
    const seconds = ((row.uptimeMs ?? 0) - (old.uptimeMs ?? 0)) / 1000;
    if (seconds > 0) rates.set(row.server, (row.operations - old.operations) / seconds);
  }
  return rates;
}

/** A line about the registry. */
async function registryLine({ registry: endpoint, secret, tlsCa }: Shared): Promise<string> {
  const name = formatEndpoint(endpoint);
  await using registry = new Registry({ registry: name, secret, tlsCa, timeoutMs: REGISTRY_MS_MAX });
  try {
    const { nameCount, queueCount, messageCount, sessionCount, uptimeMs } = await registry.info();
    const uptime = formatTime(Math.floor(uptimeMs / 1000) * 1000);
    return `registry ${name}: ${nameCount} name(s), ${queueCount} queue(s) with ${messageCount} message(s), ` +
      `${sessionCount} client(s), up ${uptime}`;
  } catch (error) {
    if (!(error instanceof DsmError)) throw error;
    return `registry ${name}: none; dsm registry starts one`;
  }
}

/** See the head of this file. */
export const status = command({
  name: "status",
  about: "the servers of a cluster, their layout, traffic and suspect blocks, and its registry",
  details: "Exit status 1 when a server is down.",
  examples: [
    ["dsm status", "a table"],
    ["dsm status --watch", "once a second, with operations per second"],
    ["dsm status --json", "for programs"],
  ],
  options: { watch: { kind: "boolean", short: "w", about: "look once a second" } },
  async run(_args, options, shared) {
    await using cluster = await connect({
      config: formatEndpoint(shared.config),
      secret: shared.secret,
      tlsCa: shared.tlsCa,
      attach: false,
      timeoutMs: CONNECT_MS_MAX,
    });
    let before: ServerRow[] = [];
    let down = 0;
    const look = async (): Promise<string> => {
      const [rows, registry] = await Promise.all([serverRows(cluster), shared.json ? "" : registryLine(shared)]);
      const rates = options.watch ? ratesOf(before, rows) : undefined;
      before = rows;
      down = rows.filter((row) => !row.alive).length;
      return shared.json ? JSON.stringify(rows) : `${trafficTable(rows, cluster.size, rates)}\n${registry}`;
    };
    if (options.watch) return await watch(look, shared);
    print(await look());
    return down === 0 ? 0 : 1;
  },
});
