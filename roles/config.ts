/** `dsm config`: the config server. */
import { DEFAULT_DIRECTORY } from "../lib/checkpoint/store.ts";
import { command } from "../lib/cli/command.ts";
import { readiness, untilStopped } from "../lib/cli/daemon.ts";
import { LISTENER } from "../lib/cli/listener.ts";
import { startLog } from "../lib/cli/logging.ts";
import { DEFAULT_LIMITS } from "../lib/ipc/segments/limits.ts";
import type { Limits } from "../lib/ipc/segments/limits.ts";
import { INDEX_COUNT } from "../lib/ipc/common/object_ids.ts";
import { ConfigServer } from "../lib/node/config/config_server.ts";
import { readCredentials } from "../lib/node/common/credentials.ts";
import { listeningFrom } from "../lib/node/common/listening.ts";

/** See the head of this file. */
export const config = command({
  name: "config",
  about: "tell everybody which servers make the space",
  details:
    `The first line of FILE is the number of servers, then one host:port a line; # begins a comment. The file is read again
on SIGHUP: servers may be appended, which grows the space; what would move bytes is refused.

It keeps the table of segments in --state, by default config-PORT.sqlite in $XDG_STATE_HOME/dsm or ~/.local/state/dsm; with
--port 0 and without --state the table ends with the process. Segments on memory that is gone are dropped, by name in the
log. With --restore it begins with the table of a checkpoint, if it has none of its own yet: for servers that begin with that
checkpoint's images. It tells the memory servers whose segments are whose, and they refuse raw reads and writes without
rights; so it has to run as root or as their user, or to share their secret.`,
  examples: [
    ["dsm config", "the servers of ./config.txt, on port 9740"],
    ["dsm config cluster.txt --port 0", "another file, a port of the kernel's choice"],
    ["dsm config --raw 1MiB --shmmni 100", "no segment in the first MiB, and at most a hundred"],
    ["dsm config --restore latest", "begin with the segments of the newest of ./checkpoints"],
    ["kill -HUP PID", "read the file again, after a server was appended"],
  ],
  args: { file: { kind: "string", about: "the servers, in the order of the space", default: "config.txt" } },
  options: {
    port: { kind: "port", about: "where to listen; 0: the kernel chooses", default: 9740 },
    host: { kind: "string", about: "the address to listen on", default: "127.0.0.1" },
    state: { kind: "string", about: "the file for the table of segments [default: see above]", optional: true },
    restore: { kind: "string", about: "begin with this checkpoint's segments: a name, or latest", optional: true },
    dir: { kind: "string", about: "where the checkpoints are", default: DEFAULT_DIRECTORY },
    raw: { kind: "size", about: "bytes at the front of the space where no segment is put", default: 0 },
    shmmax: { kind: "size", about: "bytes of the largest segment [default: no limit]", optional: true },
    shmmni: {
      kind: "integer",
      about: "how many segments there may be",
      default: DEFAULT_LIMITS.shmmni,
      min: 0,
      max: INDEX_COUNT,
    },
    shmall: { kind: "integer", about: "pages of all segments together [default: no limit]", optional: true, min: 0 },
    ...LISTENER,
  },
  async run({ file }, options, shared) {
    const credentials = readCredentials(shared);
    const listening = listeningFrom(options, credentials);
    const log = startLog("config", shared);
    // listening for signals comes first: whoever has read the readiness line may stop us at once
    const stopped = untilStopped();
    const { host, port, state, raw, dir } = options;
    const restore = options.restore === undefined ? undefined : { directory: dir, name: options.restore };
    const limits = limitsFrom(options);
    const request = { file, host, port, state, restore, lowWaterMark: raw, limits, credentials, ...listening };
    const server = await ConfigServer.start(request, log);
    const reload = (): void => void server.reload();
    Deno.addSignalListener("SIGHUP", reload);
    readiness("config", { host: server.host, port: server.port }, { file, servers: server.space.places.length });
    log("info", `stopping: ${await stopped}`);
    Deno.removeSignalListener("SIGHUP", reload);
    await server.stop();
    return 0;
  },
});

function limitsFrom(
  { shmmax, shmmni, shmall }: { shmmax: number | undefined; shmmni: number; shmall: number | undefined },
): Partial<Limits> {
  return {
    shmmni,
    ...(shmmax === undefined ? {} : { shmmax: BigInt(shmmax) }),
    ...(shmall === undefined ? {} : { shmall: BigInt(shmall) }),
  };
}
