/** Registries of a test's own, as processes: a port of the kernel's choice, a state of their own, nothing left behind. */
import { Registry } from "../../lib/node/registry_client/registry.ts";
import { dsm, ready, startDsm, TempDir } from "./processes.ts";
import type { Program, Ran } from "./processes.ts";

/** See the head of this file. */
export class TestRegistry implements AsyncDisposable {
  program: Program;
  readonly port: number;
  readonly dir: TempDir;
  readonly #args: readonly string[];
  readonly #clients: Registry[] = [];

  private constructor(program: Program, port: number, dir: TempDir, args: readonly string[]) {
    this.program = program;
    this.port = port;
    this.dir = dir;
    this.#args = args;
  }

  /** Starts one. */
  static async start(args: readonly string[] = []): Promise<TestRegistry> {
    const dir = new TempDir();
    const all = ["--state", dir.file("registry.sqlite"), ...args];
    const program = startDsm(["registry", "0", ...all]);
    try {
      return new TestRegistry(program, (await ready(program)).port, dir, all);
    } catch (error) {
      await program[Symbol.asyncDispose]();
      await dir[Symbol.asyncDispose]();
      throw error;
    }
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Starts it again on its port and state, after it ended. */
  async restart(): Promise<void> {
    this.program = startDsm(["registry", `${this.port}`, ...this.#args]);
    await ready(this.program);
  }

  /** Runs dsm with this registry. */
  dsm(...args: string[]): Promise<Ran> {
    return dsm(args, { env: { DSM_REGISTRY: this.address } });
  }

  /** Starts dsm with this registry. */
  start(...args: string[]): Program {
    return startDsm(args, { env: { DSM_REGISTRY: this.address } });
  }

  /** A client, closed with the registry. */
  client(timeoutMs = 10_000): Registry {
    const client = new Registry({ registry: this.address, timeoutMs });
    this.#clients.push(client);
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
    await this.program[Symbol.asyncDispose]();
    await this.dir[Symbol.asyncDispose]();
  }
}
