/** Room for a new segment: the limits and the space, in the order in which Linux looks at them. */
import type { SystemError } from "../../base/errors.ts";
import type { Range } from "./allocator.ts";
import { pageCount } from "./limits.ts";
import type { Limits } from "./limits.ts";
import { refusal } from "../common/refusal.ts";
import { INDEX_COUNT } from "../common/object_ids.ts";
import type { SegmentStore } from "./segment_store.ts";

/** A segment is a file to Linux, and a file's size has a sign: no larger one is made, whatever SHMMAX says. */
const FILE_SIZE_END = 2 ** 63;
const REMOVE = "remove what nobody needs with dsm ipcrm";

/**
 * Takes a range for `size` bytes from the store's allocator. The space is to a cluster what memory is to a host, so a full
 * one is ENOMEM, and ENOSPC is for the limits.
 *
 * @throws SystemError of `shmget`, EINVAL: SHMMIN, SHMMAX; ENOSPC: SHMALL; EINVAL: beyond any file; ENOMEM: no room; ENOSPC: SHMMNI.
 */
export function makeRoom(store: SegmentStore, limits: Limits, size: number): Range {
  const { shmmin, shmmax, shmall, shmmni } = limits;
  const { allocator, count } = store;
  const refuse = (code: "EINVAL" | "ENOSPC" | "ENOMEM", next: string): SystemError =>
    refusal("shmget", code, `make a segment of ${size} bytes`, next);

  if (!Number.isInteger(size) || size < shmmin || size > shmmax) {
    throw refuse("EINVAL", `a new one has ${shmmin} (SHMMIN) to ${shmmax} (SHMMAX) bytes`);
  }
  if (BigInt(store.pageCount + pageCount(size)) > shmall) {
    throw refuse("ENOSPC", `${store.pageCount} of ${shmall} pages (SHMALL) are used; ${REMOVE}`);
  }
  if (size >= FILE_SIZE_END) throw refuse("EINVAL", "no segment has that many, whatever SHMMAX says");
  const range = allocator.allocate(size);
  if (!range) {
    const { freeSize, largestHoleSize } = allocator;
    const free = `the space has ${freeSize} bytes free, ${largestHoleSize} of them in a row`;
    throw refuse("ENOMEM", `${free}; ${REMOVE}, or add a server`);
  }
  if (count < Math.min(shmmni, INDEX_COUNT)) return range;
  allocator.free(range);
  throw refuse("ENOSPC", `there are ${count} segments, as many as may be (SHMMNI); ${REMOVE}`);
}
