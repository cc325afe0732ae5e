/** One queue without its messages: a key, an owner, a mode and a history; and one message. */
import type { Ownership } from "../common/permissions.ts";

/** What the table keeps of a queue. Times are in seconds since 1970; 0: never. Pids are 0 where nobody did it yet. */
export interface Queue extends Ownership {
  /** What the calls name it by. */
  readonly id: number;
  /** What it is found by; IPC_PRIVATE where it cannot be found. */
  readonly key: number;
  /** Bytes of text that it may hold, and just as many messages. */
  readonly qbytes: number;
  /** Time of the last `msgsnd`. */
  readonly stime: number;
  /** Time of the last `msgrcv`. */
  readonly rtime: number;
  /** Time it was made, or changed by IPC_SET. */
  readonly ctime: number;
  /** Process of the last `msgsnd`. */
  readonly lspid: number;
  /** Process of the last `msgrcv`. */
  readonly lrpid: number;
}

/** What IPC_STAT tells. */
export interface QueueStatus extends Queue {
  /** Bytes of text that wait in it. */
  readonly cbytes: number;
  /** Messages that wait in it. */
  readonly qnum: number;
}

/** A message; never altered, and its bytes are not to be altered by whoever gave or got them. */
export interface Message {
  /** The messages of a table in the order they were sent; never used twice. */
  readonly number: number;
  /** The queue it was sent to. */
  readonly queueId: number;
  /** At least 1. */
  readonly type: number;
  /** Its text; may be empty. */
  readonly data: Uint8Array<ArrayBuffer>;
  /** How often it was given to a receiver. */
  readonly deliveryCount: number;
}
