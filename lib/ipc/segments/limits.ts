/** The limits on segments. Each is settable, and IPC_INFO tells them. */

/** Bytes per page: what SHMALL and the memory lock count in, whatever the blocks of the space are. */
export const PAGE_SIZE = 4096;

/** What may be had; the names are those of `ipcs -l` and of /proc/sys/kernel. */
export interface Limits {
  /** SHMMAX: bytes of one segment. */
  readonly shmmax: bigint;
  /** SHMMIN: the least bytes of a new one. */
  readonly shmmin: number;
  /** SHMMNI: how many segments there may be; no more than 32,768 count. */
  readonly shmmni: number;
  /** SHMALL: pages of all segments together. */
  readonly shmall: bigint;
  /** RLIMIT_MEMLOCK: bytes that one user may lock; 0: nobody but uid 0 may. */
  readonly memlock: number;
}

/** Linux's defaults. (SHMMAX and SHMALL are 2^64 - 2^24 - 1: no limit, and no overflow when somebody adds to it.) */
export const DEFAULT_LIMITS: Limits = {
  shmmax: 2n ** 64n - 2n ** 24n - 1n,
  shmmin: 1,
  shmmni: 4096,
  shmall: 2n ** 64n - 2n ** 24n - 1n,
  memlock: 8 * 2 ** 20,
};

/** How many pages `size` bytes take. */
export function pageCount(size: number): number {
  return Math.ceil(size / PAGE_SIZE);
}
