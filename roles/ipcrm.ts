/** `dsm ipcrm`: removes segments and queues of a cluster, or of this host, as util-linux's `ipcrm` does; and orphans. */
import { UsageError } from "../lib/base/errors.ts";
import { command } from "../lib/cli/command.ts";
import type { Values } from "../lib/cli/command.ts";
import { print, say } from "../lib/cli/output.ts";
import type { Shared } from "../lib/cli/shared.ts";
import { IPC_RMID } from "../lib/ipc/common/flags.ts";
import { openQueues } from "./ipc/open_queues.ts";
import { HOST, openSegments } from "./ipc/options.ts";
import { orphans } from "./ipc/orphans.ts";
import { removeById, removeByKey } from "./ipc/removal.ts";
import type { Removable, Removal } from "./ipc/removal.ts";

const OPTIONS = {
  shmemId: { kind: "integer", short: "m", about: "remove the segment with this id", many: true },
  shmemKey: { kind: "key", short: "M", about: "remove the segment with this key", many: true },
  queueId: { kind: "integer", short: "q", about: "remove the message queue with this id", many: true },
  queueKey: { kind: "key", short: "Q", about: "remove the message queue with this key", many: true },
  allQueues: { kind: "boolean", about: "remove all message queues of the registry" },
  all: { kind: "boolean", short: "a", about: "remove all segments of the cluster" },
  orphans: { kind: "boolean", about: "what a cluster that crashed has left on this host; -m and -M choose among it" },
  yes: { kind: "boolean", short: "y", about: "with --orphans: remove it" },
  ...HOST,
} as const;

type Options = Values<typeof OPTIONS>;

function requireSense(options: Options): void {
  const { all, orphans, yes, host, allQueues } = options;
  if (!namesSegments(options) && !namesQueues(options) && !orphans) {
    throw new UsageError("say what to remove: -m ID, -M KEY, -q ID, -Q KEY, -a, --all-queues or --orphans");
  }
  if (all && host) {
    throw new UsageError("-a --host would take the memory of everybody on this host: name what is to go");
  }
  if (allQueues && host) {
    throw new UsageError("--all-queues --host would take the queues of everybody on this host: name what is to go");
  }
  if (namesQueues(options) && orphans) throw new UsageError("--orphans is about memory: leave out the queues");
  if (all && orphans) throw new UsageError("--orphans is all orphans: leave out -a");
  if (yes && !orphans) throw new UsageError("--yes is for --orphans; nothing else is asked about");
}

function namesSegments({ shmemId, shmemKey, all }: Options): boolean {
  return all || shmemId.length + shmemKey.length > 0;
}

function namesQueues({ queueId, queueKey, allQueues }: Options): boolean {
  return allQueues || queueId.length + queueKey.length > 0;
}

async function removeSegments({ host, all, shmemId, shmemKey }: Options, shared: Shared): Promise<Removal[]> {
  await using segments = await openSegments(host, shared);
  const ids = all ? (await segments.list()).map(({ id }) => id) : [];
  return await removeEach(segments, [...shmemId, ...ids], shmemKey);
}

async function removeQueues({ host, allQueues, queueId, queueKey }: Options, shared: Shared): Promise<Removal[]> {
  await using open = openQueues(host, shared);
  const { queues } = open;
  const ids = allQueues ? (await queues.list()).map(({ id }) => id) : [];
  const removable: Removable = {
    find: (key) => queues.calls.msgget(key, 0),
    remove: async (id) => void await queues.calls.msgctl(id, IPC_RMID),
  };
  return await removeEach(removable, [...queueId, ...ids], queueKey);
}

async function removeEach(
  objects: Removable,
  ids: readonly number[],
  keys: readonly number[],
): Promise<Removal[]> {
  const removals: Removal[] = [];
  for (const id of ids) removals.push(await removeById(objects, id));
  for (const key of keys) removals.push(await removeByKey(objects, key));
  return removals;
}

/** See the head of this file. */
export const ipcrm = command({
  name: "ipcrm",
  about: "remove shared memory segments and message queues, or what a crashed cluster has left on this host",
  details:
    `A segment that is attached goes with its last attachment, a queue at once with its messages. Exit status 1 when one could not be removed; the others
go all the same.

--orphans looks at this host's kernel, whatever clusters there are: at regions of memory servers, known by their
footer, whose server and logger are both dead. A killed server's bytes are still in there, and a server started with
the same keys takes them over; so does one after a stop with --keep. Without --yes they are only shown. One that a
program is attached to is shown and stays.`,
  examples: [
    ["dsm ipcrm -m 5 -m 6", "two by id"],
    ["dsm ipcrm -M 0x4d6", "one by key"],
    ["dsm ipcrm -Q 0x4d6", "a message queue by key"],
    ["dsm ipcrm -a", "all segments of the cluster"],
    ["dsm ipcrm --orphans", "what dead servers have left here"],
    ["dsm ipcrm --orphans --yes", "remove it"],
  ],
  options: OPTIONS,
  async run(_args, options, shared) {
    requireSense(options);
    if (options.orphans) {
      return orphans({ ids: options.shmemId, keys: options.shmemKey, remove: options.yes, json: shared.json });
    }
    const removals = [
      ...namesSegments(options) ? await removeSegments(options, shared) : [],
      ...namesQueues(options) ? await removeQueues(options, shared) : [],
    ];
    for (const { reason } of removals) if (reason !== "") say(`dsm: ${reason}`);
    if (shared.json) print(JSON.stringify(removals));
    return removals.every(({ removed }) => removed) ? 0 : 1;
  },
});
