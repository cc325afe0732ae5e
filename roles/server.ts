/** `dsm server`: a memory server. */
import { UsageError } from "../lib/base/errors.ts";
import { DEFAULT_DIRECTORY } from "../lib/checkpoint/store.ts";
import { command } from "../lib/cli/command.ts";
import { readiness, untilStopped } from "../lib/cli/daemon.ts";
import { LISTENER } from "../lib/cli/listener.ts";
import { startLog } from "../lib/cli/logging.ts";
import { say } from "../lib/cli/output.ts";
import { MemoryServer } from "../lib/node/memory/memory_server.ts";
import { readCredentials } from "../lib/node/common/credentials.ts";
import type { CredentialFiles } from "../lib/node/common/credentials.ts";
import { listeningFrom } from "../lib/node/common/listening.ts";
import type { LogSink } from "../lib/node/common/log_sink.ts";
import { stateDirectory } from "../lib/node/common/state_directory.ts";
import { IN_MEMORY } from "../lib/node/common/state_file.ts";
import type { SimpleCalls, SimpleHome } from "../lib/node/memory/simple_calls.ts";
import { ClusterSource } from "../lib/node/simple/cluster_source.ts";
import { SimpleHost } from "../lib/node/simple/simple_host.ts";
import { StandaloneSource } from "../lib/node/simple/standalone_source.ts";
import { STALL_MS_MAX } from "../lib/net/transport.ts";

const EXIT_LOST = 1;
const PORT = 9734;
/** Where the second ancestor listened. */
const STANDALONE_PORT = 8080;

