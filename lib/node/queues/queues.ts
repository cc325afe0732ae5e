/** Message queues for who does not think in System V's flags: made, opened and listed by name of what is wanted. */
import { IPC_CREAT, IPC_EXCL, IPC_PRIVATE } from "../../ipc/common/flags.ts";
import { MSG_INFO, MSG_STAT_ANY } from "../../ipc/queues/flags.ts";
import type { QueueStatus } from "../../ipc/queues/queue.ts";
import type { RequestOptions } from "../../net/request.ts";
import { listByIndex } from "../common/list_by_index.ts";
import type { MessageQueues } from "./message_queues.ts";
import { Queue } from "./queue.ts";

/** A new queue. */
export interface NewQueue {
  /** What others find it by. Default: nothing, it is found by its id only. */
  readonly key?: number;
  /** Who may do what, as for files. Default: 0o600, its owner only. */
  readonly mode?: number;
}

const MODE = 0o600;

/** See the head of this file. */
export class Queues {
  /** System V's own calls, on the same queues. */
  readonly calls: MessageQueues;

  /** Those of whoever carries out `calls`. */
  constructor(calls: MessageQueues) {
    this.calls = calls;
  }

  /** Makes a queue. @throws SystemError EEXIST: the key is taken; ENOSPC. */
  async create({ key = IPC_PRIVATE, mode = MODE }: NewQueue = {}, options?: RequestOptions): Promise<Queue> {
    return new Queue(this.calls, await this.calls.msgget(key, IPC_CREAT | IPC_EXCL | mode, options));
  }

  /** The queue under `key`. @throws SystemError ENOENT: there is none; EACCES. */
  async open(key: number, options?: RequestOptions): Promise<Queue> {
    return new Queue(this.calls, await this.calls.msgget(key, 0, options));
  }

  /** All queues, by their indexes, as everybody may see them. */
  async list(options?: RequestOptions): Promise<QueueStatus[]> {
    const { value: last } = await this.calls.msgctl(0, MSG_INFO, undefined, options);
    return await listByIndex(last, async (index) => {
      return (await this.calls.msgctl(index, MSG_STAT_ANY, undefined, options)).status;
    });
  }
}
