/**
 * A cluster at work on chains (support/chains.ts) while checkpoints are taken as fast as they go, from any copy of the
 * source tree: so the same run shows that the code is right and that a mutant of it is not.
 */
import { fail } from "@std/assert";
import { freePortPair } from "../../lib/launch/free_ports.ts";
import { connect, IPC_CREAT } from "../../mod.ts";
import { contradictions, LINK_COUNT, progress, REGION_SIZE, SPACE_KEY } from "./chains.ts";
import type { Path } from "./chains.ts";
import { Keys, Program, ready, TempDir, writeConfig } from "./processes.ts";
import { until, within } from "./until.ts";

/** What a run is to be. */
export interface ConsistencyRequest {
  /** The source tree. */
  readonly root: string;
  /** The paths that links take; chains with others stand still. */
  readonly paths: readonly Path[];
  /** Ends the run after that many checkpoints. */
  readonly checkpointCount: number;
  /** Ends it at the first contradiction. */
  readonly stopsAtContradiction: boolean;
  /** Random time before each server's cut, in ms. */
  readonly cutDelayMs: number;
  /** Whether the regions are gathered without a cut, too. */
  readonly gathersUncoordinated: boolean;
}

/** What came of it. */
export interface ConsistencyOutcome {
  /** Checkpoints looked at. */
  readonly checkpointCount: number;
  /** What contradicts consistency in them, with the checkpoint's name. */
  readonly contradictions: readonly string[];
  /** The same for gathers without a cut. */
  readonly uncoordinated: readonly string[];
  /** How far the chains came from the first checkpoint to the last. */
  readonly progress: number;
}

const RUN_MS_MAX = 240_000;

/** See the head of this file. */
export class ConsistencyRun implements AsyncDisposable {
  readonly #request: ConsistencyRequest;
  readonly #dir = new TempDir();
  readonly #keys = Array.from({ length: LINK_COUNT }, () => new Keys());
  readonly #ports = Array.from({ length: LINK_COUNT }, () => freePortPair("127.0.0.1"));
  readonly #programs: Program[] = [];

  private constructor(request: ConsistencyRequest) {
    this.#request = request;
  }

  /** Starts everything, runs, ends everything. */
  static async run(request: ConsistencyRequest): Promise<ConsistencyOutcome> {
    await using run = new ConsistencyRun(request);
    return await within("the run", run.#run(), RUN_MS_MAX);
  }

  #start(file: string, ...args: string[]): Program {
    const program = new Program([Deno.execPath(), "run", "-A", "--no-check", `${this.#request.root}${file}`, ...args], {
      cwd: this.#request.root,
    });
    this.#programs.push(program);
    return program;
  }

  async #run(): Promise<ConsistencyOutcome> {
    const addresses = this.#ports.map((port) => `127.0.0.1:${port}`);
    const size = ["--size", `${REGION_SIZE}`];
    const keysOf = (server: number): string[] => {
      const { shm, sem } = this.#keys[server] as Keys;
      return [`${shm}`, `${sem}`];
    };
    await Promise.all(this.#ports.map((port, server) => {
      const transport = ["--transport", server === 1 ? "deno" : "epoll"];
      return ready(this.#start("main.ts", "server", `${port}`, ...keysOf(server), ...size, ...transport));
    }));
    const configFile = this.#dir.file("config.txt");
    await writeConfig(configFile, addresses);
    const config = `127.0.0.1:${(await ready(this.#start("main.ts", "config", configFile, "--port", "0"))).port}`;
    if (this.#request.paths.includes("simple")) await makeSpaceSegment(config);
    await Promise.all(
      Array.from({ length: LINK_COUNT }, (_, link) => {
        return this.#request.paths.map((path) => {
          const program = this.#start(
            "tests/process/programs/chain_link.ts",
            config,
            `${link}`,
            path,
            ...addresses,
          );
          return program.saysOut(/^at work$/m);
        });
      }).flat(),
    );
    const directory = this.#dir.file("checkpoints");
    await Promise.all(this.#ports.map((port, server) => {
      const args = ["logger", server === 0 ? "1" : "0", `${port + 1}`, ...keysOf(server), "--config", config];
      const master = ["--dir", directory, "--period", "1ms", "--cut-delay", `${this.#request.cutDelayMs}ms`];
      return ready(this.#start("main.ts", ...args, ...(server === 0 ? master : [])));
    }));
    return await this.#watch(directory);
  }

  async #watch(directory: string): Promise<ConsistencyOutcome> {
    const { checkpointCount, stopsAtContradiction, gathersUncoordinated } = this.#request;
    const seen = new Set<string>();
    const found: string[] = [];
    const uncoordinated: string[] = [];
    let first: number | undefined;
    let last = 0;
    while (seen.size < checkpointCount && !(stopsAtContradiction && found.length > 0)) {
      const name = await until("the next checkpoint", () => {
        this.#requireAlive();
        return complete(directory).find((each) => !seen.has(each));
      }, 30_000);
      seen.add(name);
      const images = this.#ports.map((_, server) => Deno.readFileSync(`${directory}/${name}/server-${server}.img`));
      for (const each of contradictions(images)) found.push(`${name}: ${each}`);
      last = progress(images);
      first ??= last;
      // what was looked at is not needed any more, but the newest is the next one's base
      if (seen.size > 3) await removeOldest(directory, seen);
      if (gathersUncoordinated) uncoordinated.push(...contradictions(await this.#gatherUncoordinated()));
    }
    this.#requireAlive();
    return { checkpointCount: seen.size, contradictions: found, uncoordinated, progress: last - (first ?? 0) };
  }

  /** The regions one after the other, as an original global logger has them. */
  async #gatherUncoordinated(): Promise<Uint8Array[]> {
    const images: Uint8Array[] = [];
    for (const port of this.#ports) {
      using stream = await Deno.connect({ hostname: "127.0.0.1", port: port + 1 });
      await stream.write(new Uint8Array(4));
      const image = new Uint8Array(REGION_SIZE);
      for (let at = 0; at < REGION_SIZE;) at += await stream.read(image.subarray(at)) ?? fail("a gather was cut short");
      images.push(image);
    }
    return images;
  }

  #requireAlive(): void {
    const dead = this.#programs.find((program) => program.hasExited);
    if (dead) fail(`a program ended: ${dead.stderr.slice(-2000)}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const links = this.#programs.splice(LINK_COUNT + 1, LINK_COUNT * this.#request.paths.length);
    await Promise.all(links.map((program) => program.kill()));
    await Promise.all(this.#programs.reverse().map((program) => program[Symbol.asyncDispose]()));
    for (const keys of this.#keys) keys[Symbol.dispose]();
    await this.#dir[Symbol.asyncDispose]();
  }
}

async function makeSpaceSegment(config: string): Promise<void> {
  await using cluster = await connect({ config });
  await cluster.shmget(SPACE_KEY, LINK_COUNT * REGION_SIZE, IPC_CREAT | 0o600);
}

/** The complete checkpoints of a directory, oldest first. */
function complete(directory: string): string[] {
  const epochOf = (name: string): number => Number(name.slice(name.lastIndexOf("-") + 1));
  try {
    return [...Deno.readDirSync(directory)].map(({ name }) => name).filter((name) => /^\d{4}-/.test(name))
      .sort((a, b) => epochOf(a) - epochOf(b));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

async function removeOldest(directory: string, seen: ReadonlySet<string>): Promise<void> {
  for (const name of complete(directory).slice(0, -3)) {
    if (seen.has(name)) await Deno.remove(`${directory}/${name}`, { recursive: true });
  }
}
