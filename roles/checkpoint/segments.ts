/** The segments of a checkpoint as rows, and what has become of them from one checkpoint to another. */
import { PERMISSION_BITS } from "../../lib/ipc/common/flags.ts";
import { keyText } from "../../lib/ipc/common/refusal.ts";
import { SHM_LOCKED } from "../../lib/ipc/segments/flags.ts";
import type { SegmentRow, TableRows } from "../../lib/ipc/segments/segment_rows.ts";
import type { Column } from "../../lib/cli/table.ts";

/** One segment of a checkpoint, flat; times are ISO 8601, null where there is none yet. */
export interface Row
  extends Omit<SegmentRow, "rangeSize" | "mode" | "lockerUid" | "state" | Times>, Record<Times, Time> {
  /** Permission bits, in octal. */
  readonly perms: string;
  /** Whether it is locked. */
  readonly locked: boolean;
}

type Times = "atime" | "dtime" | "ctime";
type Time = string | null;

/** The row of a segment. */
export function segmentRow({ id, key, size, base, mode, ...segment }: SegmentRow): Row {
  const { uid, gid, cuid, cgid, cpid, lpid, atime, dtime, ctime } = segment;
  const time = (seconds: number): Time => seconds === 0 ? null : new Date(seconds * 1000).toISOString();
  return {
    ...{ id, key, size, base },
    perms: (mode & PERMISSION_BITS).toString(8).padStart(4, "0"),
    locked: (mode & SHM_LOCKED) !== 0,
    ...{ uid, gid, cuid, cgid, cpid, lpid },
    ...{ atime: time(atime), dtime: time(dtime), ctime: time(ctime) },
  };
}

/** What people see of one. */
export const SEGMENT_COLUMNS: readonly Column<Row>[] = [
  { key: "id" },
  { key: "key", show: ({ key }) => keyText(key) },
  { key: "base" },
  { key: "size" },
  { key: "uid" },
  { key: "gid" },
  { key: "perms" },
];

/** How many there are, at the end of a sentence that says more; nothing where there are none. */
export function segmentCountText(count: number): string {
  return count === 0 ? "" : `, ${count} segments`;
}

/** What makes a segment another one than it was; its times and processes do not. */
const ESSENTIALS = ["key", "size", "base", "perms", "locked", "uid", "gid", "cuid", "cgid"] as const;

/** A segment that is not the same in both; as it is in the later one, unless it is gone. */
export type ChangedSegment = Row & { readonly change: "added" | "removed" | "changed" };

/** What has become of the segments of `before` in `after`, by their ids. */
export function changedSegments(before: TableRows, after: TableRows): ChangedSegment[] {
  const [old, now] = [byId(before), byId(after)];
  const gone = [...old.values()].filter(({ id }) => !now.has(id)).map((row) => ({
    change: "removed" as const,
    ...row,
  }));
  const others = [...now.values()].flatMap((row): ChangedSegment[] => {
    const was = old.get(row.id);
    if (was === undefined) return [{ change: "added", ...row }];
    return ESSENTIALS.every((field) => was[field] === row[field]) ? [] : [{ change: "changed", ...row }];
  });
  return [...gone, ...others].sort((a, b) => a.id - b.id);
}

function byId({ segments }: TableRows): Map<number, Row> {
  return new Map(segments.map((segment) => [segment.id, segmentRow(segment)]));
}
