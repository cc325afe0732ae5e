/** `dsm checkpoint restore`: make a running cluster's space what a checkpoint has. */
import { approximateSize, formatEndpoint, formatSize } from "../../lib/base/units.ts";
import { soundCheckpoint } from "../../lib/checkpoint/choose.ts";
import { verify } from "../../lib/checkpoint/verify.ts";
import type { Checkpoint } from "../../lib/checkpoint/store.ts";
import { command } from "../../lib/cli/command.ts";
import { print, say } from "../../lib/cli/output.ts";
import { connect } from "../../lib/node/cluster/cluster.ts";
import { restore as restoreInto } from "../../lib/node/logger/restore.ts";
import { readCredentials } from "../../lib/node/common/credentials.ts";
import { suspendCheckpoints } from "../../lib/node/logger/suspend_checkpoints.ts";
import { isConfirmed, requireSomebody } from "./confirm.ts";
import { Bar, DIRECTORY, NAME } from "./options.ts";
import { segmentCountText } from "./segments.ts";

const CONNECT_MS_MAX = 1_500;

async function findSound(directory: string, name: string, mayFallBack: boolean): Promise<Checkpoint> {
  return await soundCheckpoint(directory, name, {
    mayFallBack,
    onRefused: (reason) => say(`${reason}; trying the one before`),
    verify: async (path) => {
      using bar = new Bar(`verify ${path}`);
      return await verify(path, bar);
    },
  });
}

/** See the head of this file. */
export const restore = command({
  name: "restore",
  about: "make the space and the segments of a running cluster what a checkpoint has",
  details:
    `Every byte of the checkpoint is looked at first, and a damaged one is refused. All servers must answer; there may be
more or fewer of them than there were, or larger ones, as long as the last byte that is not zero fits. What the checkpoint
does not have becomes zero. Stop the programs that write before: what they write meanwhile is overwritten, or stays. The
global logger takes no checkpoint meanwhile.

At last the table of segments becomes the checkpoint's, whole or not at all: ids, keys and owners as they were, those made
since are gone. Calls on segments wait meanwhile. What is attached is attached no more: attach it again. Segments that were
marked for removal do not come back. For root and the user of the config server, on its host, and for who has the secret.`,
  examples: [
    ["dsm checkpoint restore latest", "the newest one; asks before it overwrites"],
    ["dsm checkpoint restore latest --previous --yes", "the newest sound one, without asking"],
  ],
  args: { name: NAME },
  options: {
    ...DIRECTORY,
    previous: { kind: "boolean", about: "when it is damaged, take the newest sound one before it" },
    yes: { kind: "boolean", short: "y", about: "do not ask" },
  },
  async run({ name }, options, shared) {
    const config = formatEndpoint(shared.config);
    if (!options.yes) requireSomebody(`this overwrites the whole space of ${config} and its segments`);
    const checkpoint = await findSound(options.dir, name, options.previous);
    const time = new Date(checkpoint.manifest.timeMs).toISOString();
    const { secret, tlsCa } = shared;
    await using cluster = await connect({ config, secret, tlsCa, connectTimeoutMs: CONNECT_MS_MAX });
    const space = `all ${formatSize(cluster.size)} on the ${cluster.places.length} servers of ${config}`;
    if (!options.yes && !isConfirmed(`overwrite ${space} with the checkpoint ${checkpoint.name}, taken ${time}?`)) {
      say("nothing was changed");
      return 1;
    }
    const credentials = readCredentials(shared);
    await using _suspended = await suspendCheckpoints(shared.config, credentials);
    using bar = new Bar(`restore ${checkpoint.name}`);
    const restored = await restoreInto(cluster, shared.config, credentials, checkpoint, bar);
    bar[Symbol.dispose]();
    const { spaceSize, usedSize, segmentCount } = restored;
    const used = `${approximateSize(usedSize)} in use of ${formatSize(spaceSize)}${segmentCountText(segmentCount)}`;
    say(`restored ${checkpoint.path}, taken ${time}: ${used}`);
    if (shared.json) {
      print(JSON.stringify([{ name: checkpoint.name, epoch: checkpoint.manifest.epoch, time, ...restored }]));
    }
    return 0;
  },
});
