/**
 * System V's calls on message queues as a program makes them, whoever carries them out: this host's kernel
 * (kernel_queues.ts), or a registry over TCP.
 *
 *   - A refusal is a SystemError with the errno's name as `code`, and its number as `errno`.
 *   - A call that waits goes on until its signal is aborted, which is EINTR here, or `timeoutMs` is over. Then it has not
 *     been carried out; what the carrier cannot know is an error with `outcome: "unknown"`.
 *   - `msgrcv` with `acknowledge: "later"` leaves the message in delivery until it is acknowledged, and if this program
 *     dies first it goes to another receiver. A kernel knows no such thing: there it is gone with its receipt.
 */
import type { QueueChange } from "../../ipc/queues/calls.ts";
import type { MsgctlResult } from "../../ipc/queues/msgctl.ts";
import type { RequestOptions } from "../../net/request.ts";
import type { QueueMessage } from "./queue_message.ts";

/** How a call is to be made. */
export interface CallOptions extends RequestOptions {
  /** IPC_NOWAIT; for `msgrcv` MSG_NOERROR, MSG_EXCEPT and MSG_COPY too. Default: 0. */
  readonly flags?: number;
}

/** How a `msgrcv` is to be made. */
export interface MsgrcvOptions extends CallOptions {
  /** When the message is acknowledged: on its receipt, or by `QueueMessage.acknowledge`. Default: `at once`. */
  readonly acknowledge?: "at once" | "later";
}

/** See the head of this file. */
export interface MessageQueues {
  /**
   * The id of the queue under `key`, made where `flags` say so.
   *
   * @throws SystemError ENOENT, EEXIST, EACCES, ENOSPC.
   */
  msgget(key: number, flags: number, options?: RequestOptions): Promise<number>;

  /**
   * Sends a message of `type`, at least 1.
   *
   * @throws SystemError EACCES, EINVAL; EAGAIN: no room, and IPC_NOWAIT; EIDRM: removed while it waited. TimeoutError. The
   *   signal's reason.
   */
  msgsnd(id: number, type: number, data: Uint8Array, options?: CallOptions): Promise<void>;

  /**
   * Receives a message of up to `size` bytes; `type` 0: the first; above: the first of that type; below: the first of the
   * least type up to its absolute value.
   *
   * @throws SystemError EACCES, EINVAL, E2BIG; ENOMSG: none, and IPC_NOWAIT; EIDRM: removed while it waited. TimeoutError.
   *   The signal's reason.
   */
  msgrcv(id: number, size: number, type: number, options?: MsgrcvOptions): Promise<QueueMessage>;

  /**
   * IPC_STAT, IPC_SET, IPC_RMID, IPC_INFO, MSG_STAT, MSG_STAT_ANY, MSG_INFO.
   *
   * @param change what IPC_SET changes.
   * @throws SystemError EACCES, EINVAL, EPERM, EFAULT.
   */
  msgctl(id: number, command: number, change?: QueueChange, options?: RequestOptions): Promise<MsgctlResult>;
}
