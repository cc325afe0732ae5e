/**
 * One message queue, for who does not think in System V's flags.
 *
 *   - Disposing of it ends the calls that wait through it, with an AbortError; the queue stays. `remove` ends the queue.
 *   - Going through it with `for await` receives one message after the other, for ever: each is acknowledged when the loop
 *     asks for the next or ends. A program that dies in the loop leaves its message to another receiver, where the carrier
 *     knows how (see message_queues.ts). When the queue is removed, the loop ends.
 */
import { SystemError } from "../../base/errors.ts";
import { IPC_NOWAIT, IPC_RMID, IPC_STAT } from "../../ipc/common/flags.ts";
import { MSG_EXCEPT, MSG_NOERROR } from "../../ipc/queues/flags.ts";
import type { QueueStatus } from "../../ipc/queues/queue.ts";
import type { RequestOptions } from "../../net/request.ts";
import type { MessageQueues, MsgrcvOptions } from "./message_queues.ts";
import type { QueueMessage } from "./queue_message.ts";

/** How to send. */
export interface SendOptions extends RequestOptions {
  /** Whether to wait for room. Default: true. */
  readonly wait?: boolean;
}

/** What to receive, and how. */
export interface ReceiveOptions extends Omit<MsgrcvOptions, "flags"> {
  /** 0: any; above: that type; below: the least type up to its absolute value. Default: 0. */
  readonly type?: number;
  /** Whether it is to be any type but `type`. Default: false. */
  readonly isOtherType?: boolean;
  /** Whether to wait for a message. Default: true. */
  readonly wait?: boolean;
  /** Bytes that the text may have. Default: any. */
  readonly size?: number;
  /** Whether a longer text is to be cut. Default: false, it is refused with E2BIG. */
  readonly isCut?: boolean;
}

/** Any message: the kernel refuses more. */
const SIZE_MAX = 2 ** 31 - 1;

/** See the head of this file. */
export class Queue implements AsyncDisposable, AsyncIterable<QueueMessage> {
  /** What the calls name it by. */
  readonly id: number;
  readonly #calls: MessageQueues;
  readonly #disposing = new AbortController();

  /** Use `Queues.create` and `Queues.open`. */
  constructor(calls: MessageQueues, id: number) {
    this.#calls = calls;
    this.id = id;
  }

  /**
   * Sends `data`, a text as UTF-8, as a message of `type`, at least 1.
   *
   * @returns whether it was sent; false only without `wait`, when there is no room.
   * @throws SystemError EACCES, EINVAL; EIDRM: the queue was removed. TimeoutError. The signal's reason.
   */
  async send(type: number, data: Uint8Array | string, options: SendOptions = {}): Promise<boolean> {
    const { wait = true, ...request } = options;
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    const sent = this.#calls.msgsnd(this.id, type, bytes, { ...this.#request(request), flags: wait ? 0 : IPC_NOWAIT });
    return await unless("EAGAIN", sent.then(() => true)) ?? false;
  }

  /**
   * Receives a message.
   *
   * @returns undefined only without `wait`, when there is none.
   * @throws SystemError EACCES, E2BIG; EIDRM: the queue was removed. TimeoutError. The signal's reason.
   */
  receive(options: ReceiveOptions & { readonly wait: false }): Promise<QueueMessage | undefined>;
  /** The same; it waits. */
  receive(options?: ReceiveOptions): Promise<QueueMessage>;
  async receive(options: ReceiveOptions = {}): Promise<QueueMessage | undefined> {
    const { type = 0, isOtherType = false, wait = true, size = SIZE_MAX, isCut = false, ...request } = options;
    const flags = (wait ? 0 : IPC_NOWAIT) | (isOtherType ? MSG_EXCEPT : 0) | (isCut ? MSG_NOERROR : 0);
    const received = this.#calls.msgrcv(this.id, size, type, { ...this.#request(request), flags });
    return await unless("ENOMSG", received);
  }

  #request<Options extends RequestOptions>(options: Options): Options & { readonly signal: AbortSignal } {
    const { signal: disposing } = this.#disposing;
    const { signal } = options;
    return { ...options, signal: signal ? AbortSignal.any([signal, disposing]) : disposing };
  }

  /** Receives for ever; see the head of this file. */
  async *[Symbol.asyncIterator](): AsyncGenerator<QueueMessage, void> {
    for (;;) {
      const message = await unless("EIDRM", unless("EINVAL", this.receive({ acknowledge: "later" })));
      if (!message) return;
      try {
        yield message;
      } finally {
        await message.acknowledge();
      }
    }
  }

  /** What IPC_STAT tells. @throws SystemError EACCES, EINVAL. */
  async status(options?: RequestOptions): Promise<QueueStatus> {
    const { status } = await this.#calls.msgctl(this.id, IPC_STAT, undefined, options);
    if (status) return status;
    throw new SystemError("msgctl", "EPROTO", `the status of queue ${this.id} was asked for, and none came`);
  }

  /** Removes the queue with all its messages; whoever waits there gets EIDRM. @throws SystemError EPERM, EINVAL. */
  async remove(options?: RequestOptions): Promise<void> {
    await this.#calls.msgctl(this.id, IPC_RMID, undefined, options);
  }

  /** Ends the calls that wait through this object; the queue stays. */
  // deno-lint-ignore require-await -- what has to be async is only its form
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposing.abort();
  }
}

/** What was asked for; undefined where it was refused with `code`. */
async function unless<T>(code: string, asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof SystemError && error.code === code) return undefined;
    throw error;
  }
}
