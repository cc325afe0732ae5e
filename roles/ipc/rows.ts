/** Segments as flat objects for programs: sizes in bytes, times in ISO 8601. */
import { PERMISSION_BITS } from "../../lib/ipc/common/flags.ts";
import { SHM_DEST, SHM_LOCKED } from "../../lib/ipc/segments/flags.ts";
import { PAGE_SIZE } from "../../lib/ipc/segments/limits.ts";
import type { Limits } from "../../lib/ipc/segments/limits.ts";
import type { Cell } from "../../lib/cli/table.ts";
import type { ListedSegment, SegmentsUsage } from "./segments.ts";

/** One flat object. */
export type Row = Readonly<Record<string, Cell>>;

/** A time from seconds since 1970; null for 0, which is never. */
export function timeOrNull(seconds: number): string | null {
  return seconds === 0 ? null : new Date(seconds * 1000).toISOString();
}

/** Permission bits as four octal digits. */
export function permissionsCell(bits: number): string {
  return bits.toString(8).padStart(4, "0");
}

/** A segment; `base` is its address in the space of a cluster, null on a host. Times are null where there is none yet. */
export function segmentRow({ range, mode, atime, dtime, ctime, ...segment }: ListedSegment): Row {
  const { id, key, size, uid, gid, cuid, cgid, cpid, lpid, nattch } = segment;
  return {
    ...{ id, key, size },
    base: range?.base ?? null,
    perms: permissionsCell(mode & PERMISSION_BITS),
    dest: (mode & SHM_DEST) !== 0,
    locked: (mode & SHM_LOCKED) !== 0,
    ...{ uid, gid, cuid, cgid, cpid, lpid, nattch },
    ...{ atime: timeOrNull(atime), dtime: timeOrNull(dtime), ctime: timeOrNull(ctime) },
  };
}

/** Limits; those beyond 2^53, which are none, to the nearest number there is. */
export function limitsRow({ shmmax, shmmin, shmmni, shmall }: Omit<Limits, "memlock">): Row {
  return {
    segmentCountMax: shmmni,
    segmentSizeMin: shmmin,
    segmentSizeMax: Number(shmmax),
    totalSizeMax: Number(shmall * BigInt(PAGE_SIZE)),
  };
}

/** What is taken, in whole pages; null is what a cluster does not know. */
export function usageRow({ segmentCount, pageCount, residentPageCount, swappedPageCount }: SegmentsUsage): Row {
  const size = (pages: number | undefined): number | null => pages === undefined ? null : pages * PAGE_SIZE;
  return {
    segmentCount,
    allocatedSize: size(pageCount),
    residentSize: size(residentPageCount),
    swappedSize: size(swappedPageCount),
  };
}
