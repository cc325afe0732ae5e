/**
 * A role of dsm started as a process of this host: its readiness line, its other lines, its end.
 *
 * It gets a session of its own, so that a Ctrl-C at the terminal reaches only whoever started it; that one stops it in
 * order.
 */
import { Deadline } from "../base/clock.ts";
import { SystemError, TimeoutError } from "../base/errors.ts";

/** What to start. */
export interface ChildRequest {
  /** A name for people, such as `server:9800`. */
  readonly name: string;
  /** The executable. */
  readonly command: string;
  /** Its arguments. */
  readonly args: readonly string[];
  /** Whether its standard input stays open until `closeInput`, or until this process ends: so it can see that. */
  readonly keepsInputOpen?: boolean;
  /** Called for every line it says, on either stream, but the readiness line. */
  readonly onLine: (line: string) => void;
}

/** How long a role may take to be ready. */
const READY_MS_MAX = 30_000;
/** How long a role may take to stop in order before it is killed. */
const STOP_MS_MAX = 10_000;
/** The longest line that is told; what is beyond is cut off. */
const LINE_SIZE_MAX = 4096;

/** A started role. */
export class Child {
  /** Its name. */
  readonly name: string;
  /** Its process. */
  readonly pid: number;
  /** Resolves when it has ended. */
  readonly ended: Promise<Deno.CommandStatus>;
  /** The `name=value` pairs and the endpoint of its readiness line. Rejects when it ends before. */
  readonly ready: Promise<ReadyLine>;
  /** Whether it was told to stop. */
  isStopping = false;
  readonly #process: Deno.ChildProcess;
  readonly #speech: Promise<void>;
  #input: WritableStream<Uint8Array> | undefined;

  /** Starts it. @throws SystemError ENOENT when there is no such executable. */
  constructor(request: ChildRequest) {
    this.name = request.name;
    try {
      this.#process = new Deno.Command(request.command, {
        args: [...request.args],
        stdin: request.keepsInputOpen ? "piped" : "null",
        stdout: "piped",
        stderr: "piped",
        detached: true,
      }).spawn();
    } catch (error) {
      throw new SystemError("exec", "ENOENT", `cannot start ${request.command}: ${(error as Error).message}`, error);
    }
    this.pid = this.#process.pid;
    if (request.keepsInputOpen) this.#input = this.#process.stdin;
    const { promise, resolve, reject } = Promise.withResolvers<ReadyLine>();
    this.ready = promise;
    promise.catch(() => {}); // who does not wait for it does not care
    let last = "";
    const onLine = (line: string): void => {
      const ready = parseReadyLine(line);
      if (ready) return resolve(ready);
      last = line;
      request.onLine(line);
    };
    this.#speech = Promise.all([
      eachLine(this.#process.stdout, onLine),
      eachLine(this.#process.stderr, onLine),
    ]).then(() => {});
    this.ended = this.#end(reject, () => last);
    const deadline = new Deadline(READY_MS_MAX);
    const timer = setTimeout(() => {
      reject(new TimeoutError(`${request.name} was not ready within ${READY_MS_MAX / 1000} s`));
    }, deadline.leftMs);
    promise.finally(() => clearTimeout(timer)).catch(() => {});
  }

  async #end(reject: (error: Error) => void, lastLine: () => string): Promise<Deno.CommandStatus> {
    const status = await this.#process.status;
    await this.#speech;
    reject(
      new SystemError("exec", "ECHILD", `${this.name} ended before it was ready: ${lastLine() || describeEnd(status)}`),
    );
    return status;
  }

  /** Sends a signal, if it still runs. */
  signal(name: Deno.Signal): void {
    try {
      this.#process.kill(name);
    } catch (error) {
      if (!(error instanceof TypeError) && !(error instanceof Deno.errors.NotFound)) throw error; // it has ended
    }
  }

  /** Ends its standard input, where that was kept open. */
  closeInput(): void {
    this.#input?.close().catch(() => {}); // closed already, or nobody reads it any more
    this.#input = undefined;
  }

  /** Asks it to stop in order, and kills it when it does not. */
  async stop(): Promise<void> {
    this.isStopping = true;
    this.signal("SIGTERM");
    const timer = setTimeout(() => this.signal("SIGKILL"), STOP_MS_MAX);
    await this.ended;
    clearTimeout(timer);
  }
}

/** A parsed readiness line. */
export interface ReadyLine {
  /** `host:port`. */
  readonly endpoint: string;
  /** What it says besides. */
  readonly fields: Readonly<Record<string, string>>;
}

/** Parses `ready ROLE HOST:PORT name=value …`; undefined for any other line. */
export function parseReadyLine(line: string): ReadyLine | undefined {
  const [word, role, endpoint, ...pairs] = line.split(" ");
  if (word !== "ready" || role === undefined || endpoint === undefined) return undefined;
  const fields = pairs.map((pair): [string, string] => {
    const at = pair.indexOf("=");
    return [pair.slice(0, at), pair.slice(at + 1)];
  });
  return { endpoint, fields: Object.fromEntries(fields) };
}

/** How a process ended, for people. */
export function describeEnd(status: Deno.CommandStatus): string {
  return status.signal ? `killed by ${status.signal}` : `exit status ${status.code}`;
}

async function eachLine(stream: ReadableStream<Uint8Array>, onLine: (line: string) => void): Promise<void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)) {
    const lines = (rest + text).split("\n");
    rest = (lines.pop() ?? "").slice(0, LINE_SIZE_MAX);
    for (const line of lines) onLine(line.slice(0, LINE_SIZE_MAX));
  }
  if (rest !== "") onLine(rest);
}
