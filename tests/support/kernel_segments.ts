/**
 * This host's kernel as an oracle for System V shared memory: long-lived processes, each with a user of its own, that carry
 * out the calls they are sent; and the program they run.
 *
 *   - Told of a config server, the same process makes calls on the cluster too (cluster_calls.ts): so the two sides have one
 *     pid.
 */
import type { ClusterCall, ClusterReply } from "./cluster_calls.ts";
import { enter, Errno, KernelProcess, requests, say } from "./kernel_process.ts";
import type { Identity, Outcome } from "./kernel_process.ts";

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
export interface KernelReply extends Outcome {
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
const RLIMIT_MEMLOCK = 8;

/** A process that makes calls. */
export class KernelCaller implements AsyncDisposable {
  readonly #process: KernelProcess<Asked, unknown>;

  private constructor(process: KernelProcess<Asked, unknown>) {
    this.#process = process;
  }

  /**
   * Starts one; see {@linkcode KernelProcess.start}.
   *
   * @param config `host:port` of the config server whose cluster it is to connect to; none unless told.
   */
  static async start(
    identity?: Identity,
    namespace = "host",
    config = "",
  ): Promise<{ caller: KernelCaller; namespace: string }> {
    const program = new URL(import.meta.url).pathname;
    const started = await KernelProcess.start<Asked, unknown>(program, identity, namespace, config);
    return { caller: new KernelCaller(started.caller), namespace: started.namespace };
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Whether it was killed. */
  get hasEnded(): boolean {
    return this.#process.hasEnded;
  }

  /** Has a call made on the kernel. */
  async make(call: KernelCall): Promise<KernelReply> {
    return await this.#process.make(call) as KernelReply;
  }

  /** Has a call made on the cluster it is connected to. */
  async makeOnCluster(call: ClusterCall): Promise<ClusterReply> {
    return await this.#process.make({ onCluster: call }) as ClusterReply;
  }

  /** Kills it with SIGKILL and waits for its end. */
  async kill(): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

// ---- the program

const SYMBOLS = {
  shmget: { parameters: ["i32", "usize", "i32"], result: "i32" },
  shmat: { parameters: ["i32", "usize", "i32"], result: "u64" },
  /** For errno: making a BigInt of a 64-bit result may start a collection, whose threads leave an errno of their own. */
  shmatFailing: { name: "shmat", parameters: ["i32", "usize", "i32"], result: "i32" },
  shmdt: { parameters: ["usize"], result: "i32" },
  shmctl: { parameters: ["i32", "i32", "buffer"], result: "i32" },
  ftok: { parameters: ["buffer", "i32"], result: "i32" },
  getrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

type Libc = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** The child's side: its C library, and what it has attached. */
class Kernel {
  readonly #libc: Libc = Deno.dlopen("libc.so.6", SYMBOLS).symbols;
  readonly #errno = new Errno();
  readonly #attached = new Set<bigint>();

  make(request: KernelCall): KernelReply {
    switch (request.call) {
      case "shmget":
        return this.#errno.outcomeOf(() => this.#libc.shmget(request.key | 0, BigInt(request.size), request.flags));
      case "shmat": {
        const address = BigInt.asIntN(64, this.#libc.shmat(request.id, 0n, request.flags));
        if (address === -1n) return this.#errno.outcomeOf(() => this.#libc.shmatFailing(request.id, 0n, request.flags));
        this.#attached.add(address);
        return { value: 0, errno: 0, address: `${address}` };
      }
      case "shmdt":
        this.#attached.delete(BigInt(request.address));
        return this.#errno.outcomeOf(() => this.#libc.shmdt(BigInt(request.address)));
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
        return this.#errno.outcomeOf(() => this.#libc.ftok(text(request.path), request.id));
      case "memlock": {
        const limits = new BigUint64Array(2);
        const bytes = new Uint8Array(limits.buffer);
        if (this.#libc.getrlimit(RLIMIT_MEMLOCK, bytes) !== 0) throw new Error("getrlimit failed");
        limits[0] = BigInt(request.size);
        return this.#errno.outcomeOf(() => this.#libc.setrlimit(RLIMIT_MEMLOCK, bytes));
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
    const reply = this.#errno.outcomeOf(() => this.#libc.shmctl(id, command, data));
    if (reply.errno !== 0) return reply;
    if (STATUS_COMMANDS.includes(command)) return { ...reply, status: statusIn(view) };
    const wordCount = INFO_WORD_COUNTS.get(command);
    if (wordCount === undefined) return reply;
    const words = Array.from({ length: wordCount }, (_, index) => view.getBigUint64(8 * index, true));
    return { ...reply, info: words.map(String) };
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

async function main(args: readonly string[]): Promise<void> {
  const [, , config = ""] = args;
  const kernel = new Kernel();
  // loaded while whoever started this may still read it
  const loaded = config === "" ? undefined : await import("./cluster_calls.ts");
  enter(args);
  const cluster = await loaded?.ClusterCalls.connect(config);
  for (const line of requests()) {
    const asked: Asked = JSON.parse(line);
    say(JSON.stringify("onCluster" in asked ? await cluster?.make(asked.onCluster) : kernel.make(asked)));
  }
}

if (import.meta.main) await main(Deno.args);
