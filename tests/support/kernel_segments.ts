/**
 * This host's kernel as an oracle for System V shared memory: long-lived processes, each with a user of its own, that carry
 * out the calls they are sent; and the program they run.
 *
 *   - Requests and replies are lines of JSON; a call takes tens of microseconds.
 *   - As root the processes share an IPC namespace of their own: nobody else's segments are there, its limits can be set,
 *     and it goes with its last process, whatever happened.
 *   - The child reads and calls on its one thread, since a namespace belongs to a thread.
 *   - Told of a config server, the same process makes calls on the cluster too (cluster_calls.ts): so the two sides have one
 *     pid.
 */
import { fail } from "@std/assert";
import type { ClusterCall, ClusterReply } from "./cluster_calls.ts";

/** Who a process is to be. */
export interface Identity {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
}

/** A call; sizes and addresses as decimal texts, since they may have 64 bits. */
export type KernelCall =
  | { readonly call: "shmget"; readonly key: number; readonly size: string; readonly flags: number }
  | { readonly call: "shmat"; readonly id: number; readonly flags: number }
  | { readonly call: "shmdt"; readonly address: string }
  | {
    readonly call: "shmctl";
    readonly id: number;
    readonly command: number;
    readonly ownership?: { readonly uid: number; readonly gid: number; readonly mode: number } | undefined;
  }
  /** IPC_STAT of many at once. */
  | { readonly call: "stats"; readonly ids: readonly number[] }
  | { readonly call: "detachAll" }
  | { readonly call: "ftok"; readonly path: string; readonly id: number }
  /** RLIMIT_MEMLOCK, in bytes. */
  | { readonly call: "memlock"; readonly size: number }
  | { readonly call: "sysctl"; readonly name: string; readonly value: string };

/** What a process is asked: a call on the kernel, or one on the cluster. */
type Asked = KernelCall | { readonly onCluster: ClusterCall };

/** The kernel's `struct shmid_ds`. */
export interface KernelStatus {
  readonly key: number;
  readonly uid: number;
  readonly gid: number;
  readonly cuid: number;
  readonly cgid: number;
  readonly mode: number;
  readonly size: number;
  readonly atime: number;
  readonly dtime: number;
  readonly ctime: number;
  readonly cpid: number;
  readonly lpid: number;
  readonly nattch: number;
}

/** What came of a call. */
export interface KernelReply {
  /** What it returned, -1 for a failure. */
  readonly value: number;
  /** 0, or why it failed. */
  readonly errno: number;
  /** Of a `shmat`. */
  readonly address?: string;
  /** Of IPC_STAT, SHM_STAT, SHM_STAT_ANY. */
  readonly status?: KernelStatus;
  /** Of IPC_INFO and SHM_INFO: the first words of what is told. */
  readonly info?: readonly string[];
  /** Of `stats`; null for an id that is not there. */
  readonly statuses?: readonly (KernelStatus | null)[];
}

const IPC_SET = 1;
const STATUS_COMMANDS = [2, 13, 15];
/** IPC_INFO: shmmax, shmmin, shmmni, shmseg, shmall. SHM_INFO: used_ids, shm_tot. */
const INFO_WORD_COUNTS = new Map([[3, 5], [14, 2]]);
const INFO_SIZE = 256;
const CLONE_NEWIPC = 0x0800_0000;
const RLIMIT_MEMLOCK = 8;

/** A process that makes calls. */
export class KernelCaller implements AsyncDisposable {
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
   * Starts one.
   *
   * @param identity undefined: as who runs the tests.
   * @param namespace `new` for a namespace of its own, the path of another's, or `host`.
   * @param config `host:port` of the config server whose cluster it is to connect to; none unless told.
   * @returns the process and the path of its namespace; `host` where a new one was not to be had.
   */
  static async start(
    identity?: Identity,
    namespace = "host",
    config = "",
  ): Promise<{ caller: KernelCaller; namespace: string }> {
    const self = new URL(import.meta.url).pathname;
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", self, namespace, JSON.stringify(identity ?? null), config],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const caller = new KernelCaller(child);
    return { caller, namespace: await caller.#line() };
  }

  async #line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    return done ? fail(`process ${this.pid} has ended`) : value;
  }

