/** The limits on message queues. Each is settable, and IPC_INFO tells them. */

/** What may be had; the names are those of `ipcs -l` and of /proc/sys/kernel. */
export interface Limits {
  /** MSGMAX: bytes of one message. */
  readonly msgmax: number;
  /** MSGMNB: `qbytes` of a new queue, and the most that IPC_SET may make it for anybody but uid 0. */
  readonly msgmnb: number;
  /** MSGMNI: how many queues there may be; no more than 32,768 count. */
  readonly msgmni: number;
}

/** Linux's defaults. */
export const DEFAULT_LIMITS: Limits = { msgmax: 8192, msgmnb: 16_384, msgmni: 32_000 };

/** The largest type. Linux's goes on to 2^63 - 1, a JavaScript number does not. */
export const TYPE_MAX = Number.MAX_SAFE_INTEGER;
/** The largest `qbytes` that IPC_SET takes: Linux reads it as an `int`. */
export const QBYTES_MAX = 2 ** 31 - 1;
