/** Owned ranges as the rows of an `owners` message, and back. */
import type { OwnedRange } from "../../ipc/segments/range_owners.ts";
import type { Cell } from "../../wire/messages.ts";

const CELL_COUNT = 7;

/** The row of a range. */
export function toOwnerRow({ base, size, uid, gid, cuid, cgid, mode }: OwnedRange): Cell[] {
  return [base, size, uid, gid, cuid, cgid, mode];
}

/** The range of a row that nobody vouches for; undefined where it is none. */
export function fromOwnerRow(row: readonly Cell[]): OwnedRange | undefined {
  const isCount = (cell: Cell): boolean => typeof cell === "number" && cell >= 0;
  if (row.length !== CELL_COUNT || !row.every(isCount)) return undefined;
  const [base = 0, size = 0, uid = 0, gid = 0, cuid = 0, cgid = 0, mode = 0] = row as readonly number[];
  return { base, size, uid, gid, cuid, cgid, mode };
}
