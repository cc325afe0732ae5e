/**
 * Segments as util-linux's `ipcs` prints them, byte by byte: who reads the one with a script reads the other.
 */
import { PERMISSION_BITS } from "../../lib/ipc/common/flags.ts";
import { SHM_DEST, SHM_LOCKED } from "../../lib/ipc/segments/flags.ts";
import { PAGE_SIZE } from "../../lib/ipc/segments/limits.ts";
import type { Limits } from "../../lib/ipc/segments/limits.ts";
import { keyText } from "../../lib/ipc/common/refusal.ts";
import type { ListedSegment, SegmentsUsage } from "./segments.ts";
import {
  cell,
  dateCell,
  dayCell,
  framed,
  octal,
  owner,
  ownersText,
  permissions,
  tableText,
  timeCell,
  titleLine,
} from "./text_parts.ts";
import type { Names } from "./text_parts.ts";

const STATUS_WIDTH = 12;
const FLAG_WIDTH = 6;
const KIBIBYTE = 1024n;
const LONG_MAX = 2n ** 64n - 1n;

/** `ipcs -m`: keys, owners, sizes. */
export function segmentsText(segments: readonly ListedSegment[], names: Names): string {
  return tableText("Shared Memory Segments", [
    [...["key", "shmid", "owner", "perms", "bytes", "nattch"].map(cell), "status".padEnd(STATUS_WIDTH)],
    ...segments.map(({ key, id, uid, mode, size, nattch }) => [
      ...[keyText(key), id, owner(uid, names), permissions(mode), size, nattch].map(cell),
      flag(mode, SHM_DEST, "dest"),
      flag(mode, SHM_LOCKED, "locked"),
    ]),
  ]);
}

/** `ipcs -m -t`: when they were last touched. */
export function timesText(segments: readonly ListedSegment[], names: Names): string {
  return tableText("Shared Memory Attach/Detach/Change Times", [
    [...["shmid", "owner"].map(cell), ...["attached", "detached", "changed"].map(timeCell)],
    ...segments.map(({ id, uid, atime, dtime, ctime }) => [
      ...[id, owner(uid, names)].map(cell),
      ...[atime, dtime, ctime].map((time) => dayCell(time)),
    ]),
  ]);
}

/** `ipcs -m -p`: by which processes. */
export function pidsText(segments: readonly ListedSegment[], names: Names): string {
  return tableText("Shared Memory Creator/Last-op PIDs", [
    ["shmid", "owner", "cpid", "lpid"].map(cell),
    ...segments.map(({ id, uid, cpid, lpid }) => [id, owner(uid, names), cpid, lpid].map(cell)),
  ]);
}

/** `ipcs -m -c`: whose they are and were. */
export function creatorsText(segments: readonly ListedSegment[], names: Names): string {
  return ownersText("Shared Memory Segment Creators/Owners", "shmid", segments, names);
}

/** `ipcs -m -i ID`: all of one. */
export function segmentText(segment: ListedSegment): string {
  const { id, uid, gid, cuid, cgid, mode, size, lpid, cpid, nattch, atime, dtime, ctime } = segment;
  return framed([
    `Shared memory Segment shmid=${id}`,
    `uid=${uid}\tgid=${gid}\tcuid=${cuid}\tcgid=${cgid}`,
    `mode=${octal(mode)}\taccess_perms=${octal(mode & PERMISSION_BITS)}`,
    `bytes=${size}\tlpid=${lpid}\tcpid=${cpid}\tnattch=${nattch}`,
    `att_time=${dateCell(atime)}`,
    `det_time=${dateCell(dtime)}`,
    `change_time=${dateCell(ctime)}`,
  ]);
}

/** `ipcs -m -l`: how many and how large they may be. */
export function limitsText({ shmmax, shmmin, shmmni, shmall }: Omit<Limits, "memlock">): string {
  const kibibytesPerPage = BigInt(PAGE_SIZE) / KIBIBYTE;
  const most = LONG_MAX - LONG_MAX % kibibytesPerPage;
  const total = shmall * kibibytesPerPage;
  return framed([
    titleLine("Shared Memory Limits"),
    `max number of segments = ${shmmni}`,
    `max seg size (kbytes) = ${shmmax / KIBIBYTE}`,
    `max total shared memory (kbytes) = ${total > most ? most : total}`,
    `min seg size (bytes) = ${shmmin}`,
  ]);
}

/** `ipcs -m -u`: what they take. What nobody knows has no line. */
export function usageText({ segmentCount, pageCount, residentPageCount, swappedPageCount }: SegmentsUsage): string {
  const isKernel = residentPageCount !== undefined && swappedPageCount !== undefined;
  return framed([
    titleLine("Shared Memory Status"),
    `segments allocated ${segmentCount}`,
    `pages allocated ${pageCount}`,
    ...isKernel
      ? [
        `pages resident  ${residentPageCount}`,
        `pages swapped   ${swappedPageCount}`,
        // Linux does not count them any more
        "Swap performance: 0 attempts\t 0 successes",
      ]
      : [],
  ]);
}

function flag(mode: number, bit: number, name: string): string {
  return (mode & bit ? name : "").padEnd(FLAG_WIDTH);
}
