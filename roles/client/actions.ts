/** What a client does, the same at a prompt and in a script. */
import { UsageError } from "../../lib/base/errors.ts";
import { print } from "../../lib/cli/output.ts";
import { Progress } from "../../lib/cli/progress.ts";
import type { Cluster } from "../../lib/node/cluster/cluster.ts";
import { reachTable, serverRows } from "../cluster/server_table.ts";

/** @throws UsageError unless `start` is not after `end`. */
export function sizeOf(start: number, end: number): number {
  if (start > end) throw new UsageError(`the start (${start}) is after the end (${end}); the end is exclusive`);
  return end - start;
}

/** Reads a file into the space. Returns how many bytes it had. */
export async function load(cluster: Cluster, file: string, start: number): Promise<number> {
  using source = await openToRead(file);
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

/** Writes a range of the space to a file, which is not touched before there is something to write into it. */
export async function save(cluster: Cluster, start: number, end: number, file: string): Promise<number> {
  const size = sizeOf(start, end);
  let opened: Deno.FsFile | undefined;
  const open = (): Deno.FsFile => opened ??= openToWrite(file);
  try {
    using bar = new Progress(`save ${file}`, size);
    await cluster.lend(start, size, "r", (bytes, at) => {
      const target = open();
      for (let done = 0; done < bytes.length;) done += target.writeSync(done === 0 ? bytes : bytes.subarray(done));
      bar.update(at + bytes.length);
    });
    open();
  } finally {
    opened?.close();
  }
  return size;
}

function cannotOpen(file: string, error: unknown): UsageError {
  return new UsageError(`cannot open ${file}: ${(error as Error).message}`);
}

function openToWrite(file: string): Deno.FsFile {
  try {
    return Deno.openSync(file, { write: true, create: true, truncate: true });
  } catch (error) {
    throw cannotOpen(file, error);
  }
}

async function openToRead(file: string): Promise<Deno.FsFile> {
  try {
    return await Deno.open(file);
  } catch (error) {
    throw cannotOpen(file, error);
  }
}

/** Prints what is known of the servers. */
export async function printInfo(cluster: Cluster, json: boolean): Promise<void> {
  const rows = await serverRows(cluster);
  print(json ? JSON.stringify(rows) : reachTable(rows, cluster.size));
}
