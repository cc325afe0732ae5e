/** What System V's calls on segments take and return. */
import type { Range } from "./allocator.ts";

/** What `shmget` came to. */
export type ShmgetResult =
  /** It was there. */
  | { readonly outcome: "found"; readonly id: number }
  /** It was made, and is pending until `zero` was zeroed and `commit` called. */
  | { readonly outcome: "created"; readonly id: number; readonly zero: Range }
  /** Somebody else is making one under this key: wait for its commit or abort, and call again. */
  | { readonly outcome: "pending"; readonly id: number };

/** What `shmat` gives. */
export interface Attached {
  /** What `shmdt` names it by. */
  readonly attachment: number;
  /** Address of the segment's first byte. */
  readonly base: number;
  /** Bytes that may be touched: the size asked for, not the range. */
  readonly size: number;
  /** Whether they may be written. */
  readonly isWritable: boolean;
}

/** What IPC_SET changes. */
export interface NewOwnership {
  /** Owner's user id. */
  readonly uid: number;
  /** Owner's group id. */
  readonly gid: number;
  /** Only its last nine bits count. */
  readonly mode: number;
}

/** What SHM_INFO tells. */
export interface Usage {
  /** How many segments there are. */
  readonly segmentCount: number;
  /** Pages of all of them, by their sizes. */
  readonly pageCount: number;
}
