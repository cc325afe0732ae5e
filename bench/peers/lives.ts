/** The loop that lives of segments are counted with: each worker one life after the other. Prints one JSON object. */

/** One life of a segment of `size` bytes. */
export type Life = (size: number) => Promise<void> | void;

const SIZE = 4096;
const WARM_UP_MS = 300;

/** Lets every worker live for WARM_UP_MS, which are not counted, and then for `seconds`. */
export async function measureLives(seconds: number, workers: readonly Life[]): Promise<void> {
  const begin = performance.now() + WARM_UP_MS;
  const end = begin + seconds * 1000;
  let count = 0;
  await Promise.all(workers.map(async (live) => {
    for (let now = performance.now(); now < end; now = performance.now()) {
      await live(SIZE);
      if (now >= begin) count++;
    }
  }));
  console.log(JSON.stringify({ livesPerSecond: count / seconds }));
}
