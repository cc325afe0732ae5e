/** What `shmctl` gives as the fields of a `shmctlReply`, and back: the order of the cells is nowhere else. */
import { ProtocolError } from "../../base/errors.ts";
import type { SegmentStatus } from "../../ipc/segments/segment.ts";
import type { ShmctlResult } from "../../ipc/segments/shmctl.ts";
import type { Cell, Fields } from "../../wire/messages.ts";

/** The fields of the reply. */
export function toShmctlReply({ value, status, limits, usage }: ShmctlResult): Fields<"shmctlReply"> {
  return {
    value,
    status: status ? [toCells(status)] : [],
    limits: limits ? [[`${limits.shmmax}`, limits.shmmin, limits.shmmni, `${limits.shmall}`, limits.memlock]] : [],
    usage: usage ? [[usage.segmentCount, usage.pageCount]] : [],
  };
}

function toCells({ range, ...status }: SegmentStatus): Cell[] {
  const { id, key, size, uid, gid, cuid, cgid, mode, nattch, atime, dtime, ctime, cpid, lpid } = status;
  return [
    ...[id, key, range.base, range.size, size, uid, gid, cuid, cgid, mode, nattch],
    ...[atime, dtime, ctime, cpid, lpid],
  ];
}

/** What the fields say. @throws ProtocolError for rows of another shape. */
export function fromShmctlReply({ value, status, limits, usage }: Fields<"shmctlReply">): ShmctlResult {
  return {
    value,
    ...(status[0] ? { status: statusFrom(status[0]) } : {}),
    ...(limits[0] ? { limits: limitsFrom(limits[0]) } : {}),
    ...(usage[0] ? { usage: usageFrom(usage[0]) } : {}),
  };
}

function statusFrom(row: readonly Cell[]): SegmentStatus {
  const at = numbersOf(row);
  return {
    id: at(0),
    key: at(1),
    range: { base: at(2), size: at(3) },
    size: at(4),
    uid: at(5),
    gid: at(6),
    cuid: at(7),
    cgid: at(8),
    mode: at(9),
    nattch: at(10),
    atime: at(11),
    dtime: at(12),
    ctime: at(13),
    cpid: at(14),
    lpid: at(15),
  };
}

function limitsFrom(row: readonly Cell[]): NonNullable<ShmctlResult["limits"]> {
  const at = numbersOf(row);
  return { shmmax: wordFrom(row[0]), shmmin: at(1), shmmni: at(2), shmall: wordFrom(row[3]), memlock: at(4) };
}

function usageFrom(row: readonly Cell[]): NonNullable<ShmctlResult["usage"]> {
  const at = numbersOf(row);
  return { segmentCount: at(0), pageCount: at(1) };
}

function numbersOf(row: readonly Cell[]): (index: number) => number {
  return (index) => {
    const cell = row[index];
    if (typeof cell !== "number") throw new ProtocolError(`cell ${index} of a shmctlReply's row is no number`);
    return cell;
  };
}

function wordFrom(cell: Cell | undefined): bigint {
  if (typeof cell === "string" && /^\d{1,20}$/.test(cell)) return BigInt(cell);
  throw new ProtocolError("a limit in a shmctlReply is no decimal text");
}