  /** Has a call made on the kernel. */
  async make(call: KernelCall): Promise<KernelReply> {
    return await this.#ask(call) as KernelReply;
  }

  /** Has a call made on the cluster it is connected to. */
  async makeOnCluster(call: ClusterCall): Promise<ClusterReply> {
    return await this.#ask({ onCluster: call }) as ClusterReply;
  }

  async #ask(asked: Asked): Promise<unknown> {
    await this.#input.write(new TextEncoder().encode(`${JSON.stringify(asked)}\n`));
    return JSON.parse(await this.#line());
  }

  /** Kills it with SIGKILL and waits for its end. */
  async kill(): Promise<void> {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#input.abort().catch(() => {});
    await this.#lines.return?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
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

// ---- the program

const SYMBOLS = {
  __errno_location: { parameters: [], result: "pointer" },
  shmget: { parameters: ["i32", "usize", "i32"], result: "i32" },
  shmat: { parameters: ["i32", "usize", "i32"], result: "u64" },
  /** For errno: making a BigInt of a 64-bit result may start a collection, whose threads leave an errno of their own. */
  shmatFailing: { name: "shmat", parameters: ["i32", "usize", "i32"], result: "i32" },
  shmdt: { parameters: ["usize"], result: "i32" },
  shmctl: { parameters: ["i32", "i32", "buffer"], result: "i32" },
  ftok: { parameters: ["buffer", "i32"], result: "i32" },
  open: { parameters: ["buffer", "i32"], result: "i32" },
  unshare: { parameters: ["i32"], result: "i32" },
  setns: { parameters: ["i32", "i32"], result: "i32" },
  setgroups: { parameters: ["usize", "buffer"], result: "i32" },
  setgid: { parameters: ["u32"], result: "i32" },
  setuid: { parameters: ["u32"], result: "i32" },
  getrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

type Libc = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** The child's side: its C library, and what it has attached. */
class Kernel {
  readonly #libc: Libc = Deno.dlopen("libc.so.6", SYMBOLS).symbols;
  readonly #errno: Int32Array;
  readonly #attached = new Set<bigint>();

  constructor() {
    const cell = this.#libc.__errno_location();
    if (cell === null) throw new Error("this C library keeps no errno");
    this.#errno = new Int32Array(Deno.UnsafePointerView.getArrayBuffer(cell, 4));
  }

  /** Goes into a namespace. @returns how others get there. */
  enter(namespace: string): string {
    const own = `/proc/${Deno.readLinkSync("/proc/thread-self")}/ns/ipc`;
    if (namespace === "host") return "host";
    if (namespace === "new") return this.#libc.unshare(CLONE_NEWIPC) === 0 ? own : "host";
    const fd = this.#libc.open(text(namespace), 0);
    this.#require(this.#libc.setns(fd, CLONE_NEWIPC), "setns");
    return own;
  }

  become({ uid, gid, groups }: Identity): void {
    const list = new Uint8Array(new Uint32Array(groups).buffer);
    this.#require(this.#libc.setgroups(BigInt(groups.length), list), "setgroups");
    this.#require(this.#libc.setgid(gid), "setgid");
    this.#require(this.#libc.setuid(uid), "setuid");
  }

  #require(result: number, call: string): void {
    if (result !== 0) throw new Error(`${call}: errno ${this.#errno[0]}`);
  }

  make(request: KernelCall): KernelReply {
    switch (request.call) {
      case "shmget":
        return this.#reply(() => this.#libc.shmget(request.key | 0, BigInt(request.size), request.flags));
      case "shmat": {
        const address = BigInt.asIntN(64, this.#libc.shmat(request.id, 0n, request.flags));
        if (address === -1n) return this.#reply(() => this.#libc.shmatFailing(request.id, 0n, request.flags));
        this.#attached.add(address);
        return { value: 0, errno: 0, address: `${address}` };
      }
      case "shmdt":
        this.#attached.delete(BigInt(request.address));
        return this.#reply(() => this.#libc.shmdt(BigInt(request.address)));
      case "shmctl":
        return this.#control(request);
      case "stats":
        return {
          value: 0,
          errno: 0,
          statuses: request.ids.map((id) => this.#control({ id, command: 2 }).status ?? null),
        };
      case "detachAll":
        for (const address of this.#attached) this.#libc.shmdt(address);
        this.#attached.clear();
        return { value: 0, errno: 0 };
      case "ftok":
        return this.#reply(() => this.#libc.ftok(text(request.path), request.id));
      case "memlock": {
        const limits = new BigUint64Array(2);
        this.#require(this.#libc.getrlimit(RLIMIT_MEMLOCK, new Uint8Array(limits.buffer)), "getrlimit");
        limits[0] = BigInt(request.size);
        return this.#reply(() => this.#libc.setrlimit(RLIMIT_MEMLOCK, new Uint8Array(limits.buffer)));
      }
      case "sysctl":
        Deno.writeTextFileSync(`/proc/sys/kernel/${request.name}`, request.value);
        return { value: 0, errno: 0 };
    }
  }

  #control({ id, command, ownership }: Omit<Extract<KernelCall, { call: "shmctl" }>, "call">): KernelReply {
    const data = new Uint8Array(INFO_SIZE);
    const view = new DataView(data.buffer);
    if (command === IPC_SET && ownership) {
      view.setUint32(4, ownership.uid, true);
      view.setUint32(8, ownership.gid, true);
      view.setUint32(20, ownership.mode, true);
    }
    const reply = this.#reply(() => this.#libc.shmctl(id, command, data));
    if (reply.errno !== 0) return reply;
    if (STATUS_COMMANDS.includes(command)) return { ...reply, status: statusIn(view) };
    const wordCount = INFO_WORD_COUNTS.get(command);
    if (wordCount === undefined) return reply;
    const words = Array.from({ length: wordCount }, (_, index) => view.getBigUint64(8 * index, true));
    return { ...reply, info: words.map(String) };
  }

  /**
   * Makes a call; once more when it fails. It changed nothing then, and its errno may be somebody else's: between its return
   * and the look at errno this thread may have compiled a function, or waited for the collector.
   */
  #reply(call: () => number): KernelReply {
    const first = call();
    if (first !== -1) return { value: first, errno: 0 };
    const value = call();
    const errno = this.#errno[0] as number;
    return { value, errno: value === -1 ? errno : 0 };
  }
}

function text(value: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${value}\0`);
}

/** Linux's 64-bit `struct shmid_ds`. */
function statusIn(view: DataView): KernelStatus {
  const word = (offset: number): number => view.getUint32(offset, true);
  const long = (offset: number): number => Number(view.getBigUint64(offset, true));
  return {
    key: word(0),
    uid: word(4),
    gid: word(8),
    cuid: word(12),
    cgid: word(16),
    mode: word(20),
    size: long(48),
    atime: long(56),
    dtime: long(64),
    ctime: long(72),
    cpid: word(80),
    lpid: word(84),
    nattch: long(88),
  };
}

async function main([namespace = "host", identity = "null", config = ""]: readonly string[]): Promise<void> {
  const say = (line: string): void => {
    Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
  };
  const kernel = new Kernel();
  const entered = kernel.enter(namespace);
  const who: Identity | null = JSON.parse(identity);
  // loaded while whoever started this may still read it
  const loaded = config === "" ? undefined : await import("./cluster_calls.ts");
  if (who) kernel.become(who);
  const cluster = await loaded?.ClusterCalls.connect(config);
  say(entered);
  const buffer = new Uint8Array(65_536);
  let rest = "";
  for (let size = Deno.stdin.readSync(buffer); size !== null; size = Deno.stdin.readSync(buffer)) {
    const lines = (rest + new TextDecoder().decode(buffer.subarray(0, size))).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const asked: Asked = JSON.parse(line);
      say(JSON.stringify("onCluster" in asked ? await cluster?.make(asked.onCluster) : kernel.make(asked)));
    }
  }
}

if (import.meta.main) await main(Deno.args);
