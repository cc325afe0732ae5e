/** The servers of a cluster as rows. */
import { approximateSize, formatSize } from "../../lib/base/units.ts";
import { table } from "../../lib/cli/table.ts";
import type { Cluster, ServerInfo } from "../../lib/node/cluster/cluster.ts";

/** One server, flat: what `--json` prints. */
export interface ServerRow {
  readonly server: string;
  readonly base: number;
  readonly size: number;
  readonly blockSize: number;
  readonly alive: boolean;
  readonly way: string | null;
  readonly transport: string | null;
  readonly connections: number | null;
  readonly operations: number | null;
  readonly bytes: number | null;
  readonly waits: number | null;
  readonly suspects: number | null;
  readonly starts: number | null;
  readonly pid: number | null;
  readonly uptimeMs: number | null;
  readonly note: string;
}

function rowOf(server: ServerInfo): ServerRow {
  const { region } = server;
  return {
    server: server.name,
    base: server.base,
    size: server.size,
    blockSize: server.blockSize,
    alive: server.isAlive,
    way: server.way ?? null,
    transport: region?.transport ?? null,
    connections: region?.connectionCount ?? null,
    operations: region?.operationCount ?? null,
    bytes: region?.byteCount ?? null,
    waits: region?.waitCount ?? null,
    suspects: region?.suspectCount ?? null,
    starts: region?.startCount ?? null,
    pid: region?.pid ?? null,
    uptimeMs: region?.uptimeMs ?? null,
    note: server.reason,
  };
}

/** One row per server, asked for anew. */
export async function serverRows(cluster: Cluster): Promise<ServerRow[]> {
  return (await cluster.info()).map(rowOf);
}

const sizeOrUnknown = (size: number): string => size === 0 ? "?" : approximateSize(size);

/** How the servers are reached: the client's view. */
export function reachTable(rows: readonly ServerRow[], spaceSize: number): string {
  const servers = table(rows, [
    { key: "server" },
    { key: "base" },
    { key: "size", show: (row) => sizeOrUnknown(row.size) },
    { key: "blockSize", show: (row) => sizeOrUnknown(row.blockSize) },
    { key: "way", show: (row) => row.way ?? "down" },
    { key: "suspects" },
    { key: "starts" },
    { key: "note" },
  ]);
  return `${servers}\n${summary(rows, spaceSize)}`;
}

/** What passes through the servers: the operator's view. */
export function trafficTable(
  rows: readonly ServerRow[],
  spaceSize: number,
  rates?: ReadonlyMap<string, number>,
): string {
  const servers = table(rows, [
    { key: "server" },
    { key: "alive", show: (row) => row.alive ? "up" : "down" },
    { key: "base" },
    { key: "size", show: (row) => sizeOrUnknown(row.size) },
    { key: "transport" },
    { key: "pid" },
    { key: "connections" },
    { key: "operations" },
    { key: "bytes", show: (row) => row.bytes === null ? "-" : approximateSize(row.bytes) },
    { key: "waits" },
    { key: "suspects" },
    { key: "starts" },
    { key: "note", show: (row) => row.alive ? rateOf(row, rates) : row.note },
  ]);
  return `${servers}\n${summary(rows, spaceSize)}`;
}

function rateOf(row: ServerRow, rates?: ReadonlyMap<string, number>): string {
  const rate = rates?.get(row.server);
  return rate === undefined ? "" : `${Math.round(rate)} operations/s`;
}

function summary(rows: readonly ServerRow[], spaceSize: number): string {
  const down = rows.filter((row) => !row.alive).length;
  const servers = `${rows.length} ${rows.length === 1 ? "server" : "servers"}`;
  return `${formatSize(spaceSize)} on ${servers}${down > 0 ? `, ${down} of them down` : ""}`;
}