/** See the head of this file. */
export const server = command({
  name: "server",
  about: "offer this host's memory: the home of one region",
  details:
    `The region lies in System V shared memory (SHMKEY) guarded by a semaphore set (SEMKEY). A server that is killed loses
nothing: the next one started with the same keys takes the bytes over. Stopped in order (Ctrl-C, SIGTERM, or a line on
standard input) it removes both, unless --keep. --restore is for memory that is made anew: bytes that a dead server left
are never overwritten.

With --standalone it is a shared memory server by itself, for clients of the simple dialect (docs/PROTOCOL.md): it keeps a
table of segments of its own in --state, by default server-PORT.sqlite in $XDG_STATE_HOME/dsm or ~/.local/state/dsm, and
joins no cluster; on port 0 and without --state the table ends with the process. Without it the simple dialect is served
once a config server has taken this server over.`,
  examples: [
    ["dsm server", "port 9734, keys 1238 and 1234, 64 MiB"],
    ["dsm server 9734 1238 1234", "the same, as the first ancestor wrote it"],
    [
      "dsm server 9734 1238 1234 --size 10 --block-size 2 --fill -",
      "the ancestor's own region: 10 bytes in blocks of 2",
    ],
    ["dsm server 9734 1238 1234 --restore latest", "begin with its image in the newest of ./checkpoints"],
    ["dsm server 0 0 0 --size 1GiB", "a port of the kernel's choice, private keys"],
    ["dsm server --standalone", "a shared memory server by itself on port 8080, as distributed_shm_server was"],
  ],
  args: {
    port: {
      kind: "port",
      about: `where to listen; 0: the kernel chooses [default: ${PORT}, with --standalone ${STANDALONE_PORT}]`,
      optional: true,
    },
    shmkey: { kind: "key", about: "key of the shared memory; 0: private", default: 1238 },
    semkey: { kind: "key", about: "key of the semaphore set; 0: private", default: 1234 },
  },
  options: {
    size: { kind: "size", about: "bytes of the region, a multiple of the block size", default: 64 * 1024 * 1024 },
    blockSize: { kind: "size", about: "bytes that are locked together", default: 4096 },
    fill: { kind: "string", about: "what fresh bytes are: one character, or a number from 0 to 255", default: "0" },
    mode: { kind: "mode", about: "permissions of memory and semaphores", default: 0o600 },
    standalone: { kind: "boolean", about: "have a table of segments of its own, and join no cluster" },
    state: { kind: "string", about: "the file for that table [default: see above]", optional: true },
    host: { kind: "string", about: "the address to listen on", default: "127.0.0.1" },
    ...LISTENER,
    transport: {
      kind: "string",
      about: "how connections are served",
      choices: ["auto", "epoll", "deno"],
      default: "auto",
    },
    hold: { kind: "time", about: "how long each operation keeps its blocks, for a lecture hall", default: 0 },
    stall: {
      kind: "time",
      about: "close a client that does not take its replies for that long",
      default: STALL_MS_MAX,
    },
    restore: { kind: "string", about: "begin with this checkpoint's image: a name, or latest", optional: true },
    dir: { kind: "string", about: "where the checkpoints are", default: DEFAULT_DIRECTORY },
    image: {
      kind: "integer",
      about: "which of its images; unless given, the one of this server's address",
      optional: true,
      min: 0,
    },
    keep: { kind: "boolean", about: "leave memory and semaphores when stopped, for the next server" },
  },
  async run({ port: portGiven, shmkey, semkey }, options, shared) {
    const credentials = readCredentials(shared);
    const listening = listeningFrom(options, credentials);
    if (options.state !== undefined && !options.standalone) {
      throw new UsageError(
        "--state is for the table of a --standalone server; a cluster's is kept by its config server",
      );
    }
    const port = portGiven ?? (options.standalone ? STANDALONE_PORT : PORT);
    const log = startLog("server", shared);
    const lost = new AbortController();
    // listening for signals comes first: whoever has read the readiness line may stop us at once
    const stopped = untilStopped({ signal: lost.signal });
    const memory = await MemoryServer.start({
      port,
      shmkey,
      semkey,
      host: options.host,
      ...listening,
      size: options.size,
      blockSize: options.blockSize,
      fill: parseFill(options.fill),
      mode: options.mode,
      transport: options.transport,
      holdMs: options.hold,
      stallMsMax: options.stall,
      simple: (home) => simpleCalls(home, port, options, shared, log),
      ...(options.restore === undefined
        ? {}
        : { restore: { directory: options.dir, name: options.restore, index: options.image } }),
    }, log);
    readiness("server", { host: memory.host, port: memory.port }, {
      shmkey,
      semkey,
      size: options.size,
      block: options.blockSize,
      start: memory.start,
      transport: memory.transport,
      ...options.standalone && { standalone: 1 },
    });
    memory.lost.then((reason) => lost.abort(reason));
    const reason = await stopped;
    if (lost.signal.aborted) {
      const bytes = await memory.abandon()
        ? "its bytes are still there for the next server on its keys"
        : "its bytes are gone";
      say(`dsm: server ${memory.host}:${memory.port} stopped serving: ${reason}; ${bytes}: start it again`);
      return EXIT_LOST;
    }
    log("info", `stopping: ${reason}`);
    if (!await memory.stop(options.keep)) {
      log("warn", "somebody kept a block longer than 5 s; its memory was removed all the same");
    }
    return 0;
  },
});

/** Who carries out what clients of the simple dialect ask. @param port as asked for: one of the kernel's choice has no file. */
function simpleCalls(
  home: SimpleHome,
  port: number,
  options: { readonly standalone: boolean; readonly state: string | undefined; readonly hold: number },
  credentials: CredentialFiles,
  log: LogSink,
): SimpleCalls {
  if (!options.standalone) return new SimpleHost(new ClusterSource(home, credentials, log), log);
  const file = port === 0 ? IN_MEMORY : `${stateDirectory()}/server-${port}.sqlite`;
  return new SimpleHost(new StandaloneSource(home, { state: options.state ?? file, holdMs: options.hold }, log), log);
}

/** One character stands for its code, a number from 0 to 255 for itself; `0` to `9` are numbers. */
function parseFill(text: string): number {
  if (/^\d+$/.test(text) && Number(text) <= 255) return Number(text);
  if (text.length === 1 && text.charCodeAt(0) <= 255) return text.charCodeAt(0);
  throw new UsageError(`--fill is one character or a number from 0 to 255, not ${text}`);
}
