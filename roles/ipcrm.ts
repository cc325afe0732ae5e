/** `dsm ipcrm`: removes segments of a cluster, or of this host, as util-linux's `ipcrm` does; and orphans. */
import { UsageError } from "../lib/base/errors.ts";
import { command } from "../lib/cli/command.ts";
import type { Values } from "../lib/cli/command.ts";
import { print, say } from "../lib/cli/output.ts";
import { HOST, openSegments } from "./ipc/options.ts";
import { orphans } from "./ipc/orphans.ts";
import { removeById, removeByKey } from "./ipc/removal.ts";
import type { Removal } from "./ipc/removal.ts";
import type { Segments } from "./ipc/segments.ts";

const OPTIONS = {
  shmemId: { kind: "integer", short: "m", about: "remove the segment with this id", many: true },
  shmemKey: { kind: "key", short: "M", about: "remove the segment with this key", many: true },
  all: { kind: "boolean", short: "a", about: "remove all segments of the cluster" },
  orphans: { kind: "boolean", about: "what a cluster that crashed has left on this host; -m and -M choose among it" },
  yes: { kind: "boolean", short: "y", about: "with --orphans: remove it" },
  ...HOST,
} as const;

type Options = Values<typeof OPTIONS>;

function requireSense({ shmemId, shmemKey, all, orphans, yes, host }: Options): void {
  const isNamed = shmemId.length + shmemKey.length > 0;
  if (!isNamed && !all && !orphans) throw new UsageError("say what to remove: -m ID, -M KEY, -a or --orphans");
  if (all && host) {
    throw new UsageError("-a --host would take the memory of everybody on this host: name what is to go");
  }
  if (all && orphans) throw new UsageError("--orphans is all orphans: leave out -a");
  if (yes && !orphans) throw new UsageError("--yes is for --orphans; nothing else is asked about");
}

async function remove(segments: Segments, { shmemId, shmemKey, all }: Options): Promise<Removal[]> {
  const ids = all ? (await segments.list()).map(({ id }) => id) : [];
  const removals: Removal[] = [];
  for (const id of [...shmemId, ...ids]) removals.push(await removeById(segments, id));
  for (const key of shmemKey) removals.push(await removeByKey(segments, key));
  return removals;
}

/** See the head of this file. */
export const ipcrm = command({
  name: "ipcrm",
  about: "remove shared memory segments, or what a crashed cluster has left on this host",
  details:
    `A segment that is attached goes with its last attachment. Exit status 1 when one could not be removed; the others
go all the same.

--orphans looks at this host's kernel, whatever clusters there are: at regions of memory servers, known by their
footer, whose server and logger are both dead. A killed server's bytes are still in there, and a server started with
the same keys takes them over; so does one after a stop with --keep. Without --yes they are only shown. One that a
program is attached to is shown and stays.`,
  examples: [
    ["dsm ipcrm -m 5 -m 6", "two by id"],
    ["dsm ipcrm -M 0x4d6", "one by key"],
    ["dsm ipcrm -a", "all of the cluster's"],
    ["dsm ipcrm --orphans", "what dead servers have left here"],
    ["dsm ipcrm --orphans --yes", "remove it"],
  ],
  options: OPTIONS,
  async run(_args, options, shared) {
    requireSense(options);
    if (options.orphans) {
      return orphans({ ids: options.shmemId, keys: options.shmemKey, remove: options.yes, json: shared.json });
    }
    await using segments = await openSegments(options.host, shared);
    const removals = await remove(segments, options);
    for (const { reason } of removals) if (reason !== "") say(`dsm: ${reason}`);
    if (shared.json) print(JSON.stringify(removals));
    return removals.every(({ removed }) => removed) ? 0 : 1;
  },
});
