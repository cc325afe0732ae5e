/** What a client does, the same at a prompt and in a script. */
import { UsageError } from "../../lib/base/errors.ts";
import { approximateSize, formatSize } from "../../lib/base/units.ts";
import { Progress } from "../../lib/cli/progress.ts";
import { printRows, table } from "../../lib/cli/table.ts";
import type { Cluster, ServerInfo } from "../../lib/node/cluster.ts";

/** @throws UsageError unless `start` is not after `end`. */
export function sizeOf(start: number, end: number): number {
  if (start > end) throw new UsageError(`the start (${start}) is after the end (${end}); the end is exclusive`);
  return end - start;
}

/** Reads a file into the space. Returns how many bytes it had. */
export async function load(cluster: Cluster, file: string, start: number): Promise<number> {
  using source = await openFile(file, { read: true });
  const { size, isFile } = await source.stat();
  if (!isFile) throw new UsageError(`${file} is not a file; pipe it: dsm client write ${start} - < ${file}`);
  using bar = new Progress(`load ${file}`, size);
  await cluster.lend(start, size, "w", (bytes, at) => {
    for (let done = 0; done < bytes.length;) {
      const count = source.readSync(done === 0 ? bytes : bytes.subarray(done));
      if (count === null) throw new UsageError(`${file} became shorter while it was loaded`);
      done += count;
    }
    bar.update(at + bytes.length);
  });
  return size;
}

/** Writes a range of the space to a file. */
export async function save(cluster: Cluster, start: number, end: number, file: string): Promise<number> {
  const size = sizeOf(start, end);
  using target = await openFile(file, { write: true, create: true, truncate: true });
  using bar = new Progress(`save ${file}`, size);
  await cluster.lend(start, size, "r", (bytes, at) => {
    for (let done = 0; done < bytes.length;) done += target.writeSync(done === 0 ? bytes : bytes.subarray(done));
    bar.update(at + bytes.length);
  });
  return size;
}

async function openFile(file: string, options: Deno.OpenOptions): Promise<Deno.FsFile> {
  try {
    return await Deno.open(file, options);
  } catch (error) {
    throw new UsageError(`cannot open ${file}: ${(error as Error).message}`);
  }
}

/** One row of `info`. */
function infoRow(server: ServerInfo): Record<string, string | number | boolean | null> {
  return {
    server: server.name,
    base: server.base,
    size: server.size,
    blockSize: server.blockSize,
    alive: server.isAlive,
    way: server.way ?? null,
    transport: server.region?.transport ?? null,
    connections: server.region?.connectionCount ?? null,
    operations: server.region?.operationCount ?? null,
    bytes: server.region?.byteCount ?? null,
    suspects: server.region?.suspectCount ?? null,
    starts: server.region?.startCount ?? null,
    note: server.reason,
  };
}

/** Prints what is known of the servers. */
export async function printInfo(cluster: Cluster, json: boolean): Promise<void> {
  const rows = (await cluster.info()).map(infoRow);
  if (json) return printRows(rows, [], { json });
  console.log(infoTable(rows));
  console.log(`${formatSize(cluster.size)} (${cluster.size} bytes) on ${rows.length} server(s)`);
}

function infoTable(rows: Record<string, string | number | boolean | null>[]): string {
  return table(rows, [
    { key: "server" },
    { key: "base" },
    { key: "size", show: (row) => approximateSize(Number(row.size)) },
    { key: "blockSize", show: (row) => approximateSize(Number(row.blockSize)) },
    { key: "way", show: (row) => row.alive ? String(row.way ?? "-") : "down" },
    { key: "transport" },
    { key: "connections" },
    { key: "operations" },
    { key: "suspects" },
    { key: "starts" },
    { key: "note" },
  ]);
}
