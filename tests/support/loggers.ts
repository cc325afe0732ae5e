/** Loggers beside the servers of a test's cluster, as real processes, and a global logger within the test itself. */
import { assertEquals, fail } from "@std/assert";
import { DsmError } from "../../lib/base/errors.ts";
import { parseEndpoint } from "../../lib/base/units.ts";
import type { Checkpoint } from "../../lib/checkpoint/store.ts";
import { verify } from "../../lib/checkpoint/verify.ts";
import type { CheckpointPhase } from "../../lib/node/logger/global_checkpoint.ts";
import { NO_CREDENTIALS } from "../../lib/net/credentials.ts";
import { GlobalLogger } from "../../lib/node/logger/global_logger.ts";
import type { GlobalLoggerRequest } from "../../lib/node/logger/global_logger.ts";
import { ready, startDsm, TestCluster } from "./processes.ts";
import type { ClusterOptions, Program } from "./processes.ts";

/** All phases of a checkpoint, in order. */
export const PHASES: readonly CheckpointPhase[] = [
  "survey",
  "prepare",
  "cut",
  "table",
  "release",
  "gather",
  "confirm",
  "complete",
];

/** The arguments of the logger of the cluster's `index`th server. */
export function loggerArgs(cluster: TestCluster, index: number, isMaster: boolean): string[] {
  const { port, keys } = cluster.server(index);
  return ["logger", isMaster ? "1" : "0", `${port + 1}`, `${keys.shm}`, `${keys.sem}`, "--config", cluster.address];
}

/** Starts the logger of the cluster's `index`th server, and waits until it is ready. */
export async function startLogger(
  cluster: TestCluster,
  index: number,
  isMaster = false,
  ...options: string[]
): Promise<Program> {
  const program = startDsm([...loggerArgs(cluster, index, isMaster), ...options]);
  try {
    await ready(program);
    return program;
  } catch (error) {
    await program[Symbol.asyncDispose]();
    throw error;
  }
}

/** A cluster with a local logger beside every server. */
export class LoggedCluster implements AsyncDisposable {
  readonly cluster: TestCluster;
  readonly loggers: Program[];

  private constructor(cluster: TestCluster, loggers: Program[]) {
    this.cluster = cluster;
    this.loggers = loggers;
  }

  /** Starts them all; no logger is the master. */
  static async start(options: ClusterOptions = {}): Promise<LoggedCluster> {
    const cluster = await TestCluster.start({ ...options, withLoggerPorts: true });
    const started = await Promise.allSettled(cluster.servers.map((_, index) => startLogger(cluster, index)));
    const loggers = started.flatMap((each) => each.status === "fulfilled" ? [each.value] : []);
    const logged = new LoggedCluster(cluster, loggers);
    const failed = started.find((each) => each.status === "rejected");
    if (!failed) return logged;
    await logged[Symbol.asyncDispose]();
    throw failed.reason;
  }

  /** The logger at that place in the space. */
  logger(index: number): Program {
    return this.loggers[index] ?? fail(`no logger ${index}`);
  }

  /** Starts that logger again, after it ended. */
  async restartLogger(index: number): Promise<void> {
    this.loggers[index] = await startLogger(this.cluster, index);
  }

  /** A global logger of this test's own, which takes checkpoints only when asked. */
  master(options: Partial<GlobalLoggerRequest> = {}): TestMaster {
    return new TestMaster(this.cluster, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.loggers.map((each) => each[Symbol.asyncDispose]()));
    await this.cluster[Symbol.asyncDispose]();
  }
}

/** A global logger within the test. */
export class TestMaster implements AsyncDisposable {
  readonly logger: GlobalLogger;
  readonly lines: string[] = [];

  constructor(cluster: TestCluster, options: Partial<GlobalLoggerRequest>) {
    this.logger = new GlobalLogger(
      {
        config: parseEndpoint(cluster.address),
        credentials: NO_CREDENTIALS,
        directory: cluster.dir.file("checkpoints"),
        periodMs: 1_000_000,
        cutDelayMsMax: 0,
        onPhase: () => {},
        onComplete: () => Promise.resolve(),
        ...options,
      },
      { incarnation: 0, epoch: 0 },
      (level, message) => this.lines.push(`${level}: ${message}`),
    );
  }

  /** Takes a checkpoint, which must be complete and sound. */
  async take(): Promise<Awaited<ReturnType<GlobalLogger["take"]>>> {
    const taken = await this.logger.take();
    assertEquals(await verify(taken.directory), []);
    return taken;
  }

  /** Takes one that must fail, and says why. */
  async fails(): Promise<DsmError> {
    try {
      const { directory } = await this.logger.take();
      return fail(`it is complete: ${directory}`);
    } catch (error) {
      if (error instanceof DsmError) return error;
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.logger[Symbol.asyncDispose]();
  }
}

/** The bytes of the whole space in a checkpoint. */
export async function spaceOf({ path, manifest }: Checkpoint): Promise<Uint8Array<ArrayBuffer>> {
  const images = await Promise.all(manifest.servers.map(({ file }) => Deno.readFile(`${path}/${file}`)));
  return new Uint8Array(await new Blob(images).arrayBuffer());
}
