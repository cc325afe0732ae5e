/** Which servers `dsm up` starts, with which ports, keys and options. */
import { say } from "../../lib/cli/output.ts";
import type { ConfiguredServer } from "../../lib/config/config_file.ts";
import { isOwnAddress, requireOwn, requireOwnKeys } from "../../lib/launch/local_cluster.ts";
import type { ServerPlan } from "../../lib/launch/local_cluster.ts";
import { readConfig } from "../../lib/node/config/config_server.ts";

/** What is asked of every server. */
export interface ServerOptions {
  /** The first server's port with --local. */
  readonly basePort: number;
  /** Bytes of each region. */
  readonly size: number;
  /** Bytes per block. */
  readonly blockSize: number;
  /** What fresh bytes are. */
  readonly fill: string;
  /** The transport. */
  readonly transport: string;
}

/** Servers to start, and the file that names them if there is one. */
export interface UpPlan {
  /** The config file; undefined: one is made. */
  readonly file: string | undefined;
  /** The servers. */
  readonly servers: readonly ServerPlan[];
}

/** Even and odd keys per port, so that a server and its neighbour never meet: "dsm" in the upper bytes. */
const KEY_BASE = 0x64_73_00_00;
const SEMAPHORE_KEY_BASE = 0x64_74_00_00;
/** Ports are two apart: a server's logger listens on the next. */
const PORT_STEP = 2;

function keysFor(port: number): { shmkey: number; semkey: number } {
  if (port !== 0) return { shmkey: KEY_BASE + port, semkey: SEMAPHORE_KEY_BASE + port };
  const [low = 1] = crypto.getRandomValues(new Uint32Array(1));
  return { shmkey: (low & 0x3fff_fffe) + 0x4000_0000, semkey: (low & 0x3fff_fffe) + 0x4000_0001 };
}

function planServer(server: ConfiguredServer, options: ServerOptions): ServerPlan {
  const keys = keysFor(server.port);
  return {
    host: server.host === "localhost" ? "127.0.0.1" : server.host,
    port: server.port,
    shmkey: server.shmkey ?? keys.shmkey,
    semkey: server.semkey ?? keys.semkey,
    options: [
      "--size",
      String(server.size ?? options.size),
      "--block-size",
      String(server.blockSize ?? options.blockSize),
      `--fill=${options.fill}`,
      "--transport",
      options.transport,
    ],
  };
}

/** `count` servers on this host. */
export function planLocal(count: number, options: ServerOptions): UpPlan {
  const ports = Array.from({ length: count }, (_, i) => options.basePort === 0 ? 0 : options.basePort + PORT_STEP * i);
  return { file: undefined, servers: ports.map((port) => planServer({ host: "127.0.0.1", port }, options)) };
}

/** The servers of a config file that are on this host. @throws ConfigError. */
export async function planFromFile(file: string, options: ServerOptions): Promise<UpPlan> {
  const all = await readConfig(file);
  const own = all.filter((server) => isOwnAddress(server.host));
  requireOwn(own, file);
  for (const server of all) {
    if (!own.includes(server)) say(`dsm: ${server.host}:${server.port} is not on this host; start it there`);
  }
  const servers = own.map((server) => planServer(server, options));
  requireOwnKeys(servers);
  return { file, servers };
}
