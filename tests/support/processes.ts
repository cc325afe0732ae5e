/**
 * Real processes for tests: dsm's roles and other programs as children, private keys, temporary directories, C programs.
 *
 *   - Everything is disposable: `await using` ends what was started, by its pid, and removes its IPC objects.
 *   - Every wait has a deadline; its error shows what the child said last.
 */
import { fail } from "@std/assert";
import { selfCommand } from "../../lib/cli/executable.ts";
import { freePortPair } from "../../lib/launch/free_ports.ts";
import { FooterWord, recognise } from "../../lib/memory/layout.ts";
import { Region } from "../../lib/memory/region.ts";
import { findSet, removeSet } from "../../lib/sys/semaphores.ts";
import { libc } from "../../lib/sys/libc.ts";
import { findSegment, removeSegment, SharedMemory } from "../../lib/sys/shared_memory.ts";
import { ROOT, TempDir } from "./machine.ts";
import { until, within } from "./until.ts";

export { have, ROOT, TempDir, testWhere, works } from "./machine.ts";

const READY_MS_MAX = 20_000;
const EXIT_MS_MAX = 15_000;
const RUN_MS_MAX = 30_000;

// loaded before any test begins, so that none is blamed for the library it leaves loaded
libc();

/** The command line of dsm with `args`. */
export function dsmCommand(...args: string[]): string[] {
  const self = selfCommand();
  return [self.command, ...self.args, ...args];
}

/** How a program is started. */
export interface StartOptions {
  /** Added to the environment. */
  readonly env?: Record<string, string>;
  /** The directory it runs in. */
  readonly cwd?: string;
}

/** How a program ended: its status, or 128 + n after signal n, as a shell has it. */
export interface Exit {
  readonly code: number;
  readonly signal: string | null;
}

/** A child with its input and outputs piped. */
export class Program implements AsyncDisposable {
  /** What it wrote to stdout so far. */
  stdout = "";
  /** What it wrote to stderr so far. */
  stderr = "";
  /** How it ended. */
  readonly exited: Promise<Exit>;
  hasExited = false;
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #name: string;

  /** Starts it. */
  constructor(command: readonly string[], options: StartOptions = {}) {
    const [program = "", ...args] = command;
    this.#name = command.join(" ");
    this.#child = new Deno.Command(program, {
      args,
      env: options.env ?? {},
      cwd: options.cwd ?? ROOT,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.exited = this.#follow();
  }

  get pid(): number {
    return this.#child.pid;
  }

  async #follow(): Promise<Exit> {
    const keep = async (stream: ReadableStream<Uint8Array<ArrayBuffer>>, take: (text: string) => void) => {
      for await (const text of stream.pipeThrough(new TextDecoderStream())) take(text);
    };
    const [status] = await Promise.all([
      this.#child.status,
      keep(this.#child.stdout, (text) => this.stdout += text),
      keep(this.#child.stderr, (text) => this.stderr += text),
    ]);
    this.hasExited = true;
    await this.#input.abort().catch(() => {});
    return { code: status.code, signal: status.signal };
  }

  #saying(what: string): string {
    return `${what} of "${this.#name}" (pid ${this.pid})\n  stdout: ${this.stdout.slice(-2000)}\n  stderr: ${
      this.stderr.slice(-2000)
    }`;
  }

  async #untilMatch(text: () => string, pattern: RegExp, what: string, timeoutMs: number): Promise<RegExpExecArray> {
    try {
      return await until(`${pattern}`, () => {
        const match = pattern.exec(text());
        if (!match && this.hasExited) throw new Error("it has ended");
        return match;
      }, timeoutMs);
    } catch (error) {
      return fail(`${(error as Error).message}: ${this.#saying(what)}`);
    }
  }

  /** Waits until stdout has what matches. */
  saysOut(pattern: RegExp, timeoutMs = READY_MS_MAX): Promise<RegExpExecArray> {
    return this.#untilMatch(() => this.stdout, pattern, "stdout", timeoutMs);
  }

  /** Waits until stderr has what matches. */
  saysErr(pattern: RegExp, timeoutMs = READY_MS_MAX): Promise<RegExpExecArray> {
    return this.#untilMatch(() => this.stderr, pattern, "stderr", timeoutMs);
  }

  /** Writes to its standard input. */
  async write(text: string | Uint8Array): Promise<void> {
    await this.#input.write(typeof text === "string" ? new TextEncoder().encode(text) : text);
  }

  /** Ends its standard input. */
  async closeInput(): Promise<void> {
    await this.#input.close().catch(() => {});
  }

  /** Sends a signal, to this process only. */
  signal(name: Deno.Signal): void {
    if (!this.hasExited) this.#child.kill(name);
  }

  /** Waits for its end. */
  async end(timeoutMs = EXIT_MS_MAX): Promise<Exit> {
    try {
      return await within("the end", this.exited, timeoutMs);
    } catch (error) {
      return fail(`${(error as Error).message} ${this.#saying("")}`);
    }
  }

  /** Kills it with SIGKILL and waits for its end. */
  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.end();
  }

  /** Stops it in order, and waits for its end. */
  async stop(): Promise<Exit> {
    this.signal("SIGTERM");
    return await this.end();
  }

  /** Ends it, whatever it takes. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.hasExited) {
      try {
        this.signal("SIGCONT");
        this.signal("SIGTERM");
        await within("the end", this.exited, EXIT_MS_MAX);
      } catch {
        this.signal("SIGKILL");
      }
    }
    await this.exited;
  }
}

/** Starts a dsm. */
export function startDsm(args: readonly string[], options?: StartOptions): Program {
  return new Program(dsmCommand(...args), options);
}

