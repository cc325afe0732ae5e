/**
 * A whole cluster on this host: a config server, its memory servers and their loggers, and a registry as processes, started
 * together and stopped together.
 *
 * The servers come first, so that the others find them; where nobody has chosen ports the list is written once they are
 * known. Whatever fails on the way, what was started is stopped, and the regions of servers that died are removed: nothing
 * is left but checkpoints.
 */
import { ConfigError, SystemError } from "../base/errors.ts";
import { formatEndpoint, parseEndpoint } from "../base/units.ts";
import { removeAbandoned } from "../memory/abandoned.ts";
import { Child, describeEnd } from "./child.ts";
import type { ReadyLine } from "./child.ts";
import { freePortPair, isPairFree } from "./free_ports.ts";

/** A server to be started. */
export interface ServerPlan {
  /** Where it listens. */
  readonly host: string;
  /** Its port; 0: any that is free, with the next one for its logger. */
  readonly port: number;
  /** Key of its shared memory. */
  readonly shmkey: number;
  /** Key of its semaphores. */
  readonly semkey: number;
  /** Further options of `dsm server`. */
  readonly options: readonly string[];
}

/** A cluster to be started. */
export interface ClusterPlan {
  /** How another dsm is started. */
  readonly self: { readonly command: string; readonly args: readonly string[] };
  /** The config file that names the servers; undefined: one is made. */
  readonly file: string | undefined;
  /** Where the config server listens. */
  readonly config: { readonly host: string; readonly port: number };
  /** Where the registry listens; undefined: there is none. */
  readonly registry:
    | { readonly host: string; readonly port: number; readonly options: readonly string[] }
    | undefined;
  /** The servers, in the order of the space. */
  readonly servers: readonly ServerPlan[];
  /** Called with the config server's `host:port` once the servers serve, before there is a logger. */
  readonly onServing: (config: string) => Promise<void>;
  /** Options of the global logger, which is the first server's; undefined: no loggers. */
  readonly masterOptions: readonly string[] | undefined;
  /** Options for every role. */
  readonly options: readonly string[];
  /** Called for every line a role says. */
  readonly onLine: (name: string, line: string) => void;
  /** Called when a role ends by itself. */
  readonly onDeath: (name: string, how: string, restart: string) => void;
}

/** How often another pair of ports is chosen when the one chosen turns out to be taken. */
const PORT_TRIES_MAX = 5;

/** A cluster that runs. */
export class LocalCluster implements AsyncDisposable {
  /** `host:port` of the config server. */
  config = "";
  /** The same of the registry; "" where there is none. */
  registry = "";
  /** All roles, in the order of their start. */
  readonly children: Child[] = [];
  readonly #loggers: Child[] = [];
  readonly #plan: ClusterPlan;
  /** Where it has files of its own; "" when it has none. */
  directory = "";
  #isStopping = false;

  private constructor(plan: ClusterPlan) {
    this.#plan = plan;
  }

  /** Starts everything and waits until it is ready. @throws what the first role that fails says; nothing is left then. */
  static async start(plan: ClusterPlan, signal?: AbortSignal): Promise<LocalCluster> {
    const cluster = new LocalCluster(plan);
    const abort = (): void => void cluster.stop();
    signal?.addEventListener("abort", abort);
    try {
      const servers = await Promise.all(plan.servers.map((server) => cluster.#startServer(server)));
      signal?.throwIfAborted();
      cluster.directory = await Deno.makeTempDir({ prefix: "dsm-up-" });
      await cluster.#startConfig(plan.file ?? await writeConfig(cluster.directory, servers));
      await cluster.#startRegistry();
      signal?.throwIfAborted();
      await plan.onServing(cluster.config);
      signal?.throwIfAborted();
      await cluster.#startLoggers(servers);
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  async #startServer(server: ServerPlan): Promise<ReadyLine> {
    if (server.port !== 0) return await this.#startServerOn(server, server.port);
    for (let tries = 1;; tries++) {
      const port = freePortPair(server.host);
      try {
        return await this.#startServerOn(server, port);
      } catch (error) {
        // somebody was quicker: another pair will do
        if (tries === PORT_TRIES_MAX || isPairFree(server.host, port)) throw error;
      }
    }
  }

  async #startServerOn({ host, shmkey, semkey, options }: ServerPlan, port: number): Promise<ReadyLine> {
    const args = ["server", `${port}`, `${shmkey}`, `${semkey}`, "--host", host, ...options];
    const child = this.#start(`server:${port}`, args);
    const ready = await child.ready;
    this.#watch(child, args);
    return ready;
  }

  /** Its table of segments goes with the cluster, as their bytes do. */
  async #startConfig(file: string): Promise<void> {
    const { host, port } = this.#plan.config;
    const state = ["--state", `${this.directory}/config.sqlite`];
    const child = this.#start(`config:${port}`, ["config", file, "--host", host, "--port", `${port}`, ...state]);
    this.config = (await child.ready).endpoint;
    this.#watch(child, ["config", file, "--port", `${parseEndpoint(this.config).port}`, ...state]);
  }

  /** Its names and queues go with the cluster too. */
  async #startRegistry(): Promise<void> {
    const { registry } = this.#plan;
    if (!registry) return;
    const { host, port, options } = registry;
    const rest = ["--host", host, "--state", `${this.directory}/registry.sqlite`, ...options];
    const child = this.#start(`registry:${port}`, ["registry", `${port}`, ...rest]);
    this.registry = (await child.ready).endpoint;
    this.#watch(child, ["registry", `${parseEndpoint(this.registry).port}`, ...rest]);
  }

