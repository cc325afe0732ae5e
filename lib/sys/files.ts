/**
 * Files as Linux has them beyond what Deno offers: shared extents, holes, reading and writing past the page cache.
 *
 *   - A descriptor is a number as `node:fs` gives it. All positions are explicit; the file's own position may move.
 *   - Each is an improvement on something plain. Where the C library cannot be called or the file system does not do it,
 *     the answer says so and the caller does the plain thing, which also finds out what is wrong when something is.
 */
import { addressOf, isFfiAvailable, lastErrno, libc } from "./libc.ts";

/** `ioctl` of linux/fs.h: the file becomes one that shares all extents of another. */
const FICLONE = 0x4004_9409n;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
/** Of `lseek`: there is no data after that offset. Linux's number; it never crosses our wire. */
const ENXIO = 6;
const F_GETFL = 3;
const F_SETFL = 4;
/** Open flag: past the page cache. One of the few that differ between processors (fcntl.h of each). */
const O_DIRECT = Deno.build.arch === "aarch64" ? 0o200000 : 0o40000;
/** What offsets, sizes and addresses of reads and writes past the page cache are multiples of, whatever the disk. */
export const DIRECT_ALIGNMENT = 4096;

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
 * Has reads and writes of a file go past the page cache, or through it again. Says whether that is so now.
 *
 * Past it, offset, size and the bytes' address are multiples of DIRECT_ALIGNMENT ({@linkcode directBytes}); anything else
 * fails there.
 */
export function setDirect(fd: number, isDirect: boolean): boolean {
  if (!isFfiAvailable()) return !isDirect;
  const flags = libc().fcntl(fd, F_GETFL, 0);
  if (flags < 0) return !isDirect;
  return libc().fcntl(fd, F_SETFL, isDirect ? flags | O_DIRECT : flags & ~O_DIRECT) === 0;
}

/** Bytes in memory that may be read into and written from past the page cache. */
export function directBytes(size: number): Uint8Array<ArrayBuffer> {
  if (!isFfiAvailable()) return new Uint8Array(size);
  const bytes = new Uint8Array(size + DIRECT_ALIGNMENT);
  const start = Number(-addressOf(bytes) & BigInt(DIRECT_ALIGNMENT - 1));
  return bytes.subarray(start, start + size);
}

/**
 * Reads bytes at an offset on another thread. (What `node:fs` reads and writes it does on the thread that asks, however
 * long the kernel takes.)
 *
 * @returns how many were read; 0 at the end of the file, or where this cannot be done, or failed: the plain way finds out
 * why.
 */
export async function readAt(fd: number, bytes: Uint8Array<ArrayBuffer>, offset: number): Promise<number> {
  if (!isFfiAvailable()) return 0;
  return Math.max(0, Number(await libc().pread(fd, bytes, BigInt(bytes.length), BigInt(offset))));
}

/** The same for writing. */
export async function writeAt(fd: number, bytes: Uint8Array, offset: number): Promise<number> {
  if (!isFfiAvailable()) return 0;
  const count = await libc().pwrite(fd, bytes as Uint8Array<ArrayBuffer>, BigInt(bytes.length), BigInt(offset));
  return Math.max(0, Number(count));
}

/** Makes what was created, renamed or removed in a directory last. @throws an error of Deno's with an errno's name. */
export async function syncDirectory(path: string): Promise<void> {
  using directory = await Deno.open(path);
  await directory.sync();
}
