/**
 * What a picture of a region was like: a checksum for each of its *grains* of 4 KiB, whatever its block size, and one for
 * each MiB, by which most are known to be the same without a look at their grains.
 *
 *   - A new table is that of a region that is all zero, and costs next to nothing: a MiB is *plain* until it is spelled
 *     out, and then its part of the table is untouched memory.
 *   - 16 bytes per grain: 1/256 of the region once all of it is spelled out.
 */
import { CHECKED_SIZE, CHECKSUM_SIZE } from "./checksum.ts";
import type { Hasher } from "./checksum.ts";

/** Bytes of a grain; a region's last one may be shorter. */
export const GRAIN_SIZE = 4096;
/** Grains of a MiB. */
export const GRAINS_PER_MEBIBYTE: number = CHECKED_SIZE / GRAIN_SIZE;

const WORDS_PER_GRAIN = CHECKSUM_SIZE / 4;

/** See the head of this file. */
export class GrainTable {
  /** Bytes of the region. */
  readonly size: number;
  readonly #digests: Uint8Array<ArrayBuffer>;
  readonly #words: Int32Array;
  /** Per MiB: 1 once its checksums are in the table. */
  readonly #isSpelled: Uint8Array;
  /** Per MiB: its checksum, once it is spelled. */
  readonly #sums: Uint8Array<ArrayBuffer>;
  readonly #hasher: Hasher;

  /** The table of `size` bytes that are all zero. */
  constructor(size: number, hasher: Hasher) {
    this.size = size;
    this.#hasher = hasher;
    this.#digests = new Uint8Array(Math.ceil(size / GRAIN_SIZE) * CHECKSUM_SIZE);
    this.#words = new Int32Array(this.#digests.buffer);
    this.#isSpelled = new Uint8Array(Math.ceil(size / CHECKED_SIZE));
    this.#sums = new Uint8Array(this.#isSpelled.length * CHECKSUM_SIZE);
  }

  /** Whether that MiB is known to be all zero. */
  isPlain(mebibyte: number): boolean {
    return this.#isSpelled[mebibyte] === 0;
  }

  /** Writes the checksum of one grain. All grains of its MiB must be written, or the MiB be spelled out before. */
  set(grain: number, bytes: Uint8Array): void {
    this.#isSpelled[Math.floor(grain / GRAINS_PER_MEBIBYTE)] = 1;
    this.#hasher.digestInto(bytes, this.#digests, grain * CHECKSUM_SIZE);
  }

  /** Puts the checksums of a plain MiB into the table, so that its grains can be compared. */
  spell(mebibyte: number): void {
    if (!this.isPlain(mebibyte)) return;
    const first = mebibyte * GRAINS_PER_MEBIBYTE;
    const end = Math.min(first + GRAINS_PER_MEBIBYTE, Math.ceil(this.size / GRAIN_SIZE));
    const zeros = this.#hasher.digest(new Uint8Array(GRAIN_SIZE));
    for (let grain = first; grain < end; grain++) this.#digests.set(zeros, grain * CHECKSUM_SIZE);
    const lastSize = this.size - (end - 1) * GRAIN_SIZE;
    if (lastSize < GRAIN_SIZE) this.set(end - 1, new Uint8Array(lastSize));
    this.#isSpelled[mebibyte] = 1;
  }

  /** Writes the checksum of a MiB whose grains are spelled. */
  setSum(mebibyte: number, digest: Uint8Array): void {
    this.#sums.set(digest, mebibyte * CHECKSUM_SIZE);
  }

  /** Whether that is the checksum of a MiB; false also when it is not known. */
  hasSum(mebibyte: number, digest: Uint8Array): boolean {
    const at = mebibyte * CHECKSUM_SIZE;
    return !this.isPlain(mebibyte) && digest.every((byte, i) => byte === this.#sums[at + i]);
  }

  /** Takes over what `other`, of the same size, knows of a MiB. */
  copyFrom(other: GrainTable, mebibyte: number): void {
    const first = mebibyte * GRAINS_PER_MEBIBYTE * CHECKSUM_SIZE;
    const end = first + GRAINS_PER_MEBIBYTE * CHECKSUM_SIZE;
    this.#digests.set(other.#digests.subarray(first, end), first);
    const at = mebibyte * CHECKSUM_SIZE;
    this.#sums.set(other.#sums.subarray(at, at + CHECKSUM_SIZE), at);
    this.#isSpelled[mebibyte] = 1;
  }

  /** Whether a grain is the same here and in `other`; the MiB it lies in is spelled out in both. */
  isSame(other: GrainTable, grain: number): boolean {
    const at = grain * WORDS_PER_GRAIN;
    for (let i = at; i < at + WORDS_PER_GRAIN; i++) if (this.#words[i] !== other.#words[i]) return false;
    return true;
  }
}
