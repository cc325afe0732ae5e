/**
 * Chains of counters over three servers: n is written to the first, after that was seen there to the second, after that
 * was seen there to the third, each link by another process, on its own path. In any consistent picture the first is not
 * behind the second, nor the second behind the third. Besides them ranges of two blocks whose halves are always equal.
 *
 * Imports nothing of the project: what it reads, it reads as anybody would.
 */

/** Bytes of each server's region. */
export const REGION_SIZE = 256 * 1024;
/** The key of the segment that is the whole space, for links in the simple dialect. */
export const SPACE_KEY = 0x5ace;
/** How a link reaches the servers, in every combination. */
export const PATHS = ["tcp", "attached", "classic"] as const;
/** The simple dialect besides. */
export const ALL_PATHS = [...PATHS, "simple"] as const;
/** One of them. */
export type Path = (typeof ALL_PATHS)[number];
/** Servers, and links of every chain. */
export const LINK_COUNT = 3;
/** Chains with links in the simple dialect, which come after the others. */
const SIMPLE_CHAINS: readonly (readonly Path[])[] = [
  ["simple", "simple", "simple"],
  ["simple", "classic", "simple"],
  ["classic", "simple", "classic"],
];
const COMBINATION_COUNT = PATHS.length ** LINK_COUNT;
/** How many chains there are. */
export const CHAIN_COUNT = COMBINATION_COUNT + SIMPLE_CHAINS.length;
/** Bytes of a range: two blocks. */
export const RANGE_SIZE = 8192;
const BLOCK_SIZE = 4096;

/** The path that link `link` of a chain takes. */
export function pathOf(chain: number, link: number): Path {
  if (chain >= COMBINATION_COUNT) return SIMPLE_CHAINS[chain - COMBINATION_COUNT]?.[link] as Path;
  return PATHS[Math.floor(chain / PATHS.length ** link) % PATHS.length] as Path;
}

/** Where a chain's counter lies in each region. */
export function counterAt(chain: number): number {
  return chain * BLOCK_SIZE;
}

/** Where the range of a path's writer lies. */
export function rangeAt(path: Path): number {
  return (CHAIN_COUNT + 1 + 2 * ALL_PATHS.indexOf(path)) * BLOCK_SIZE;
}

const wordAt = (bytes: Uint8Array, at: number): number =>
  new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);

/** What contradicts a consistent picture in the images of the three regions. */
export function contradictions(images: readonly Uint8Array[]): string[] {
  const found: string[] = [];
  for (let chain = 0; chain < CHAIN_COUNT; chain++) {
    const counters = images.map((image) => wordAt(image, counterAt(chain)));
    const isOrdered = counters.every((counter, link) => link === 0 || counter <= (counters[link - 1] as number));
    const paths = counters.map((_, link) => pathOf(chain, link)).join(" > ");
    if (!isOrdered) found.push(`chain ${chain} (${paths}): ${counters.join(", ")}`);
  }
  images.forEach((image, server) => {
    for (const path of ALL_PATHS) {
      const at = rangeAt(path);
      const first = wordAt(image, at);
      for (let offset = 0; offset < RANGE_SIZE; offset += 4) {
        if (wordAt(image, at + offset) === first) continue;
        found.push(`range of ${path} on server ${server}: ${first} and ${wordAt(image, at + offset)} at ${offset}`);
        break;
      }
    }
  });
  return found;
}

/** How far the chains have come: the sum of their last counters. */
export function progress(images: readonly Uint8Array[]): number {
  const last = images[LINK_COUNT - 1] as Uint8Array;
  return Array.from({ length: CHAIN_COUNT }, (_, chain) => wordAt(last, counterAt(chain))).reduce((a, b) => a + b);
}
