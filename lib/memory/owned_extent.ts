/**
 * From where to where a region has ever belonged to segments, in its footer: all that is left of it when a server takes the
 * region over and nobody has told it yet whose they are.
 *
 * In whole blocks, as segments are; it only grows.
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
  const [first, end] = [region.word(FooterWord.ownedFirst), region.word(FooterWord.ownedEnd)];
  return end === 0 ? undefined : { base: first * blockSize, size: (end - first) * blockSize };
}

/** Makes it hold `size` bytes from `base` too. Only the region's server does. */
export function growOwnedExtent(region: Region, { base, size }: Extent): void {
  if (size === 0) return;
  const { blockSize } = region.layout;
  const before = region.word(FooterWord.ownedEnd);
  const first = Math.floor(base / blockSize);
  const end = Math.ceil((base + size) / blockSize);
  // the end last: while it is 0 the first says nothing
  region.setWord(FooterWord.ownedFirst, before === 0 ? first : Math.min(first, region.word(FooterWord.ownedFirst)));
  region.setWord(FooterWord.ownedEnd, Math.max(end, before));
}
