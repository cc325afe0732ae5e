/** `dsm logger`: the local logger of one server; started with 1, the global logger too. */
import { SystemError, UsageError } from "../lib/base/errors.ts";
import { formatTime } from "../lib/base/units.ts";
import { exportToFile, textFileName } from "../lib/checkpoint/export.ts";
import { DEFAULT_DIRECTORY, pruneCheckpoints } from "../lib/checkpoint/store.ts";
import type { Checkpoint } from "../lib/checkpoint/store.ts";
import { command } from "../lib/cli/command.ts";
import { readiness, untilStopped } from "../lib/cli/daemon.ts";
import { LISTENER } from "../lib/cli/listener.ts";
import { startLog } from "../lib/cli/logging.ts";
import { GlobalLogger } from "../lib/node/logger/global_logger.ts";
import { LocalLogger, SERVER_WAIT_MS_MAX } from "../lib/node/logger/local_logger.ts";
import { MASTER_SILENT_MS_MAX } from "../lib/node/logger/logger_requests.ts";
import { readCredentials } from "../lib/node/common/credentials.ts";
import { listeningFrom } from "../lib/node/common/listening.ts";

const EXIT_INTERRUPTED = 1;

/** See the head of this file. */
export const logger = command({
  name: "logger",
  about: "take checkpoints of the cluster while everybody goes on",
  details:
    `Every server has a logger beside it, on the next port, attached to the same shared memory; it takes the pictures. The one
started with 1 is the global logger as well: it asks the config server who is there, and has all of them take a picture of
one moment, the first at start and then one every --period. Each becomes a directory of its own under --dir. A checkpoint
that a server or logger stands in the way of fails as a whole, by name, and the next one tries again.`,
  examples: [
    ["dsm logger 1 9735 1238 1234", "beside dsm server 9734 1238 1234; the global logger too"],
    ["dsm logger 0 9737 1239 1235", "beside the second server"],
    ["dsm logger 1 --period 10s --keep 5", "every ten seconds, the newest five are kept"],
    ["dsm checkpoint take", "one more, now"],
  ],
  args: {
    isMaster: { kind: "integer", about: "1: the global logger too; 0: only this server's", min: 0, max: 1 },
    port: { kind: "port", about: "where to listen; the server's port plus 1", default: 9735 },
    shmkey: { kind: "key", about: "key of the server's shared memory; 0: not checked", default: 1238 },
    semkey: { kind: "key", about: "key of the server's semaphores; 0: not checked", default: 1234 },
  },
  options: {
    period: { kind: "time", about: "from one checkpoint's start to the next's", default: 100_000, min: 1 },
    dir: { kind: "string", about: "where checkpoints go", default: DEFAULT_DIRECTORY },
    keep: { kind: "integer", about: "keep the newest N checkpoints only", optional: true, min: 1 },
    text: { kind: "boolean", about: "also write the first ancestor's text file of each, a line per byte" },
    cutDelay: {
      kind: "time",
      about: "delay each server's cut at random, at most that long: shows that no clock matters",
      default: 0,
      max: 1_000,
    },
    host: { kind: "string", about: "the address to listen on; the server is there too", default: "127.0.0.1" },
    ...LISTENER,
  },
  async run({ isMaster, port, shmkey, semkey }, options, shared) {
    const credentials = readCredentials(shared);
    const listening = listeningFrom(options, credentials);
    if (port < 2) throw new UsageError(`PORT must be the server's port plus 1, not ${port}`);
    const log = startLog("logger", shared);
    const stopping = new AbortController();
    // listening for signals comes first: whoever has read the readiness line may stop us at once
    const stopped = untilStopped();
    stopped.then((reason) => stopping.abort(new SystemError("logger", "ECANCELED", `stopping: ${reason}`)));
    const started = LocalLogger.start(
      {
        host: options.host,
        port,
        shmkey,
        semkey,
        waitMsMax: SERVER_WAIT_MS_MAX,
        masterSilentMsMax: MASTER_SILENT_MS_MAX,
        credentials,
        ...listening,
      },
      log,
      stopping.signal,
    );
    await using local = await started.catch((error) => {
      if (stopping.signal.aborted) return undefined;
      throw error;
    });
    if (!local) return EXIT_INTERRUPTED;
    const directory = absolute(options.dir);
    await using master = isMaster === 1
      ? new GlobalLogger(
        {
          config: shared.config,
          here: local.here,
          credentials,
          directory,
          periodMs: options.period,
          cutDelayMsMax: options.cutDelay,
          onPhase: (phase) => log("debug", `checkpoint: ${phase}`),
          onComplete: async (checkpoint) => {
            if (options.text) await writeText(checkpoint, directory, stopping.signal);
            if (options.keep !== undefined) await pruneCheckpoints(directory, options.keep);
          },
        },
        { incarnation: 0, epoch: 0 },
        log,
      )
      : undefined;
    if (master) {
      await master.start();
      local.promote(master);
    }
    readiness("logger", local.endpoint, { master: isMaster, shmkey, semkey, ...(master ? { dir: directory } : {}) });
    if (master) log("info", `a checkpoint every ${formatTime(options.period)} into ${directory}`);
    log("info", `stopping: ${await stopped}`);
    return 0;
  },
});

function absolute(directory: string): string {
  return directory.startsWith("/") ? directory : `${Deno.cwd()}/${directory}`;
}

async function writeText(checkpoint: Checkpoint, directory: string, signal: AbortSignal): Promise<void> {
  const file = `${directory}/${textFileName(checkpoint.manifest.timeMs)}`;
  await exportToFile(checkpoint, "text", file, { signal });
}
