/**
 * Long-lived processes that make System V calls on this host's kernel, each as a user of its own; and what their programs
 * have in common.
 *
 *   - Requests and replies are lines of JSON. A process makes one call at a time.
 *   - As root they share an IPC namespace of their own: nobody else's objects are there, its limits can be set, and it goes
 *     with its last process, whatever happened.
 *   - The child reads and calls on its one thread: so a call that waits is seen of the process, and who began the namespace
 *     is in it with that thread only.
 */
import { fail } from "@std/assert";

/** Who a process is to be. */
export interface Identity {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
}

/** Who runs the tests. */
export function ownIdentity(): Identity {
  const groups = /^Groups:(.*)$/m.exec(Deno.readTextFileSync("/proc/self/status"))?.[1] ?? "";
  return { uid: Deno.uid() ?? 0, gid: Deno.gid() ?? 0, groups: groups.trim().split(/\s+/).filter(Boolean).map(Number) };
}

/** A process that makes calls, seen from its parent. */
export class KernelProcess<Call, Reply> implements AsyncDisposable {
  readonly pid: number;
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: AsyncIterator<string>;
  /** Whether it was killed. */
  hasEnded = false;

  private constructor(child: Deno.ChildProcess) {
    this.pid = child.pid;
    this.#child = child;
    this.#input = child.stdin.getWriter();
    this.#lines = linesOf(child.stdout);
  }

  /**
   * Starts `program`, whose first two arguments {@linkcode enter} takes.
   *
   * @param identity undefined: as who runs the tests.
   * @param namespace `new` for a namespace of its own, the path of another's, or `host`.
   * @returns the process and the path of its namespace; `host` where a new one was not to be had.
   */
  static async start<Call, Reply>(
    program: string,
    identity: Identity | undefined,
    namespace: string,
    ...args: readonly string[]
  ): Promise<{ caller: KernelProcess<Call, Reply>; namespace: string }> {
    const run = [Deno.execPath(), "run", "-A", "--no-check", program, namespace, JSON.stringify(identity ?? null)];
    // not by a call of its own: the runtime's other threads would stay where they were
    const [command = "", ...rest] = namespace.startsWith("/") ? ["nsenter", `--ipc=${namespace}`, ...run] : run;
    const child = new Deno.Command(command, {
      args: [...rest, ...args],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const caller = new KernelProcess<Call, Reply>(child);
    return { caller, namespace: await caller.#line() };
  }

  async #line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    return done ? fail(`process ${this.pid} has ended`) : value;
  }

  /** Has a call made, which may take its time. */
  async make(call: Call): Promise<Reply> {
    await this.tell(call);
    return JSON.parse(await this.#line());
  }

  /** The same for what has no reply. */
  async tell(call: Call): Promise<void> {
    await this.#input.write(new TextEncoder().encode(`${JSON.stringify(call)}\n`));
  }

  /** Sends it a signal. */
  signal(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  /** Kills it with SIGKILL and waits for its end. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#input.abort().catch(() => {});
    await this.#lines.return?.();
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

// ---- the child's side

const CLONE_NEWIPC = 0x0800_0000;

const SYMBOLS = {
  __errno_location: { parameters: [], result: "pointer" },
  unshare: { parameters: ["i32"], result: "i32" },
  setgroups: { parameters: ["usize", "buffer"], result: "i32" },
  setgid: { parameters: ["u32"], result: "i32" },
  setuid: { parameters: ["u32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/**
 * Begins the namespace of the program's arguments where that is `new`, and becomes who they say; then tells the parent, and
 * may be called.
 */
export function enter([namespace = "host", identity = "null"]: readonly string[]): void {
  const libc = Deno.dlopen("libc.so.6", SYMBOLS).symbols;
  const require = (result: number, call: string): void => {
    if (result !== 0) throw new Error(`${call} failed`);
  };
  const own = `/proc/${Deno.readLinkSync("/proc/thread-self")}/ns/ipc`;
  let entered = namespace === "host" ? "host" : own;
  if (namespace === "new" && libc.unshare(CLONE_NEWIPC) !== 0) entered = "host";
  const who: Identity | null = JSON.parse(identity);
  if (who) {
    require(libc.setgroups(BigInt(who.groups.length), new Uint8Array(new Uint32Array(who.groups).buffer)), "setgroups");
    require(libc.setgid(who.gid), "setgid");
    require(libc.setuid(who.uid), "setuid");
  }
  say(entered);
}

/** What came of a call. */
export interface Outcome {
  /** What it returned, -1 for a failure. */
  readonly value: number;
  /** 0, or why it failed. */
  readonly errno: number;
}

/** errno of this thread, and what calls come to by it. */
export class Errno {
  readonly #cell: Int32Array;

  constructor() {
    const cell = Deno.dlopen("libc.so.6", SYMBOLS).symbols.__errno_location();
    if (cell === null) throw new Error("this C library keeps no errno");
    this.#cell = new Int32Array(Deno.UnsafePointerView.getArrayBuffer(cell, 4));
  }

  /** What a call that has just returned `value` came to. */
  of(value: number): Outcome {
    const errno = this.#cell[0] as number;
    return { value, errno: value === -1 ? errno : 0 };
  }

  /**
   * Makes a call that does not wait; once more when it fails. It changed nothing then, and its errno may be somebody else's:
   * between its return and the look at errno this thread may have compiled a function, or waited for the collector.
   */
  outcomeOf(call: () => number): Outcome {
    const first = call();
    return first === -1 ? this.of(call()) : { value: first, errno: 0 };
  }
}

/** Writes a line to the parent. */
export function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

/** The requests of the parent, read on this very thread, until it closes its end. */
export function* requests(): Generator<string> {
  const buffer = new Uint8Array(65_536);
  let rest = "";
  for (let size = Deno.stdin.readSync(buffer); size !== null; size = Deno.stdin.readSync(buffer)) {
    const lines = (rest + new TextDecoder().decode(buffer.subarray(0, size))).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}
