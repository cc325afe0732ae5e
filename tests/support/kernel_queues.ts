/**
 * This host's kernel as an oracle for message queues: a process that carries out the calls it is sent (kernel_process.ts),
 * and its program.
 *
 *   - A call that waits blocks the whole process, as it would a C program; SIGUSR1 interrupts it.
 *   - Started with the argument `carrier` the process makes the same calls through KernelQueues instead, and `abort` is its
 *     signal.
 */
import { ERRNO } from "../../lib/base/errno.ts";
import { SystemError } from "../../lib/base/errors.ts";
import type { QueueChange } from "../../lib/ipc/queues/calls.ts";
import type { MsgctlResult } from "../../lib/ipc/queues/msgctl.ts";
import { KernelQueues } from "../../lib/node/queues/kernel_queues.ts";
import { enter, Errno, KernelProcess, requests, say } from "./kernel_process.ts";
import type { Identity, Outcome } from "./kernel_process.ts";

/** A call; texts are ASCII. */
export type KernelCall =
  | { readonly call: "msgget"; readonly key: number; readonly flags: number }
  | {
    readonly call: "msgsnd";
    readonly id: number;
    readonly type: number;
    readonly text: string;
    readonly flags: number;
  }
  | {
    readonly call: "msgrcv";
    readonly id: number;
    readonly size: number;
    readonly type: number;
    readonly flags: number;
  }
  | {
    readonly call: "msgctl";
    readonly id: number;
    readonly command: number;
    readonly change?: QueueChange | undefined;
  }
  /** IPC_STAT and all messages, by MSG_COPY, of each queue. */
  | { readonly call: "look"; readonly ids: readonly number[] }
  | { readonly call: "sysctl"; readonly name: string; readonly value: number }
  /** Ends the call that waits; of the carrier only. */
  | { readonly call: "abort" };

/** A message. */
export interface KernelMessage {
  readonly type: number;
  readonly text: string;
}

/** What `look` sees of a queue. */
export interface Seen {
  readonly status: KernelStatus;
  readonly messages: readonly KernelMessage[];
}

/** The kernel's `struct msqid_ds`. */
export type KernelStatus = Readonly<
  Record<
    | "key"
    | "uid"
    | "gid"
    | "cuid"
    | "cgid"
    | "mode"
    | "stime"
    | "rtime"
    | "ctime"
    | "cbytes"
    | "qnum"
    | "qbytes"
    | "lspid"
    | "lrpid",
    number
  >
>;

/** What came of a call. */
export interface KernelReply extends Outcome {
  /** Of a `msgrcv`. */
  readonly message?: KernelMessage;
  /** Of IPC_STAT, MSG_STAT, MSG_STAT_ANY. */
  readonly status?: KernelStatus;
  /** Of IPC_INFO: msgmax, msgmnb, msgmni; of MSG_INFO also how many queues, messages and bytes there are. */
  readonly info?: readonly number[];
  /** Of `look`; null for what cannot be seen. */
  readonly seen?: readonly (Seen | null)[];
}

/** A process that makes calls on queues. */
export type QueueCaller = KernelProcess<KernelCall, KernelReply>;

/** Starts one; see `KernelProcess.start`. */
export async function startQueueCaller(
  identity: Identity | undefined,
  namespace: string,
  kind: "kernel" | "carrier" = "kernel",
): Promise<{ caller: QueueCaller; namespace: string }> {
  const program = new URL(import.meta.url).pathname;
  return await KernelProcess.start<KernelCall, KernelReply>(program, identity, namespace, kind);
}

// ---- the program

const IPC_SET = 1;
const IPC_STAT = 2;
const IPC_NOWAIT = 0o4000;
const MSG_COPY = 0o40000;
const STATUS_COMMANDS = [2, 11, 13];
const IPC_INFO = 3;
const MSG_INFO = 12;
const DATA_SIZE = 256;
const TEXT_SIZE = 2 ** 17;

