/** What System V's calls on queues take and return, with waiting as data. */
import type { SystemError } from "../../base/errors.ts";

/** A `msgsnd`. */
export interface SendRequest {
  /** Of the queue. */
  readonly id: number;
  /** 1 to {@linkcode TYPE_MAX}. */
  readonly type: number;
  /** The text; the table keeps it, so it must not be altered any more. */
  readonly data: Uint8Array<ArrayBuffer>;
  /** IPC_NOWAIT. */
  readonly flags: number;
}

/** A `msgrcv`. */
export interface ReceiveRequest {
  /** Of the queue. */
  readonly id: number;
  /** Bytes of text that the receiver has room for. */
  readonly size: number;
  /** 0: the first; above: the first of that type; below: the first of the least type up to its absolute value. */
  readonly type: number;
  /** IPC_NOWAIT, MSG_NOERROR, MSG_EXCEPT, MSG_COPY. */
  readonly flags: number;
  /** Whether the message is to be in delivery until it is acknowledged. Default: false, it is acknowledged at once. */
  readonly isHeld?: boolean;
}

/** A message as a receiver gets it. */
export interface Received {
  /** What it is acknowledged by, and given back. */
  readonly number: number;
  /** Its type. */
  readonly type: number;
  /** Its text, cut where MSG_NOERROR says so. Not to be altered. */
  readonly data: Uint8Array<ArrayBuffer>;
  /** How often it was given out, this time included; more than 1: somebody may have worked on it before. */
  readonly deliveryCount: number;
}

/** A call that waits: its end is in {@linkcode Completion} with the same ticket. */
export interface Blocked {
  /** Always so. */
  readonly outcome: "blocked";
  /** Never used twice in one table's life. */
  readonly ticket: number;
}

/** What `msgsnd` came to. */
export type SendOutcome = { readonly outcome: "sent" } | Blocked;

/** What `msgrcv` came to. */
export type ReceiveOutcome = { readonly outcome: "received"; readonly message: Received } | Blocked;

/** How the wait of a call ended. */
export type CallEnd =
  | { readonly outcome: "sent" }
  | { readonly outcome: "received"; readonly message: Received }
  /** EIDRM: the queue was removed; EACCES: it was forbidden meanwhile; E2BIG: what came is too long. */
  | { readonly outcome: "refused"; readonly error: SystemError };

/** What a call that had to wait came to. */
export type Completion = CallEnd & {
  /** Of the call. */
  readonly ticket: number;
  /** The session that made it. */
  readonly session: string;
};

/** What IPC_SET changes. */
export interface QueueChange {
  /** Owner's user id. */
  readonly uid: number;
  /** Owner's group id. */
  readonly gid: number;
  /** Only its last nine bits count. */
  readonly mode: number;
  /** Bytes of text that it may hold, and just as many messages. */
  readonly qbytes: number;
}

/** What MSG_INFO tells. */
export interface QueueUsage {
  /** How many queues there are. */
  readonly queueCount: number;
  /** Messages that wait in all of them. */
  readonly messageCount: number;
  /** Bytes of all their texts. */
  readonly size: number;
}