  /** All at once: the global logger waits for the others a while. */
  async #startLoggers(servers: readonly ReadyLine[]): Promise<void> {
    const { masterOptions, servers: plans } = this.#plan;
    if (!masterOptions) return;
    await Promise.all(servers.map(async ({ endpoint }, i) => {
      const { shmkey, semkey, host } = plans[i] as ServerPlan;
      const port = parseEndpoint(endpoint).port + 1;
      const isMaster = i === 0;
      const args = ["logger", isMaster ? "1" : "0", `${port}`, `${shmkey}`, `${semkey}`, "--host", host];
      if (isMaster) args.push("--config", this.config, ...masterOptions);
      const child = this.#start(`logger:${port}`, args);
      this.#loggers.push(child);
      await child.ready;
      this.#watch(child, args);
    }));
  }

  #start(name: string, args: readonly string[]): Child {
    const { self, options, onLine } = this.#plan;
    const child = new Child({
      name,
      ...self,
      args: [...self.args, ...args, ...options],
      onLine: (line) => onLine(name, line),
    });
    this.children.push(child);
    return child;
  }

  async #watch(child: Child, restart: readonly string[]): Promise<void> {
    const status = await child.ended;
    if (!child.isStopping && !this.#isStopping) {
      this.#plan.onDeath(child.name, describeEnd(status), `dsm ${restart.join(" ")}`);
    }
  }

  /** Stops every role in order, loggers first, and removes what a role that died left behind. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#loggers.map((child) => child.stop()));
    await Promise.all([...this.children].reverse().map((child) => child.stop()));
    for (const { shmkey } of this.#plan.servers) removeAbandoned(shmkey);
    const { directory } = this;
    this.directory = "";
    if (directory !== "") await Deno.remove(directory, { recursive: true });
  }

  /** The same as {@linkcode LocalCluster.stop}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

async function writeConfig(directory: string, servers: readonly ReadyLine[]): Promise<string> {
  const file = `${directory}/config.txt`;
  const lines = servers.map((server) => formatEndpoint(parseEndpoint(server.endpoint)));
  await Deno.writeTextFile(file, `${servers.length}\n${lines.join("\n")}\n`);
  return file;
}

/** Which of a config file's servers are on this host: those whose address is one of its own. */
export function isOwnAddress(host: string): boolean {
  if (host === "localhost") return true;
  const own = Deno.networkInterfaces().map((each) => each.address);
  return host.startsWith("127.") || host === "::1" || own.includes(host) || host === Deno.hostname();
}

/** @throws ConfigError when none of a file's servers is on this host. */
export function requireOwn<T>(servers: readonly T[], file: string): void {
  if (servers.length > 0) return;
  throw new ConfigError(
    file,
    0,
    "none of its servers is on this host; start them there: dsm server PORT SHMKEY SEMKEY",
  );
}

/** @throws SystemError when keys of two servers are the same. */
export function requireOwnKeys(servers: readonly ServerPlan[]): void {
  const keys = servers.map((server) => server.shmkey);
  const twice = keys.find((key, i) => key !== 0 && keys.indexOf(key) !== i);
  if (twice !== undefined) {
    throw new SystemError(
      "shmget",
      "EEXIST",
      `two servers would have shared memory key ${twice}; give each its own shm=`,
    );
  }
}
