/** `dsm ipcmk`: makes a segment or a message queue in a cluster, or on this host, as util-linux's `ipcmk` does. */
import { SystemError, UsageError } from "../lib/base/errors.ts";
import { freshSeed } from "../lib/base/random.ts";
import { command } from "../lib/cli/command.ts";
import { print } from "../lib/cli/output.ts";
import type { Shared } from "../lib/cli/shared.ts";
import { IPC_CREAT, IPC_EXCL, IPC_PRIVATE } from "../lib/ipc/common/flags.ts";
import { openQueues } from "./ipc/open_queues.ts";
import { HOST, openSegments } from "./ipc/options.ts";

/** What was made. */
interface Made {
  readonly key: number;
  readonly id: number;
}

/** Makes one under that key, or under one that no other has. */
async function makeUnder(key: number | undefined, make: (key: number) => Promise<number>): Promise<Made> {
  if (key !== undefined) return { key, id: await make(key) };
  for (;;) {
    const fresh = freshSeed();
    if (fresh === IPC_PRIVATE) continue;
    try {
      return { key: fresh, id: await make(fresh) };
    } catch (error) {
      if (!(error instanceof SystemError && error.code === "EEXIST")) throw error;
    }
  }
}

/** What is asked for of either kind. */
interface Wanted {
  readonly key: number | undefined;
  readonly mode: number;
  readonly host: boolean;
}

async function makeSegment(size: number, { key, mode, host }: Wanted, shared: Shared): Promise<Made> {
  await using segments = await openSegments(host, shared);
  return await makeUnder(key, (each) => segments.make(each, size, mode));
}

async function makeQueue({ key, mode, host }: Wanted, shared: Shared): Promise<Made> {
  await using open = openQueues(host, shared);
  return await makeUnder(key, (each) => open.queues.calls.msgget(each, IPC_CREAT | IPC_EXCL | mode));
}

/** See the head of this file. */
export const ipcmk = command({
  name: "ipcmk",
  about: "make a shared memory segment or a message queue",
  details: `Prints its id. A key that names one already is an error, so that nobody takes another's for a new one.`,
  examples: [
    ["dsm ipcmk -M 4KiB", "a segment under a key that nobody has; ipcs -m shows it"],
    ["dsm ipcmk -M 64MiB --key 1238 -p 0600", "under this key, for its owner only"],
    ["dsm ipcmk -M 4KiB --key 0", "IPC_PRIVATE: found by its id only"],
    ["dsm ipcmk -Q --key 0x4d6", "a message queue"],
  ],
  options: {
    shmem: { kind: "size", short: "M", about: "a segment of so many bytes", optional: true },
    queue: { kind: "boolean", short: "Q", about: "a message queue" },
    mode: { kind: "mode", short: "p", about: "permissions", default: 0o644 },
    key: { kind: "key", about: "its key; unless given, one that nobody has", optional: true },
    ...HOST,
  },
  async run(_args, { shmem: size, queue, ...wanted }, shared) {
    if (size === undefined && !queue) throw new UsageError("say what to make: -M SIZE or -Q");
    const rows: Made[] = [];
    const made = (title: string, row: Made & { readonly size?: number }): void => {
      rows.push(row);
      if (!shared.json) print(`${title}: ${row.id}`);
    };
    if (size !== undefined) made("Shared memory id", { ...await makeSegment(size, wanted, shared), size });
    if (queue) made("Message queue id", await makeQueue(wanted, shared));
    if (shared.json) print(JSON.stringify(rows));
    return 0;
  },
});
