/** What ipcs, ipcmk and ipcrm work on: the segments of a cluster, or those of this host's kernel. */
import type { Limits } from "../../lib/ipc/segments/limits.ts";
import type { SegmentStatus } from "../../lib/ipc/segments/segment.ts";

/** A segment as the tools show it; `range` is where it lies in the space of a cluster. */
export type ListedSegment = Omit<SegmentStatus, "range"> & Partial<Pick<SegmentStatus, "range">>;

/** What all segments together take. A cluster does not know what of it lies in swap. */
export interface SegmentsUsage {
  /** How many there are. */
  readonly segmentCount: number;
  /** Pages of all of them, by their sizes. */
  readonly pageCount: number;
  /** Pages that are in memory. */
  readonly residentPageCount?: number;
  /** Pages that are in swap. */
  readonly swappedPageCount?: number;
}

/** See the head of this file. The calls that change something throw SystemError with the errno of System V's own. */
export interface Segments extends AsyncDisposable {
  /** All of them. */
  list(): Promise<readonly ListedSegment[]>;
  /** How many and how large they may be. */
  limits(): Promise<Omit<Limits, "memlock">>;
  /** What they take. */
  usage(): Promise<SegmentsUsage>;
  /** Makes one of `size` bytes, and returns its id; EEXIST when the key names one. */
  make(key: number, size: number, mode: number): Promise<number>;
  /** The id of the one under `key`. */
  find(key: number): Promise<number>;
  /** Removes it, or marks it for removal while it is attached. */
  remove(id: number): Promise<void>;
}
