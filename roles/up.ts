/** `dsm up`: a whole cluster on this host. */
import { UsageError } from "../lib/base/errors.ts";
import { formatEndpoint, formatTime, parseEndpoint } from "../lib/base/units.ts";
import { DEFAULT_DIRECTORY } from "../lib/checkpoint/store.ts";
import { command } from "../lib/cli/command.ts";
import { readiness, untilStopped } from "../lib/cli/daemon.ts";
import { selfCommand } from "../lib/cli/executable.ts";
import { LISTENER, listenerArgs } from "../lib/cli/listener.ts";
import { say } from "../lib/cli/output.ts";
import { styleFor } from "../lib/cli/style.ts";
import { recordOf, removeRecord, writeRecord } from "../lib/launch/cluster_record.ts";
import { LocalCluster } from "../lib/launch/local_cluster.ts";
import type { ClusterPlan } from "../lib/launch/local_cluster.ts";
import { readCredentials } from "../lib/node/common/credentials.ts";
import { listeningFrom } from "../lib/node/common/listening.ts";
import { detach } from "./cluster/detach.ts";
import { planFromFile, planLocal } from "./cluster/plan.ts";
import { prepareRestore } from "./cluster/prepare_restore.ts";

const EXIT_INTERRUPTED = 1;
/** Where config server and registry listen. */
const HOST = "127.0.0.1";
const REGISTRY_PORT_DISTANCE = 10;

function tagger(): (name: string, line: string) => void {
  const style = styleFor(Deno.stderr);
  const looks = [style.cyan, style.green, style.yellow, style.magenta, style.blue];
  const names: string[] = [];
  return (name, line) => {
    if (!names.includes(name)) names.push(name);
    const look = looks[names.indexOf(name) % looks.length] as (text: string) => string;
    say(`${look(`[${name}]`)} ${line}`);
  };
}

/** See the head of this file. */
export const up = command({
  name: "up",
  about: "start a whole cluster on this host; Ctrl-C stops it and leaves nothing but checkpoints",
  details:
    `Without --local it starts the servers of FILE (config.txt) that are on this host, the config server, a registry, and a
logger for each server, on the port after the server's. The first logger takes a checkpoint of all at start and every --period, into --dir.
A role that dies is told of, with the command that starts it again; of a server the bytes are still there.`,
  examples: [
    ["dsm up", "the servers of ./config.txt, config server on 9740, registry on 9750"],
    ["dsm up --local 3", "three servers on ports 9800, 9802, 9804"],
    ["dsm up --local 3 --period 10s --keep 5", "a checkpoint every ten seconds, the newest five are kept"],
    ["dsm up --local 2 --restore latest", "begin with the newest checkpoint, of however many servers it was"],
    ["dsm up --local 3 -d; dsm down", "in the background, and its end"],
  ],
  args: {
    file: { kind: "string", about: "the servers, in the order of the space [default: config.txt]", optional: true },
  },
  options: {
    local: {
      kind: "integer",
      about: "this many servers on this host instead of a file",
      optional: true,
      min: 1,
      max: 64,
    },
    detach: { kind: "boolean", short: "d", about: "go on in the background once everything is ready" },
    port: { kind: "port", about: "the config server's port; 0: the kernel chooses", default: 9740 },
    basePort: { kind: "port", about: "the first server's port with --local; 0: any that are free", default: 9800 },
    size: { kind: "size", about: "bytes of each region, unless the file says", default: 64 * 1024 * 1024 },
    blockSize: { kind: "size", about: "bytes that are locked together, unless the file says", default: 4096 },
    fill: { kind: "string", about: "what fresh bytes are", default: "0" },
    transport: {
      kind: "string",
      about: "how connections are served",
      choices: ["auto", "epoll", "deno"],
      default: "auto",
    },
    registryPort: {
      kind: "port",
      about: "the registry's port; 0: the kernel chooses [default: ten after the config server's, 0 with its 0]",
      optional: true,
    },
    serveRegistry: { kind: "boolean", about: "start a registry of names and message queues", default: true },
    logger: { kind: "boolean", about: "a logger for each server; without them no checkpoint is taken", default: true },
    period: { kind: "time", about: "from one checkpoint's start to the next's", default: 100_000, min: 1 },
    restore: { kind: "string", about: "begin with this checkpoint: a name, or latest", optional: true },
    dir: { kind: "string", about: "where checkpoints are", default: DEFAULT_DIRECTORY },
    keep: { kind: "integer", about: "keep the newest N checkpoints only", optional: true, min: 1 },
    ...LISTENER,
  },
  async run({ file }, options, shared) {
    if (options.local !== undefined && file !== undefined) {
      throw new UsageError(`either a file (${file}) or --local, not both`);
    }
    if (options.detach) return await detach(options.port);
    const plan = options.local === undefined
      ? await planFromFile(file ?? "config.txt", options)
      : planLocal(options.local, options);
    const credentials = readCredentials(shared);
    for (const { host } of plan.servers) listeningFrom({ ...options, host }, credentials);
    const { port, restore, dir, transport } = options;
    const { secret, tlsCa } = shared;
    const planned = {
      ...plan,
      registry: options.serveRegistry
        ? { host: HOST, port: registryPort(options), options: ["--transport", transport] }
        : undefined,
      masterOptions: options.logger ? masterOptions(options) : undefined,
    };
    return await serve(planned, {
      port,
      options: [
        ...["--log-level", shared.logLevel, "--log-format", shared.logFormat],
        ...listenerArgs(options),
        ...secret === undefined ? [] : ["--secret", secret],
        ...tlsCa === undefined ? [] : ["--tls-ca", tlsCa],
      ],
      onServing: restore === undefined
        ? async () => {}
        : await prepareRestore(dir, restore, plan.servers, { secret, tlsCa }),
    });
  },
});

