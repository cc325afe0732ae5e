/**
 * Whose the bytes of a region are, for those who serve them by offset: a raw read or write of a segment needs the rights
 * that `shmat` would ask for.
 *
 *   - Ranges never overlap and are sorted; a new one cuts away whatever it covers.
 *   - What a removed segment leaves stays its owner's until the range is used again: its bytes are still there.
 *   - What never belonged to anybody is free for all who are let in.
 *   - A look-up takes O(log n).
 *
 * Pure: told by whoever has the table, asked by whoever has the bytes.
 */
import { mayAccess } from "../common/permissions.ts";
import type { Ownership, Principal } from "../common/permissions.ts";
import type { Range } from "./allocator.ts";

/** A range that belongs to somebody. Here `base` counts from wherever whoever asks counts from. */
export interface OwnedRange extends Range, Ownership {}

/** Of what only uid 0 may touch: a segment that has not been zeroed yet, or bytes whose owner is not known any more. */
export const NOBODYS: Ownership = { uid: 0, gid: 0, cuid: 0, cgid: 0, mode: 0 };

/** See the head of this file. */
export class RangeOwners {
  #ranges: OwnedRange[] = [];

  /** How many ranges there are. */
  get count(): number {
    return this.#ranges.length;
  }

  /** The range has that owner from now on, whosever it was. */
  put(range: OwnedRange): void {
    const end = range.base + range.size;
    const first = this.#firstEndingAfter(range.base);
    let next = first;
    while (next < this.#ranges.length && (this.#ranges[next] as OwnedRange).base < end) next++;
    const parts = [range];
    const [before, after] = [this.#ranges[first], this.#ranges[next - 1]];
    if (next > first && before && before.base < range.base) {
      parts.unshift({ ...before, size: range.base - before.base });
    }
    if (next > first && after && after.base + after.size > end) {
      parts.push({ ...after, base: end, size: after.base + after.size - end });
    }
    this.#ranges.splice(first, next - first, ...parts);
  }

  /** Forgets everybody. */
  clear(): void {
    this.#ranges = [];
  }

  /** The first range that forbids `who` what `wanted` asks for in `size` bytes from `base`; undefined when none does. */
  forbidding(who: Principal, base: number, size: number, wanted: number): OwnedRange | undefined {
    if (size === 0) return undefined;
    for (let index = this.#firstEndingAfter(base); index < this.#ranges.length; index++) {
      const range = this.#ranges[index] as OwnedRange;
      if (range.base >= base + size) return undefined;
      if (!mayAccess(range, who, wanted)) return range;
    }
    return undefined;
  }

  #firstEndingAfter(address: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const { base, size } = this.#ranges[middle] as OwnedRange;
      if (base + size > address) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