/** What became of a program that ran to its end. */
export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Runs any command to its end, with `stdin` as its input. */
export async function runCommand(
  command: readonly string[],
  options: StartOptions & { readonly stdin?: string | Uint8Array } = {},
): Promise<Ran> {
  const [program = "", ...args] = command;
  const child = new Deno.Command(program, {
    args,
    env: options.env ?? {},
    cwd: options.cwd ?? ROOT,
    stdin: options.stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), RUN_MS_MAX);
  try {
    if (options.stdin !== undefined) {
      const input = typeof options.stdin === "string" ? new TextEncoder().encode(options.stdin) : options.stdin;
      const writer = child.stdin.getWriter();
      writer.write(input).then(() => writer.close()).catch(() => {});
    }
    const { code, signal, stdout, stderr } = await child.output();
    const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
    if (signal === "SIGKILL") fail(`${command.join(" ")} took more than ${RUN_MS_MAX} ms: ${text(stderr)}`);
    return { code, stdout: text(stdout), stderr: text(stderr), bytes: stdout };
  } finally {
    clearTimeout(timer);
  }
}

/** Runs dsm to its end. */
export function dsm(
  args: readonly string[],
  options?: StartOptions & { readonly stdin?: string | Uint8Array },
): Promise<Ran> {
  return runCommand(dsmCommand(...args), options);
}

// ---- keys

/** Two System V keys of this test's own; what is left under them goes when they do. */
export class Keys implements Disposable {
  readonly shm: number;
  readonly sem: number;

  constructor() {
    const random = crypto.getRandomValues(new Uint32Array(2));
    this.shm = 0x1000_0000 + ((random[0] as number) >>> 4);
    this.sem = 0x1000_0000 + ((random[1] as number) >>> 4);
  }

  /** What there is under these keys: nothing, once everything was cleaned up. */
  leftovers(): string[] {
    const left: string[] = [];
    if (findSegment(this.shm) !== undefined) left.push(`shared memory key ${this.shm}`);
    if (findSet(this.sem) !== undefined) left.push(`semaphore key ${this.sem}`);
    return left;
  }

  /** The region under the key, for a moment. */
  withRegion<T>(use: (region: Region) => T): T | undefined {
    const id = findSegment(this.shm);
    if (id === undefined) return undefined;
    using memory = SharedMemory.attach(id);
    const found = recognise(memory.bytes);
    return "layout" in found ? use(new Region(memory, found.layout, findSet(this.sem) ?? -1)) : undefined;
  }

  /** The id of the region's liveness set; undefined when there is no region. */
  liveness(): number | undefined {
    return this.withRegion((region) => region.word(FooterWord.livenessId));
  }

  [Symbol.dispose](): void {
    const liveness = this.liveness();
    if (liveness !== undefined) removeSet(liveness);
    const segment = findSegment(this.shm);
    if (segment !== undefined) removeSegment(segment);
    const set = findSet(this.sem);
    if (set !== undefined) removeSet(set);
  }
}

// ---- dsm's roles

const READY_LINE = /^ready (\S+) (\S+):(\d+)((?: \S+)*)\n/m;

/** A readiness line, taken apart. */
export interface Ready {
  readonly line: string;
  readonly host: string;
  readonly port: number;
  readonly fields: Readonly<Record<string, string>>;
}

/** Waits for a role's readiness line. */
export async function ready(program: Program): Promise<Ready> {
  const match = await program.saysOut(READY_LINE);
  const [line = "", , host = "", port = "", rest = ""] = match;
  const fields = Object.fromEntries(rest.trim().split(" ").map((pair) => pair.split("=", 2) as [string, string]));
  return { line: line.trimEnd(), host, port: Number(port), fields };
}

/** A memory server that is ready. */
export class TestServer implements AsyncDisposable {
  program: Program;
  ready: Ready;
  readonly keys: Keys;
  readonly args: readonly string[];

  private constructor(program: Program, ready: Ready, keys: Keys, args: readonly string[]) {
    this.program = program;
    this.ready = ready;
    this.keys = keys;
    this.args = args;
  }

  /** Starts one on private keys, unless told otherwise on a port of the kernel's choice. */
  static async start(args: readonly string[] = [], port = 0): Promise<TestServer> {
    const keys = new Keys();
    const program = startDsm(["server", `${port}`, `${keys.shm}`, `${keys.sem}`, ...args]);
    try {
      return new TestServer(program, await ready(program), keys, args);
    } catch (error) {
      await program[Symbol.asyncDispose]();
      keys[Symbol.dispose]();
      throw error;
    }
  }

