/**
 * A whole cluster on this host: a config server and its memory servers as processes, started together and stopped
 * together.
 *
 * The servers come first, so that the config server finds them; with ports of the kernel's choice the list is written
 * once they are known. Whatever fails on the way, what was started is stopped, and the regions of servers that died are
 * removed: nothing is left.
 */
import { ConfigError, SystemError } from "../base/errors.ts";
import { formatEndpoint, parseEndpoint } from "../base/units.ts";
import { removeAbandoned } from "../memory/open.ts";
import { Child, describeEnd } from "./child.ts";
import type { ReadyLine } from "./child.ts";

/** A server to be started. */
export interface ServerPlan {
  /** Where it listens. */
  readonly host: string;
  /** Its port; 0 lets the kernel choose. */
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
  /** The servers, in the order of the space. */
  readonly servers: readonly ServerPlan[];
  /** Options for every role. */
  readonly options: readonly string[];
  /** Called for every line a role says. */
  readonly onLine: (name: string, line: string) => void;
  /** Called when a role ends by itself. */
  readonly onDeath: (name: string, how: string, restart: string) => void;
}

/** A cluster that runs. */
export class LocalCluster implements AsyncDisposable {
  /** `host:port` of the config server. */
  config = "";
  /** All roles, the config server last. */
  readonly children: Child[] = [];
  readonly #plan: ClusterPlan;
  #directory: string | undefined;
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
      const file = plan.file ?? await cluster.#writeConfig(servers);
      const { host, port } = plan.config;
      const args = ["config", file, "--host", host, "--port", String(port)];
      const server = cluster.#start(`config:${port}`, args);
      cluster.config = (await server.ready).endpoint;
      cluster.#watch(server, ["config", file, "--port", String(parseEndpoint(cluster.config).port)]);
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  #startServer(server: ServerPlan): Promise<ReadyLine> {
    const keys = [server.shmkey, server.semkey].map(String);
    const command = (port: number | string): string[] => {
      return ["server", String(port), ...keys, "--host", server.host, ...server.options];
    };
    const child = this.#start(`server:${server.port || server.shmkey}`, command(server.port));
    child.ready.then(({ endpoint }) => this.#watch(child, command(parseEndpoint(endpoint).port)), () => {});
    return child.ready;
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

  async #writeConfig(servers: readonly ReadyLine[]): Promise<string> {
    this.#directory = await Deno.makeTempDir({ prefix: "dsm-up-" });
    const file = `${this.#directory}/config.txt`;
    const lines = servers.map((server) => formatEndpoint(parseEndpoint(server.endpoint)));
    await Deno.writeTextFile(file, `${servers.length}\n${lines.join("\n")}\n`);
    return file;
  }

  /** Stops every role in order, config server first, and removes what a role that died left behind. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all([...this.children].reverse().map((child) => child.stop()));
    for (const { shmkey } of this.#plan.servers) removeAbandoned(shmkey);
    const directory = this.#directory;
    this.#directory = undefined;
    if (directory !== undefined) await Deno.remove(directory, { recursive: true });
  }

  /** The same as {@linkcode LocalCluster.stop}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
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
