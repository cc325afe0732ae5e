/**
 * The servers that are measured: dsm's own, and Redis where it is installed. Each listens on loopback, on a port of its own,
 * pinned to one CPU, writes nothing outside the benchmark's directory, and is gone when it is disposed of.
 */
import { freePortPair } from "../../lib/launch/free_ports.ts";
import { pinned } from "./pin.ts";
import { Child } from "./processes.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;
const PORT_TRIES = 5;

/** A running server. */
export interface Peer extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly pid: number;
}

/** A running dsm server and the keys of its region. */
export interface DsmServer extends Peer {
  readonly shmKey: number;
  readonly semKey: number;
}

/** Whether a program is on PATH. */
export async function isInstalled(program: string): Promise<boolean> {
  try {
    return (await new Deno.Command(program, { args: ["--version"], stdout: "null", stderr: "null" }).output()).success;
  } catch {
    return false;
  }
}

function randomKey(): number {
  return 0x1000_0000 + (crypto.getRandomValues(new Uint32Array(1))[0] as number) % 0x6000_0000;
}

function dsmCommand(words: readonly string[]): string[] {
  return [Deno.execPath(), "run", "-A", MAIN, ...words];
}

/** A server that ended in order has removed its objects; one that was killed could not. Nobody else uses these keys. */
async function removeObjects(shmKey: number, semKey: number): Promise<void> {
  const args = ["-M", String(shmKey), "-S", String(semKey)];
  await new Deno.Command("ipcrm", { args, stdout: "null", stderr: "null" }).output();
}

/** Starts `dsm server` with a fresh region. State goes into `directory`. The port behind its own is free for a logger. */
export async function startDsmServer(directory: string, cpu: number, size: string): Promise<DsmServer> {
  const [shmKey, semKey] = [randomKey(), randomKey()];
  const command = dsmCommand([
    "server",
    String(freePortPair("127.0.0.1")),
    String(shmKey),
    String(semKey),
    "--size",
    size,
  ]);
  const child = new Child(pinned(cpu, command), { XDG_STATE_HOME: directory });
  const stop = async (): Promise<void> => {
    await child.stop();
    await removeObjects(shmKey, semKey);
  };
  try {
    const [, host, port] = await child.ready(/^ready server (\S+):(\d+) /m);
    return { host: host as string, port: Number(port), pid: child.pid, shmKey, semKey, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await removeObjects(shmKey, semKey);
    throw error;
  }
}

/** Starts `dsm config` for these servers, with further `options`. */
export async function startDsmConfig(
  directory: string,
  cpu: number,
  servers: readonly Peer[],
  options: readonly string[] = [],
): Promise<Peer> {
  const file = await Deno.makeTempFile({ dir: directory, prefix: "config", suffix: ".txt" });
  const lines = servers.map((server) => `${server.host}:${server.port}`);
  await Deno.writeTextFile(file, [servers.length, ...lines, ""].join("\n"));
  const command = dsmCommand(["config", file, "--port", "0", ...options]);
  const child = new Child(pinned(cpu, command), { XDG_STATE_HOME: directory });
  const [, host, port] = await child.ready(/^ready config (\S+):(\d+)/m);
  return {
    host: host as string,
    port: Number(port),
    pid: child.pid,
    [Symbol.asyncDispose]: () => child.stop(),
  };
}

/** Starts the logger of a server as master, at the lowest priority; its first checkpoint is under way when this returns. */
export async function startDsmLogger(server: DsmServer, config: Peer, directory: string): Promise<Peer> {
  const own = ["logger", "1", String(server.port + 1), String(server.shmKey), String(server.semKey)];
  const options = ["--config", `${config.host}:${config.port}`, "--dir", directory, "--period", "24h"];
  const child = new Child(["nice", "-n", "19", ...dsmCommand([...own, ...options])]);
  const [, host, port] = await child.ready(/^ready logger (\S+):(\d+)/m);
  return { host: host as string, port: Number(port), pid: child.pid, [Symbol.asyncDispose]: () => child.stop() };
}

/** A port that was free a moment ago. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** Starts `dsm registry` with its state in `directory`. */
export async function startDsmRegistry(directory: string, cpu: number): Promise<Peer> {
  const state = await Deno.makeTempFile({ dir: directory, prefix: "registry", suffix: ".sqlite" });
  const child = new Child(pinned(cpu, dsmCommand(["registry", "0", "--state", state])), { XDG_STATE_HOME: directory });
  const [, host, port] = await child.ready(/^ready registry (\S+):(\d+)/m);
  return { host: host as string, port: Number(port), pid: child.pid, [Symbol.asyncDispose]: () => child.stop() };
}

const NO_PERSISTENCE: readonly string[] = ["--appendonly", "no"];

/** Starts redis-server, without persistence unless told otherwise. It cannot choose a port itself, so a port taken meanwhile means another try. */
export async function startRedis(
  directory: string,
  cpu: number,
  persistence: readonly string[] = NO_PERSISTENCE,
): Promise<Peer> {
  for (let attempt = 1;; attempt++) {
    const port = freePort();
    const options = [
      "--port",
      String(port),
      "--bind",
      "127.0.0.1",
      "--save",
      "",
      ...persistence,
      "--dir",
      directory,
    ];
    const child = new Child(pinned(cpu, ["redis-server", ...options]));
    try {
      await child.ready(/Ready to accept connections/);
      return { host: "127.0.0.1", port, pid: child.pid, [Symbol.asyncDispose]: () => child.stop() };
    } catch (error) {
      if (attempt === PORT_TRIES) throw error;
    }
  }
}
