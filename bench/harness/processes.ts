/**
 * The child processes of a benchmark.
 *
 *   - Every wait has an end: a readiness line, an exit or a run that does not come in time is an error that names the
 *     command and shows the end of its stderr.
 *   - Children are ended by their own pid only: asked first, killed after STOP_TIMEOUT_MS.
 *   - SIGINT and SIGTERM to the benchmark end all children before it ends itself.
 */

const READY_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 5_000;
const STDOUT_KEPT = 64 * 1024;
const STDERR_KEPT = 2_000;

const running = new Set<Child>();
let interruptStatus: number | undefined;

/** Resolves to undefined when `promise` takes longer. */
async function within<T>(promise: Promise<T>, limitMs: number): Promise<T | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<undefined>((resolve) => timer = setTimeout(() => resolve(undefined), limitMs));
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A child ended with another exit status than 0. */
export class ExitError extends Error {
  /** Its exit status. */
  readonly status: number;

  constructor(message: string, status: number) {
    super(message);
    this.status = status;
  }
}

/** A running child with its input and output piped. */
export class Child implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #command: string;
  readonly #ended: Promise<Deno.CommandStatus>;
  #stdout = "";
  #stderr = "";
  #hasEnded = false;
  #wake: () => void = () => {};

  /** Starts `command`, with `environment` added to our own. */
  constructor(command: readonly string[], environment: Record<string, string> = {}) {
    if (interruptStatus !== undefined) throw new Error("interrupted");
    this.#command = command.join(" ");
    this.#process = new Deno.Command(command[0] as string, {
      args: command.slice(1),
      env: environment,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#ended = this.#follow();
    running.add(this);
  }

  /** Its process. */
  get pid(): number {
    return this.#process.pid;
  }

  /** Reads both outputs to their ends; resolves when the process and they have ended. */
  async #follow(): Promise<Deno.CommandStatus> {
    const keep = async (
      stream: ReadableStream<Uint8Array<ArrayBuffer>>,
      take: (text: string) => void,
    ): Promise<void> => {
      for await (const text of stream.pipeThrough(new TextDecoderStream())) take(text);
    };
    await Promise.all([
      keep(this.#process.stdout, (text) => {
        this.#stdout = (this.#stdout + text).slice(-STDOUT_KEPT);
        this.#wake();
      }),
      keep(this.#process.stderr, (text) => this.#stderr = (this.#stderr + text).slice(-STDERR_KEPT)),
    ]);
    const status = await this.#process.status;
    this.#hasEnded = true;
    this.#wake();
    return status;
  }

  async #fail(what: string): Promise<never> {
    await this.stop();
    throw new Error(`${this.#command}: ${what}\n${this.#stderr}`.trimEnd());
  }

  async #match(pattern: RegExp): Promise<RegExpExecArray | undefined> {
    for (;;) {
      const match = pattern.exec(this.#stdout.slice(0, this.#stdout.lastIndexOf("\n") + 1));
      if (match !== null) return match;
      if (this.#hasEnded) return undefined;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  /** What `pattern` matches in the whole lines it has printed, as soon as it does. */
  async ready(pattern: RegExp): Promise<RegExpExecArray> {
    return await within(this.#match(pattern), READY_TIMEOUT_MS) ?? await this.#fail(`printed nothing like ${pattern}`);
  }

  /** Closes its input, waits for it to end, and returns what it printed. */
  async output(limitMs: number): Promise<string> {
    await this.#closeInput();
    const status = await within(this.#ended, limitMs) ?? await this.#fail(`not done after ${limitMs} ms`);
    running.delete(this);
    if (!status.success) {
      throw new ExitError(`${this.#command}: exit status ${status.code}\n${this.#stderr}`.trimEnd(), status.code);
    }
    return this.#stdout;
  }

  /** Ends it: asked by SIGTERM, then killed. */
  async stop(): Promise<void> {
    if (!running.delete(this)) {
      await this.#ended;
      return;
    }
    this.#kill("SIGTERM");
    const asked = await within(this.#ended, STOP_TIMEOUT_MS);
    if (asked === undefined) this.#kill("SIGKILL");
    await this.#ended;
    await this.#closeInput();
  }

  async #closeInput(): Promise<void> {
    try {
      await this.#process.stdin.close();
    } catch {
      // it is closed, or nobody reads it any more
    }
  }

  #kill(signal: Deno.Signal): void {
    try {
      this.#process.kill(signal);
    } catch {
      // it has ended by itself
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** Runs a command that prints one JSON object, and returns the object's numbers. */
export async function runForNumbers(command: readonly string[], limitMs: number): Promise<Record<string, number>> {
  const fields = Object.entries(await runForObject(command, limitMs));
  return Object.fromEntries(fields.filter((field): field is [string, number] => typeof field[1] === "number"));
}

/** Runs a command that prints one JSON object of arrays of numbers, and returns them. */
export async function runForSamples(command: readonly string[], limitMs: number): Promise<Record<string, number[]>> {
  const fields = Object.entries(await runForObject(command, limitMs));
  return Object.fromEntries(fields.filter((field): field is [string, number[]] => Array.isArray(field[1])));
}

async function runForObject(command: readonly string[], limitMs: number): Promise<object> {
  await using child = new Child(command);
  const text = await child.output(limitMs);
  const value: unknown = JSON.parse(text);
  if (typeof value !== "object" || value === null) throw new Error(`${command.join(" ")}: printed no object: ${text}`);
  return value;
}

/** One of those numbers. */
export function numberOf(numbers: Record<string, number>, name: string): number {
  const value = numbers[name];
  if (value === undefined) throw new Error(`there is no ${name} among ${Object.keys(numbers).join(", ")}`);
  return value;
}

/**
 * Runs `body`. A signal to this process ends its children, so that `body` fails and cleans up.
 *
 * @returns the exit status for that signal, or undefined when none came.
 */
export async function withSignals(body: () => Promise<void>): Promise<number | undefined> {
  const signals = { SIGINT: 130, SIGTERM: 143 } as const;
  const removers = Object.entries(signals).map(([signal, status]) => {
    const handler = (): void => {
      interruptStatus = status;
      for (const child of running) child.stop();
    };
    Deno.addSignalListener(signal as Deno.Signal, handler);
    return () => Deno.removeSignalListener(signal as Deno.Signal, handler);
  });
  try {
    await body();
  } catch (error) {
    if (interruptStatus === undefined) throw error;
  } finally {
    for (const remove of removers) remove();
  }
  return interruptStatus;
}
