/**
 * This host's own message queues: the calls of the kernel that C programs make, on the same queues.
 *
 *   - lib/sys says how a call waits without blocking the event loop, and in whose order.
 *   - There is no delivery but receipt: a message is gone from the kernel when it has arrived here.
 */
import { TimeoutError } from "../../base/errors.ts";
import { IPC_NOWAIT, IPC_STAT } from "../../ipc/common/flags.ts";
import { refusal } from "../../ipc/common/refusal.ts";
import type { QueueChange } from "../../ipc/queues/calls.ts";
import { MSG_INFO } from "../../ipc/queues/flags.ts";
import type { MsgctlResult } from "../../ipc/queues/msgctl.ts";
import type { RequestOptions } from "../../net/request.ts";
import { controlQueue, getQueue, receiveNow, sendNow, waitToReceive, waitToSend } from "../../sys/message_queues.ts";
import type { KernelMessage } from "../../sys/message_queues.ts";
import type { CallOptions, MessageQueues, MsgrcvOptions } from "./message_queues.ts";
import { QueueMessage } from "./queue_message.ts";
import { Queues } from "./queues.ts";

/** See the head of this file. */
export class KernelQueues implements MessageQueues {
  /** As {@linkcode MessageQueues.msgget}; it is done at once. */
  // deno-lint-ignore require-await -- what it throws is to come by the promise
  async msgget(key: number, flags: number): Promise<number> {
    return getQueue(key, flags);
  }

  /** As {@linkcode MessageQueues.msgsnd}. */
  async msgsnd(id: number, type: number, data: Uint8Array, options: CallOptions = {}): Promise<void> {
    options.signal?.throwIfAborted();
    if (sendNow(id, type, data)) return;
    const what = `send ${data.length} bytes to queue ${id}`;
    if ((options.flags ?? 0) & IPC_NOWAIT) {
      throw refusal("msgsnd", "EAGAIN", what, "it is full; receive from it, or wait");
    }
    await untilTimeout(what, options, (signal) => waitToSend(id, type, data, signal));
  }

  /** As {@linkcode MessageQueues.msgrcv}; it is acknowledged by its receipt, whatever `acknowledge` says. */
  async msgrcv(id: number, size: number, type: number, options: MsgrcvOptions = {}): Promise<QueueMessage> {
    const flags = options.flags ?? 0;
    options.signal?.throwIfAborted();
    const found = receiveNow(id, size, type, flags);
    if (found) return messageOf(found);
    const what = `receive from queue ${id}`;
    if (flags & IPC_NOWAIT) throw refusal("msgrcv", "ENOMSG", what, "it has no such message; send one, or wait");
    return messageOf(await untilTimeout(what, options, (signal) => waitToReceive(id, size, type, flags, signal)));
  }

  /** As {@linkcode MessageQueues.msgctl}; it is done at once. */
  // deno-lint-ignore require-await -- what it throws is to come by the promise
  async msgctl(id: number, command: number, change?: QueueChange): Promise<MsgctlResult> {
    const { value, status, info } = controlQueue(id, command, change);
    if (status) return { value, status: { ...status, id: command === IPC_STAT ? id : value } };
    if (!info) return { value };
    const { msgmax, msgmnb, msgmni, ...usage } = info;
    const limits = { msgmax, msgmnb, msgmni };
    return command === MSG_INFO ? { value, limits, usage } : { value, limits };
  }
}

function messageOf({ type, data }: KernelMessage): QueueMessage {
  return new QueueMessage(type, data, 1);
}

/** Runs a call that waits until the options' signal or their time is over. */
async function untilTimeout<T>(
  what: string,
  { signal, timeoutMs }: RequestOptions,
  run: (signal?: AbortSignal) => Promise<T>,
): Promise<T> {
  if (timeoutMs === undefined) return await run(signal);
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new TimeoutError(`cannot ${what}: not within ${timeoutMs} ms`)), timeoutMs);
  try {
    return await run(signal ? AbortSignal.any([signal, late.signal]) : late.signal);
  } finally {
    clearTimeout(timer);
  }
}

/** The message queues of this host's kernel, for any program here that knows their keys. */
export function hostQueues(): Queues {
  return new Queues(new KernelQueues());
}