  get port(): number {
    return this.ready.port;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Starts it again on its port and keys, after it ended. */
  async restart(): Promise<Ready> {
    this.program = startDsm(["server", `${this.port}`, `${this.keys.shm}`, `${this.keys.sem}`, ...this.args]);
    this.ready = await ready(this.program);
    return this.ready;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
    this.keys[Symbol.dispose]();
  }
}

/** What a test's cluster is to be. */
export interface ClusterOptions {
  readonly servers?: number;
  /** For every server. */
  readonly args?: readonly string[];
  /** For the config server. */
  readonly configArgs?: readonly string[];
  /** Whether the port after each server's is to be free, for its logger. */
  readonly withLoggerPorts?: boolean;
}

/** A config server and its memory servers, all ready and all known to each other. */
export class TestCluster implements AsyncDisposable {
  readonly servers: TestServer[];
  readonly dir: TempDir;
  config: Program;
  port: number;

  private constructor(servers: TestServer[], dir: TempDir, config: Program, port: number) {
    this.servers = servers;
    this.dir = dir;
    this.config = config;
    this.port = port;
  }

  /** Starts them all. */
  static async start(options: ClusterOptions = {}): Promise<TestCluster> {
    const { servers: count = 3, args = ["--size", "64KiB"], configArgs = [], withLoggerPorts = false } = options;
    const started = await Promise.allSettled(Array.from({ length: count }, () => {
      return TestServer.start(args, withLoggerPorts ? freePortPair("127.0.0.1") : 0);
    }));
    const servers = started.flatMap((each) => each.status === "fulfilled" ? [each.value] : []);
    const dir = new TempDir();
    const failed = started.find((each) => each.status === "rejected");
    let config: Program | undefined;
    try {
      if (failed) throw failed.reason;
      await writeConfig(dir.file("config.txt"), servers.map((server) => server.address));
      config = startConfig(dir, 0, configArgs);
      const { port } = await ready(config);
      const cluster = new TestCluster(servers, dir, config, port);
      await cluster.#configKnowsAll();
      return cluster;
    } catch (error) {
      await Promise.all([config, dir, ...servers].map((each) => each?.[Symbol.asyncDispose]()));
      throw error;
    }
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get configFile(): string {
    return this.dir.file("config.txt");
  }

  async #configKnowsAll(): Promise<void> {
    await until("the config server to know all", () => {
      return this.config.stderr.match(/ answers: /g)?.length === this.servers.length;
    });
  }

  /** Starts the config server again on its port and state, after it ended. */
  async restartConfig(configArgs: readonly string[] = []): Promise<void> {
    this.config = startConfig(this.dir, this.port, configArgs);
    await ready(this.config);
    await this.#configKnowsAll();
  }

  /** The server at that place in the space. */
  server(index: number): TestServer {
    return this.servers[index] ?? fail(`no server ${index}`);
  }

  /** Runs `dsm client …` against this cluster. */
  client(args: readonly string[], options: { readonly stdin?: string | Uint8Array } = {}): Promise<Ran> {
    return dsm(["client", ...args], { ...options, env: { DSM_CONFIG: this.address } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.config, ...this.servers].map((each) => each[Symbol.asyncDispose]()));
    await this.dir[Symbol.asyncDispose](); // only now: the config server's state was in it
  }
}

/** A cluster that lets every user of this host in. */
export function openCluster(options: ClusterOptions = {}): Promise<TestCluster> {
  const { args = ["--size", "64KiB"], configArgs = [] } = options;
  return TestCluster.start({ ...options, args: [...args, "--open"], configArgs: [...configArgs, "--open"] });
}

function startConfig(dir: TempDir, port: number, args: readonly string[]): Program {
  return startDsm([
    "config",
    dir.file("config.txt"),
    "--port",
    `${port}`,
    "--state",
    dir.file("config.sqlite"),
    ...args,
  ]);
}

/** Writes a config file for those servers. */
export async function writeConfig(file: string, addresses: readonly string[]): Promise<void> {
  await Deno.writeTextFile(file, [`${addresses.length}`, ...addresses, ""].join("\n"));
}

// ---- programs in C

let builds: TempDir | undefined;

/** Compiles tests/c/NAME.c once per test file; returns the program's path. */
export function compiled(name: string): string {
  if (builds === undefined) {
    const made = builds = new TempDir();
    globalThis.addEventListener("unload", () => Deno.removeSync(made.path, { recursive: true }));
  }
  const program = builds.file(name);
  try {
    Deno.statSync(program);
  } catch {
    const { success, stderr } = new Deno.Command("cc", {
      args: ["-O1", "-Wall", "-Wextra", "-o", program, `${ROOT}tests/c/${name}.c`],
      stderr: "piped",
    }).outputSync();
    if (!success) fail(`cannot compile ${name}.c: ${new TextDecoder().decode(stderr)}`);
  }
  return program;
}
