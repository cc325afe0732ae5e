/**
 * Finds what has changed in a region between two pictures of it, a MiB at a time.
 *
 *   - Changes are found by the checksums of the picture before, never by versions: key-only programs bump none.
 *   - What a scan does on the region's own bytes is a copy, and that is its source's affair. Comparing, hashing and
 *     whatever follows happens on the copy, while no guard is held.
 *   - Memory: one MiB, the bytes of one scan, and a table of the picture that is being scanned.
 */
import { nowMs } from "../base/clock.ts";
import type { MebibyteChecksum, Run } from "../wire/gathered.ts";
import { CHECKED_SIZE } from "./checksum.ts";
import type { Hasher } from "./checksum.ts";
import { GRAIN_SIZE, GRAINS_PER_MEBIBYTE, GrainTable } from "./grain_table.ts";

/** Where the bytes come from: a picture of a region, from its start to its end. */
export interface ScanSource {
  /**
   * Copies the next `into.length` bytes. "zeros": they are all zero and were never written, and `into` is untouched.
   *
   * @throws the signal's reason.
   */
  copyNext(into: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<"zeros" | "bytes">;
}

/** How much one scan may do. */
export interface ScanLimits {
  /** The most changed bytes it returns. */
  readonly sizeMax: number;
  /** After how many ms it begins no further MiB. */
  readonly timeMsMax: number;
}

/** What one scan has found. */
export interface Changes {
  /** Everything before this offset has been looked at and returned. */
  readonly next: number;
  /** Where the bytes belong, in ascending order. */
  readonly runs: readonly Run[];
  /** The bytes of all runs, one after the other; overwritten by the next scan. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Of each MiB in which a change was met. */
  readonly checksums: readonly MebibyteChecksum[];
}

/** See the head of this file. */
export class ChangeScanner {
  /** The table of this picture; complete once the scanner is. */
  readonly table: GrainTable;
  readonly #source: ScanSource;
  readonly #before: GrainTable;
  readonly #hasher: Hasher;
  readonly #mebibyte = new Uint8Array(CHECKED_SIZE);
  readonly #grains: readonly Uint8Array[];
  /** How far the source has been copied. */
  #copiedEnd = 0;
  /** Changed runs of the MiB copied last that have not been returned. */
  #waiting: Run[] = [];
  #bytes = new Uint8Array(0);

  /** @param before the table of the picture to compare with, of the same size. */
  constructor(source: ScanSource, before: GrainTable, hasher: Hasher) {
    this.#source = source;
    this.#before = before;
    this.#hasher = hasher;
    this.table = new GrainTable(before.size, hasher);
    this.#grains = Array.from({ length: GRAINS_PER_MEBIBYTE }, (_, i) => {
      return this.#mebibyte.subarray(i * GRAIN_SIZE, (i + 1) * GRAIN_SIZE);
    });
  }

  /** Everything before this offset has been looked at and returned. */
  get next(): number {
    return this.#waiting[0]?.offset ?? this.#copiedEnd;
  }

  /** Whether the whole region has been. */
  get isComplete(): boolean {
    return this.next === this.table.size;
  }

  /** Goes on where the scan before ended. @throws the signal's reason; the scanner is of no use then. */
  async scan(limits: ScanLimits, signal: AbortSignal): Promise<Changes> {
    const endMs = nowMs() + limits.timeMsMax;
    if (this.#bytes.length !== limits.sizeMax) this.#bytes = new Uint8Array(limits.sizeMax);
    const runs: Run[] = [];
    const checksums: MebibyteChecksum[] = [];
    let size = this.#collect(runs, 0);
    while (this.#waiting.length === 0 && !this.isComplete) {
      const checksum = await this.#copyMebibyte(signal);
      if (checksum) checksums.push(checksum);
      size = this.#collect(runs, size);
      if (nowMs() >= endMs) break;
    }
    return { next: this.next, runs, bytes: this.#bytes.subarray(0, size), checksums };
  }

  /** Copies the next MiB and finds what has changed in it: its checksum, or undefined when nothing has. */
  async #copyMebibyte(signal: AbortSignal): Promise<MebibyteChecksum | undefined> {
    const start = this.#copiedEnd;
    const index = start / CHECKED_SIZE;
    const bytes = this.#mebibyte.subarray(0, Math.min(CHECKED_SIZE, this.table.size - start));
    const isZero = await this.#source.copyNext(bytes, signal) === "zeros";
    this.#copiedEnd = start + bytes.length;
    if (isZero && this.#before.isPlain(index)) return undefined;
    if (isZero) bytes.fill(0);
    const digest = this.#hasher.digest(bytes);
    if (this.#before.hasSum(index, digest)) {
      this.table.copyFrom(this.#before, index);
      return undefined;
    }
    if (isZero) this.table.spell(index);
    this.#before.spell(index);
    this.#waiting = this.#changedRuns(start, bytes.length, !isZero);
    this.table.setSum(index, digest);
    return this.#waiting.length === 0 ? undefined : { index, digest };
  }

  #changedRuns(start: number, size: number, mustHash: boolean): Run[] {
    const runs: Run[] = [];
    const firstGrain = start / GRAIN_SIZE;
    for (let at = 0, i = 0; at < size; at += GRAIN_SIZE, i++) {
      const grainSize = Math.min(GRAIN_SIZE, size - at);
      const grain = this.#grains[i] as Uint8Array;
      if (mustHash) this.table.set(firstGrain + i, grainSize === GRAIN_SIZE ? grain : grain.subarray(0, grainSize));
      if (!this.table.isSame(this.#before, firstGrain + i)) append(runs, { offset: start + at, size: grainSize });
    }
    return runs;
  }

  /** Moves what is waiting to the result, as far as there is room; returns how many bytes are there now. */
  #collect(runs: Run[], size: number): number {
    for (let run = this.#waiting[0]; run && size < this.#bytes.length; run = this.#waiting[0]) {
      const taken = Math.min(run.size, this.#bytes.length - size);
      const at = run.offset % CHECKED_SIZE;
      this.#bytes.set(this.#mebibyte.subarray(at, at + taken), size);
      append(runs, { offset: run.offset, size: taken });
      size += taken;
      if (taken === run.size) this.#waiting.shift();
      else this.#waiting[0] = { offset: run.offset + taken, size: run.size - taken };
    }
    return size;
  }
}

/** Appends a run, as part of the last one where it follows that. */
function append(runs: Run[], run: Run): void {
  const last = runs.at(-1);
  if (last && last.offset + last.size === run.offset) runs[runs.length - 1] = { ...last, size: last.size + run.size };
  else runs.push(run);
}
