/**
 * Files as Linux has them beyond what Deno offers: shared extents, holes, copies within the kernel.
 *
 *   - A descriptor is a number as `node:fs` gives it. All positions are explicit; the file's own position may move.
 *   - Each is an improvement on something plain. Where the C library cannot be called or the file system does not do it,
 *     the answer says so and the caller does the plain thing, which also finds out what is wrong when something is.
 */
import { isFfiAvailable, lastErrno, libc } from "./libc.ts";

/** `ioctl` of linux/fs.h: the file becomes one that shares all extents of another. */
const FICLONE = 0x4004_9409n;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
/** Of `lseek`: there is no data after that offset. Linux's number; it never crosses our wire. */
const ENXIO = 6;
/** The kernel copies at most that much in one call, a page less than 2 GiB; in steps a signal can come between. */
const COPY_SIZE_MAX = 64 * 1024 * 1024;

/** Bytes of a file from `start` up to `end`. */
export interface FileRange {
  /** Offset of the first byte. */
  readonly start: number;
  /** Offset after the last byte. */
  readonly end: number;
}

/** Makes `into`, an empty file, share all bytes of `from` until either is written. Says whether that worked. */
export function reflink(from: number, into: number): boolean {
  return isFfiAvailable() && libc().ioctlInteger(into, FICLONE, BigInt(from)) === 0;
}

/**
 * The ranges of a file of `size` bytes that hold data, in ascending order; what lies between reads as zeros. All of it
 * where the file system does not tell.
 */
export function* dataRanges(fd: number, size: number): Generator<FileRange> {
  if (!isFfiAvailable()) {
    if (size > 0) yield { start: 0, end: size };
    return;
  }
  for (let offset = 0; offset < size;) {
    const start = Number(libc().lseek(fd, BigInt(offset), SEEK_DATA));
    if (start < 0 && lastErrno() === ENXIO) return;
    const end = start < 0 ? -1 : Number(libc().lseek(fd, BigInt(start), SEEK_HOLE));
    if (end < 0) return yield { start: offset, end: size };
    if (start < size) yield { start, end: Math.min(end, size) };
    offset = end;
  }
}

/**
 * Copies a range between two files at the same offsets, within the kernel.
 *
 * @returns the offset after the last byte copied: short of `range.end` where this cannot be done for the rest.
 */
export async function copyRange(from: number, into: number, { start, end }: FileRange): Promise<number> {
  if (!isFfiAvailable()) return start;
  const positions = new BigInt64Array([BigInt(start), BigInt(start)]);
  const [read, written] = [positions.subarray(0, 1), positions.subarray(1)];
  let offset = start;
  while (offset < end) {
    const size = Math.min(end - offset, COPY_SIZE_MAX);
    const copied = Number(await libc().copy_file_range(from, read, into, written, BigInt(size), 0));
    if (copied <= 0) break;
    offset += copied; // `positions` have moved as well: the kernel writes them
  }
  return offset;
}

/**
 * Writes bytes at an offset on another thread. (What `node:fs` writes it writes on the thread that asks, however long the
 * kernel takes to find memory for it.)
 *
 * @returns how many were written; 0 where this cannot be done, or failed: the plain way finds out why.
 */
export async function writeAt(fd: number, bytes: Uint8Array, offset: number): Promise<number> {
  if (!isFfiAvailable()) return 0;
  return Math.max(
    0,
    Number(await libc().pwrite(fd, bytes as Uint8Array<ArrayBuffer>, BigInt(bytes.length), BigInt(offset))),
  );
}

/** Makes what was created, renamed or removed in a directory last. @throws an error of Deno's with an errno's name. */
export async function syncDirectory(path: string): Promise<void> {
  using directory = await Deno.open(path);
  await directory.sync();
}
