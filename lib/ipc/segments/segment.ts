/** One segment: a range of the space with a key, an owner, a mode and a history. */
import type { Range } from "./allocator.ts";
import type { Ownership } from "../common/permissions.ts";

/** What the table keeps of a segment. Times are in seconds since 1970; 0: never. Pids are 0 where nobody did it yet. */
export interface Segment extends Ownership {
  /** What the calls name it by. */
  readonly id: number;
  /** What it is found by; IPC_PRIVATE where it cannot be found. */
  readonly key: number;
  /** Bytes, as asked for. */
  readonly size: number;
  /** Where it lies: `size` bytes and what is left of the last block. */
  readonly range: Range;
  /** Permissions, SHM_DEST and SHM_LOCKED. */
  readonly mode: number;
  /** Time of the last attach. */
  readonly atime: number;
  /** Time of the last detach. */
  readonly dtime: number;
  /** Time it was made, or changed by IPC_SET. Linux does not count locking and removing as changes. */
  readonly ctime: number;
  /** Process that made it. */
  readonly cpid: number;
  /** Process of the last attach or detach. */
  readonly lpid: number;
  /** The user who is charged for the lock; null: it is not locked. */
  readonly lockerUid: number | null;
  /** Whether it was zeroed and may be seen. */
  readonly isReady: boolean;
}

/** What IPC_STAT tells. */
export interface SegmentStatus extends Omit<Segment, "lockerUid" | "isReady"> {
  /** How many attachments there are. */
  readonly nattch: number;
}

/** `segment` with what is for the table only left out. */
export function statusOf({ lockerUid: _, isReady: __, ...segment }: Segment, nattch: number): SegmentStatus {
  return { ...segment, nattch };
}
