/** `dsm status`: the servers of a cluster, and what passes through them. */
import { formatEndpoint } from "../lib/base/units.ts";
import { command } from "../lib/cli/command.ts";
import { print } from "../lib/cli/output.ts";
import { connect } from "../lib/node/cluster/cluster.ts";
import { serverRows, trafficTable } from "./cluster/server_table.ts";
import type { ServerRow } from "./cluster/server_table.ts";
import { watch } from "./cluster/watch.ts";

const CONNECT_MS_MAX = 1_500;

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

/** See the head of this file. */
export const status = command({
  name: "status",
  about: "the servers of a cluster, their layout, traffic and suspect blocks",
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
      const rows = await serverRows(cluster);
      const rates = options.watch ? ratesOf(before, rows) : undefined;
      before = rows;
      down = rows.filter((row) => !row.alive).length;
      return shared.json ? JSON.stringify(rows) : trafficTable(rows, cluster.size, rates);
    };
    if (options.watch) return await watch(look, shared);
    print(await look());
    return down === 0 ? 0 : 1;
  },
});
