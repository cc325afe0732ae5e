/**
 * Where two checkpoints differ.
 *
 *   - The spaces are compared by address, whatever servers they lay on; where only one has bytes, the other has zeros.
 *   - A MiB with one checksum in both is not read. So damage that verify finds is not a difference.
 *   - A range is a run of changed blocks of 4 KiB, narrowed to the first and the last byte that differ.
 */
import { CHECKED_SIZE, CHECKSUM_SIZE } from "./checksum.ts";
import { spaceSize } from "./manifest.ts";
import type { Manifest } from "./manifest.ts";
import { SpaceReader } from "./space_reader.ts";
import type { Checkpoint } from "./store.ts";
import type { VerifyOptions } from "./verify.ts";

/** A range of the space. */
export interface AddressRange {
  /** Address of the first byte. */
  readonly start: number;
  /** Address after the last byte. */
  readonly end: number;
}

const BLOCK_SIZE = 4096;

/**
 * The ranges in which the spaces of two checkpoints differ, in ascending order.
 *
 * @throws CheckpointError when a file is shorter than it was; SystemError: ENOENT, EIO; the signal's reason.
 */
export async function* changedRanges(
  before: Checkpoint,
  after: Checkpoint,
  { onProgress, signal }: VerifyOptions = {},
): AsyncGenerator<AddressRange> {
  await using a = await SpaceReader.open(before);
  await using b = await SpaceReader.open(after);
  const total = Math.max(a.size, b.size);
  const larger = a.size >= b.size ? before.manifest : after.manifest;
  const [bytesA, bytesB] = [new Uint8Array(CHECKED_SIZE), new Uint8Array(CHECKED_SIZE)];
  let pending: AddressRange | undefined;
  for (const { start, end } of mebibytesOf(larger)) {
    signal?.throwIfAborted();
    if (!haveSameChecksum(before.manifest, after.manifest, start, end)) {
      const [partA, partB] = [bytesA.subarray(0, end - start), bytesB.subarray(0, end - start)];
      await a.read(start, partA);
      await b.read(start, partB);
      for (const range of changedBlocks(partA, partB, start)) {
        if (pending !== undefined && touches(pending, range)) pending = { start: pending.start, end: range.end };
        else {
          if (pending !== undefined) yield pending;
          pending = range;
        }
      }
    }
    onProgress?.(end, total);
  }
  if (pending !== undefined) yield pending;
}

/** Whether nothing lies between two ranges but what narrowing took off the ends of neighbouring blocks. */
function touches(first: AddressRange, second: AddressRange): boolean {
  return Math.ceil(first.end / BLOCK_SIZE) >= Math.floor(second.start / BLOCK_SIZE);
}

/** The MiBs that have a checksum, by address. */
function* mebibytesOf({ servers }: Manifest): Generator<AddressRange> {
  for (const { base, size } of servers) {
    for (let offset = 0; offset < size; offset += CHECKED_SIZE) {
      yield { start: base + offset, end: base + Math.min(offset + CHECKED_SIZE, size) };
    }
  }
}

function haveSameChecksum(a: Manifest, b: Manifest, start: number, end: number): boolean {
  const [inA, inB] = [checksumOf(a, start, end), checksumOf(b, start, end)];
  return inA !== undefined && inB !== undefined && inA.every((byte, index) => byte === inB[index]);
}

/** The checksum of exactly that range, if there is one. */
function checksumOf(manifest: Manifest, start: number, end: number): Uint8Array | undefined {
  if (end > spaceSize(manifest)) return undefined;
  const server = manifest.servers.find(({ base, size }) => start >= base && start < base + size);
  if (server === undefined || (start - server.base) % CHECKED_SIZE !== 0) return undefined;
  if (end !== Math.min(start + CHECKED_SIZE, server.base + server.size)) return undefined;
  const at = (start - server.base) / CHECKED_SIZE * CHECKSUM_SIZE;
  return server.checksums.subarray(at, at + CHECKSUM_SIZE);
}

/** The blocks of the space in which `a` and `b`, the bytes from `address` on, differ; each narrowed. */
function* changedBlocks(a: Uint8Array, b: Uint8Array, address: number): Generator<AddressRange> {
  for (let at = 0; at < a.length;) {
    const next = Math.min(a.length, at + BLOCK_SIZE - (address + at) % BLOCK_SIZE);
    let first = at;
    while (first < next && a[first] === b[first]) first++;
    let last = next;
    while (last > first && a[last - 1] === b[last - 1]) last--;
    if (first < last) yield { start: address + first, end: address + last };
    at = next;
  }
}
