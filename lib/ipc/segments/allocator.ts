/**
 * Which parts of the space are free, and where a new segment goes.
 *
 *   - A range is whole blocks: it begins where a block begins and ends where one ends, **each by the block size of the
 *     server it lies on there**. Regions are whole blocks too, so a range may run over several servers with different
 *     block sizes, and no block ever belongs to two ranges. How many bytes a range takes therefore depends on where it ends.
 *   - It also begins at a multiple of 8 bytes in its server's region, so that a word aligned in a segment is aligned in
 *     memory, even where blocks have 100 bytes.
 *   - Best fit: the smallest hole that is large enough, the lowest among equals. The range begins as low in it as it may.
 *   - Nothing below the low-water mark is ever handed out: that is for raw use. Neither is anything on a server that is
 *     dead or whose size is not known: its bytes could not be zeroed.
 *   - Holes are sorted, never empty, and never touch each other.
 *
 * An allocator belongs to one layout. When the layout changes, a new one is made and told what is taken.
 */
import { invariant } from "../../base/assert.ts";
import type { Place, Space } from "../../config/space.ts";

/** Some bytes of the space. */
export interface Range {
  /** Address of the first. */
  readonly base: number;
  /** How many. */
  readonly size: number;
}

interface Hole {
  base: number;
  end: number;
}

const WORD_SIZE = 8;

/** See the head of this file. */
export class Allocator {
  readonly #space: Space;
  /** What could be handed out at all; fixed, with gaps in between. */
  readonly #usable: readonly Readonly<Hole>[];
  #holes: Hole[];

  /** All of `space` from `lowWaterMark` on is free. */
  constructor(space: Space, lowWaterMark: number) {
    this.#space = space;
    this.#usable = usableIn(space, lowWaterMark);
    this.#holes = this.#usable.map((run) => ({ ...run }));
  }

  /** Free bytes, all holes together. */
  get freeSize(): number {
    return this.#holes.reduce((sum, { base, end }) => sum + end - base, 0);
  }

  /** Bytes of the largest hole. */
  get largestHoleSize(): number {
    return this.#holes.reduce((largest, { base, end }) => Math.max(largest, end - base), 0);
  }

  /** Finds room for `size` bytes, at least 1, and takes it. @returns undefined when there is none. */
  allocate(size: number): Range | undefined {
    let best: { readonly range: Range; readonly holeSize: number } | undefined;
    for (const hole of this.#holes) {
      const holeSize = hole.end - hole.base;
      if (holeSize < size || (best && holeSize >= best.holeSize)) continue;
      const range = this.#fit(hole, size);
      if (range) best = { range, holeSize };
    }
    if (best) this.reserve(best.range);
    return best?.range;
  }

  #fit(hole: Hole, size: number): Range | undefined {
    const base = this.#firstBase(hole.base);
    const last = base + size - 1;
    if (last >= hole.end) return undefined;
    const end = blockEnd(this.#placeAt(last), last);
    return end <= hole.end ? { base, size: end - base } : undefined;
  }

  /** The first address from `address` on where a range may begin; the end of the space when there is none. */
  #firstBase(address: number): number {
    while (address < this.#space.size) {
      const place = this.#placeAt(address);
      const step = leastCommonMultiple(place.blockSize, WORD_SIZE);
      const base = place.base + Math.ceil((address - place.base) / step) * step;
      const end = place.base + place.size;
      if (base < end) return base;
      address = end;
    }
    return address;
  }

  #placeAt(address: number): Place {
    return this.#space.places[this.#space.serverAt(address)] as Place;
  }

  /** Takes what is free of `range`, wherever it lies; the rest of it, if any, is not ours to hand out anyway. */
  reserve(range: Range): void {
    const end = range.base + range.size;
    this.#holes = this.#holes.flatMap((hole) => {
      if (hole.end <= range.base || end <= hole.base) return [hole];
      const left = { base: hole.base, end: range.base };
      const right = { base: end, end: hole.end };
      return [left, right].filter((part) => part.base < part.end);
    });
  }

  /** Gives back a range that was taken; none of it may be free. */
  free(range: Range): void {
    for (const run of this.#usable) {
      const base = Math.max(run.base, range.base);
      const end = Math.min(run.end, range.base + range.size);
      if (base < end) this.#insert({ base, end });
    }
  }

  #insert(hole: Hole): void {
    const following = this.#holes.findIndex(({ base }) => base >= hole.base);
    const at = following < 0 ? this.#holes.length : following;
    const [before, after] = [this.#holes[at - 1], this.#holes[at]];
    invariant((before?.end ?? 0) <= hole.base && hole.end <= (after?.base ?? Infinity), "what is freed was taken");
    const joinsBefore = before?.end === hole.base;
    const joinsAfter = after?.base === hole.end;
    const joined = {
      base: joinsBefore ? before.base : hole.base,
      end: joinsAfter ? after.end : hole.end,
    };
    this.#holes.splice(at - Number(joinsBefore), Number(joinsBefore) + Number(joinsAfter), joined);
  }
}

/** The runs of bytes of `space` above the mark that lie on servers which are there, as long as they can be. */
function usableIn(space: Space, lowWaterMark: number): Hole[] {
  const runs: Hole[] = [];
  for (const place of space.places) {
    const base = Math.max(place.base, lowWaterMark);
    const end = place.base + place.size;
    if (!place.isAlive || base >= end || end > space.size) continue;
    const last = runs.at(-1);
    if (last?.end === base) last.end = end;
    else runs.push({ base, end });
  }
  return runs;
}

function blockEnd({ base, blockSize }: Place, address: number): number {
  return base + (Math.floor((address - base) / blockSize) + 1) * blockSize;
}

function leastCommonMultiple(a: number, b: number): number {
  const greatestCommonDivisor = (x: number, y: number): number => y === 0 ? x : greatestCommonDivisor(y, x % y);
  return a / greatestCommonDivisor(a, b) * b;
}
