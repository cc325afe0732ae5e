/**
 * From where to where a region has ever belonged to segments, in its footer: all that is left of it when a server takes the
 * region over and nobody has told it yet whose they are.
 *
 * In whole blocks, as segments are; it only grows. Whoever has the region attached sees by it that owners have to be asked.
 */
import { FooterWord } from "./layout.ts";
import type { Region } from "./region.ts";

/** Some bytes of a region. */
export interface Extent {
  /** Offset of the first. */
  readonly base: number;
  /** How many. */
  readonly size: number;
}

/** The extent; undefined where nothing ever belonged to a segment. */
export function ownedExtent(region: Region): Extent | undefined {
  const { blockSize } = region.layout;
  const [first, end] = [region.word(FooterWord.ownedFirst) - 1, region.word(FooterWord.ownedEnd)];
  return first < 0 ? undefined : { base: first * blockSize, size: (end - first) * blockSize };
}

/** Makes it hold `size` bytes from `base` too. Only the region's server does. */
export function growOwnedExtent(region: Region, { base, size }: Extent): void {
  if (size === 0) return;
  const { blockSize } = region.layout;
  const first = Math.floor(base / blockSize) + 1;
  const end = Math.ceil((base + size) / blockSize);
  const before = region.word(FooterWord.ownedFirst);
  region.setWord(FooterWord.ownedEnd, Math.max(end, region.word(FooterWord.ownedEnd)));
  region.setWord(FooterWord.ownedFirst, before === 0 ? first : Math.min(first, before));
}
