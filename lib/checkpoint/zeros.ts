/** Finding the bytes that are not zero: images are sparse, and a restored space ends where its last such byte does. */
import { CHECKED_SIZE, CHECKSUM_SIZE } from "./checksum.ts";
import type { Hasher } from "./checksum.ts";
import { checksumCount } from "./manifest.ts";

/** File systems keep holes in such units, or in multiples of them. */
const HOLE_SIZE = 4096;

const NO_WORDS = new Int32Array(0);

/** A MiB of zeros, for everybody to read. */
export const ZEROS: Uint8Array<ArrayBuffer> = new Uint8Array(CHECKED_SIZE);

/** The checksums of an image of `size` bytes that are all zero. */
export function zeroChecksums(size: number, hasher: Hasher): Uint8Array {
  const table = new Uint8Array(checksumCount(size) * CHECKSUM_SIZE);
  const whole = hasher.digest(ZEROS);
  const last = hasher.digest(ZEROS.subarray(0, size % CHECKED_SIZE || CHECKED_SIZE));
  for (let at = 0; at < table.length; at += CHECKSUM_SIZE) table.set(whole, at);
  table.set(last, table.length - CHECKSUM_SIZE);
  return table;
}

/** Whether all of `bytes` are zero. */
export function isZero(bytes: Uint8Array): boolean {
  const { buffer, byteOffset, length } = bytes;
  const first = Math.min(length, -byteOffset & 3);
  const wordCount = (length - first) >> 2;
  const words = wordCount === 0 ? NO_WORDS : new Int32Array(buffer, byteOffset + first, wordCount);
  for (let at = 0; at < first; at++) if (bytes[at] !== 0) return false;
  for (let at = 0; at < words.length; at++) if (words[at] !== 0) return false;
  for (let at = first + 4 * words.length; at < length; at++) if (bytes[at] !== 0) return false;
  return true;
}

/** How many of `bytes` there are up to the last one that is not zero. */
export function usedSizeOf(bytes: Uint8Array): number {
  let end = bytes.length;
  while (end >= HOLE_SIZE && isZero(bytes.subarray(end - HOLE_SIZE, end))) end -= HOLE_SIZE;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return end;
}

/**
 * The parts of `bytes`, which belong at `offset` of a file, that have to be written where the file is a hole: all but
 * whole units of zeros. Offsets are the file's.
 */
export function* runsToWrite(offset: number, bytes: Uint8Array): Generator<{ offset: number; bytes: Uint8Array }> {
  let from = -1;
  for (let at = 0; at < bytes.length;) {
    const next = Math.min(bytes.length, at + HOLE_SIZE - (offset + at) % HOLE_SIZE);
    if (isZero(bytes.subarray(at, next))) {
      if (from >= 0) yield { offset: offset + from, bytes: bytes.subarray(from, at) };
      from = -1;
    } else if (from < 0) from = at;
    at = next;
  }
  if (from >= 0) yield { offset: offset + from, bytes: bytes.subarray(from) };
}