/** As 9750 is to 9740. */
function registryPort({ registryPort, port }: { registryPort: number | undefined; port: number }): number {
  return registryPort ?? (port === 0 ? 0 : port + REGISTRY_PORT_DISTANCE);
}

function masterOptions({ period, dir, keep }: { period: number; dir: string; keep: number | undefined }): string[] {
  return ["--period", formatTime(period), "--dir", dir, ...(keep === undefined ? [] : ["--keep", `${keep}`])];
}

async function serve(
  plan: Pick<ClusterPlan, "file" | "servers" | "registry" | "masterOptions">,
  { port, options, onServing }: Pick<ClusterPlan, "options" | "onServing"> & { readonly port: number },
): Promise<number> {
  const onLine = tagger();
  const interrupted = new AbortController();
  const stopped = untilStopped();
  stopped.then((reason) => interrupted.abort(reason));
  let cluster: LocalCluster;
  try {
    cluster = await LocalCluster.start({
      self: selfCommand(),
      ...plan,
      config: { host: HOST, port },
      options,
      onServing,
      onLine,
      onDeath: (name, how, restart) => onLine(name, `ended: ${how}; start it again: ${restart}`),
    }, interrupted.signal);
  } catch (error) {
    if (interrupted.signal.aborted) return EXIT_INTERRUPTED;
    throw error;
  }
  await using running = cluster;
  const config = parseEndpoint(running.config);
  await writeRecord(config.port, {
    config: formatEndpoint(config),
    up: recordOf("up", Deno.pid),
    children: running.children.map((child) => recordOf(child.name, child.pid)),
    shmkeys: plan.servers.map((server) => server.shmkey),
    directory: running.directory,
  });
  try {
    readiness("up", config, {
      servers: plan.servers.length,
      ...running.registry === "" ? {} : { registry: running.registry },
    });
    say(`stopping: ${await stopped}`);
  } finally {
    await removeRecord(config.port);
  }
  return 0;
}
