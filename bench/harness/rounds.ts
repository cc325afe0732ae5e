/**
 * Alternating rounds. A machine's speed drifts, so ours and the peer are measured in turns, A B A B, and the ratio is taken
 * pair by pair: what slows both of a pair down cancels out.
 */

/** Median, least and most of some samples. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** The spread of at least one number. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const [min, max] = [sorted[0], sorted.at(-1)];
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  if (min === undefined || max === undefined || low === undefined || high === undefined) throw new Error("no samples");
  return { median: (low + high) / 2, min, max };
}

/** The results of both sides, as many of each. */
export interface Pairs<T> {
  readonly ours: readonly T[];
  readonly peer: readonly T[];
}

/** Runs A B A B … and returns what each brought. */
export async function interleave<T>(rounds: number, ours: () => Promise<T>, peer: () => Promise<T>): Promise<Pairs<T>> {
  const pairs = { ours: [] as T[], peer: [] as T[] };
  for (let round = 0; round < rounds; round++) {
    pairs.ours.push(await ours());
    pairs.peer.push(await peer());
  }
  return pairs;
}

/** Ours divided by the peer's, pair by pair. */
export function pairRatios(pairs: Pairs<number>): number[] {
  return pairs.ours.map((ours, i) => ours / (pairs.peer[i] as number));
}