const SYMBOLS = {
  msgget: { parameters: ["i32", "i32"], result: "i32" },
  msgsnd: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
  msgrcv: { parameters: ["i32", "buffer", "usize", "i64", "i32"], result: "i32" },
  msgctl: { parameters: ["i32", "i32", "buffer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** The child's side: its C library. */
class Kernel {
  readonly #libc = Deno.dlopen("libc.so.6", SYMBOLS).symbols;
  readonly #errno = new Errno();
  readonly #text = new Uint8Array(new ArrayBuffer(8 + TEXT_SIZE));
  readonly #type = new BigInt64Array(this.#text.buffer, 0, 1);

  make(request: KernelCall): KernelReply {
    switch (request.call) {
      case "msgget":
        return this.#errno.outcomeOf(() => this.#libc.msgget(request.key | 0, request.flags));
      case "msgsnd":
        return this.#wait(request.flags, ERRNO.EAGAIN, (flags) => {
          this.#type[0] = BigInt(request.type);
          new TextEncoder().encodeInto(request.text, this.#text.subarray(8));
          return this.#libc.msgsnd(request.id, this.#text, BigInt(request.text.length), flags);
        });
      case "msgrcv":
        return this.#receive(request);
      case "msgctl":
        return this.#control(request);
      case "look":
        return { value: 0, errno: 0, seen: request.ids.map((id) => this.#look(id)) };
      case "sysctl":
        Deno.writeTextFileSync(`/proc/sys/kernel/${request.name}`, `${request.value}`);
        return { value: 0, errno: 0 };
      case "abort":
        throw new Error("that is the carrier's");
    }
  }

  #receive({ id, size, type, flags }: Omit<Extract<KernelCall, { call: "msgrcv" }>, "call">): KernelReply {
    const call = (flags: number): number =>
      this.#libc.msgrcv(id, this.#text, BigInt.asUintN(64, BigInt(size)), BigInt(type), flags);
    // MSG_COPY never waits, and without IPC_NOWAIT it is refused
    const reply = flags & MSG_COPY ? this.#errno.outcomeOf(() => call(flags)) : this.#wait(flags, ERRNO.ENOMSG, call);
    if (reply.errno !== 0) return reply;
    const text = new TextDecoder().decode(this.#text.subarray(8, 8 + reply.value));
    return { ...reply, message: { type: Number(this.#type[0]), text } };
  }

  #look(id: number): Seen | null {
    const { status } = this.#control({ id, command: IPC_STAT });
    if (!status) return null;
    const messages: KernelMessage[] = [];
    for (let index = 0; index < status.qnum; index++) {
      const { message } = this.#receive({ id, size: TEXT_SIZE, type: index, flags: MSG_COPY | IPC_NOWAIT });
      if (message) messages.push(message);
    }
    return { status, messages };
  }

  #control({ id, command, change }: Omit<Extract<KernelCall, { call: "msgctl" }>, "call">): KernelReply {
    const data = new Uint8Array(new ArrayBuffer(DATA_SIZE));
    const view = new DataView(data.buffer);
    if (change) {
      view.setUint32(4, change.uid, true);
      view.setUint32(8, change.gid, true);
      view.setUint32(20, change.mode, true);
      view.setBigUint64(88, BigInt(change.qbytes), true);
    }
    const pointer = command === IPC_SET && !change ? null : data;
    const reply = this.#errno.outcomeOf(() => this.#libc.msgctl(id, command, pointer));
    if (reply.errno !== 0) return reply;
    if (STATUS_COMMANDS.includes(command)) return { ...reply, status: statusIn(view) };
    const words = (indexes: readonly number[]): number[] => indexes.map((index) => view.getInt32(4 * index, true));
    if (command === IPC_INFO) return { ...reply, info: words([2, 3, 4]) };
    return command === MSG_INFO ? { ...reply, info: words([2, 3, 4, 0, 1, 6]) } : reply;
  }

  /** Makes a call, first without waiting; `none` is what it says then where it would wait. */
  #wait(flags: number, none: number, call: (flags: number) => number): KernelReply {
    const reply = this.#errno.outcomeOf(() => call(flags | IPC_NOWAIT));
    if (reply.errno !== none || flags & IPC_NOWAIT) return reply;
    return this.#errno.of(call(flags));
  }
}

/** Linux's 64-bit `struct msqid_ds`. */
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
    stime: long(48),
    rtime: long(56),
    ctime: long(64),
    cbytes: long(72),
    qnum: long(80),
    qbytes: long(88),
    lspid: word(96),
    lrpid: word(100),
  };
}

/** The same calls through KernelQueues. */
class Carrier {
  readonly #queues = new KernelQueues();
  #aborting = new AbortController();

  async make(request: KernelCall): Promise<KernelReply> {
    try {
      return { errno: 0, ...await this.#carryOut(request) };
    } catch (error) {
      if (error instanceof SystemError) return { value: -1, errno: error.errno ?? 0 };
      if (this.#aborting.signal.aborted && error === this.#aborting.signal.reason) {
        this.#aborting = new AbortController();
        return { value: -1, errno: ERRNO.EINTR };
      }
      throw error;
    }
  }

  async #carryOut(request: KernelCall): Promise<Omit<KernelReply, "errno">> {
    const { signal } = this.#aborting;
    switch (request.call) {
      case "msgget":
        return { value: await this.#queues.msgget(request.key, request.flags) };
      case "msgsnd": {
        const data = new TextEncoder().encode(request.text);
        await this.#queues.msgsnd(request.id, request.type, data, { flags: request.flags, signal });
        return { value: 0 };
      }
      case "msgrcv": {
        const { id, size, flags } = request;
        const { type, data, text } = await this.#queues.msgrcv(id, size, request.type, { flags, signal });
        return { value: data.length, message: { type, text } };
      }
      case "msgctl": {
        const result = await this.#queues.msgctl(request.id, request.command, request.change);
        const { value, status } = result;
        if (status) return { value, status: withoutId(status) };
        const info = infoOf(result);
        return info ? { value, info } : { value };
      }
      default:
        throw new Error("that is the kernel's");
    }
  }

  /** Ends the call that waits. */
  abort(): void {
    this.#aborting.abort();
  }
}

function withoutId<Status extends { readonly id: number }>({ id: _, ...status }: Status): Omit<Status, "id"> {
  return status;
}

/** What IPC_INFO and MSG_INFO told, as in {@linkcode KernelReply}. */
export function infoOf({ limits, usage }: MsgctlResult): number[] | undefined {
  if (!limits) return undefined;
  const { msgmax, msgmnb, msgmni } = limits;
  return [msgmax, msgmnb, msgmni, ...usage ? [usage.queueCount, usage.messageCount, usage.size] : []];
}

/** Replies come when a call ends; the parent makes one at a time, and may abort it. */
async function carry(): Promise<void> {
  const carrier = new Carrier();
  let rest = "";
  for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const request: KernelCall = JSON.parse(line);
      if (request.call === "abort") carrier.abort();
      else carrier.make(request).then((reply) => say(JSON.stringify(reply)));
    }
  }
}

if (import.meta.main) {
  Deno.addSignalListener("SIGUSR1", () => {});
  const kernel = new Kernel();
  enter(Deno.args);
  if (Deno.args[2] === "carrier") await carry();
  for (const line of requests()) say(JSON.stringify(kernel.make(JSON.parse(line))));
}
