/**
 * The loop both promise clients are measured with: so many operations in flight, each awaited and checked, the next one
 * started when one is done. Prints one JSON object of numbers.
 */

/** One operation: reads `size` bytes at `offset` and returns how many came. */
export type ReadOperation = (offset: number, size: number) => Promise<number>;

/** What is asked of a promise client, from its command line after its own words. */
export interface Load {
  readonly inFlight: number;
  readonly seconds: number;
  readonly size: number;
  readonly regionSize: number;
}

const OFFSET_COUNT = 65_536;
const BLOCK_SIZE = 4096;
const STRADDLING_PERCENT = 10;
const WARM_UP_MS = 400;
const SAMPLES_MAX = 4_000_000;

/** Reads IN_FLIGHT SECONDS SIZE REGION_SIZE. */
export function parseLoad(words: readonly string[]): Load {
  const [inFlight, seconds, size, regionSize] = words.map(Number);
  if (inFlight === undefined || seconds === undefined || size === undefined || regionSize === undefined) {
    throw new Error("the last words are IN_FLIGHT SECONDS SIZE REGION_SIZE");
  }
  return { inFlight, seconds, size, regionSize };
}

/** Random offsets like the load generator's: aligned to the size, one in ten straddling two blocks. */
function randomOffsets({ size, regionSize }: Load): Float64Array {
  const offsets = new Float64Array(OFFSET_COUNT);
  for (let i = 0; i < OFFSET_COUNT; i++) {
    const block = 1 + Math.floor(Math.random() * (regionSize / BLOCK_SIZE - 2));
    const straddles = i % 100 < STRADDLING_PERCENT;
    const within = straddles ? -size / 2 : Math.floor(Math.random() * Math.floor(BLOCK_SIZE / size)) * size;
    offsets[i] = block * BLOCK_SIZE + within;
  }
  return offsets;
}

/** Runs the loop, WARM_UP_MS longer than asked; the beginning is not counted. */
export async function measureInFlight(load: Load, read: ReadOperation): Promise<void> {
  const offsets = randomOffsets(load);
  const latencies = new Float32Array(SAMPLES_MAX);
  const begin = performance.now() + WARM_UP_MS;
  const end = begin + load.seconds * 1000;
  let started = 0;
  let counted = 0;
  const keepOneInFlight = async (): Promise<void> => {
    for (let time = performance.now(); time < end;) {
      const count = await read(offsets[started++ % OFFSET_COUNT] as number, load.size);
      if (count !== load.size) throw new Error(`a read of ${load.size} bytes brought ${count}`);
      const now = performance.now();
      if (now >= begin && now < end) {
        if (counted < SAMPLES_MAX) latencies[counted] = (now - time) * 1000;
        counted++;
      }
      time = now;
    }
  };
  await Promise.all(Array.from({ length: load.inFlight }, keepOneInFlight));
  const sorted = latencies.subarray(0, Math.min(counted, SAMPLES_MAX)).sort();
  const quantile = (fraction: number): number => sorted[Math.floor(fraction * sorted.length)] ?? 0;
  console.log(
    JSON.stringify({
      opsPerSecond: counted / load.seconds,
      p50Us: quantile(0.5),
      p90Us: quantile(0.9),
      p99Us: quantile(0.99),
    }),
  );
}
