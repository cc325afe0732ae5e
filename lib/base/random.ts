/**
 * Randomness that can be had again: a generator with a seed, for tests, simulators and benchmarks. Nothing secret comes
 * from here; tokens and cookies are `crypto`'s.
 */

/** A sequence of pseudo-random numbers (splitmix32), the same for the same seed. */
export class Random {
  /** What the sequence began with. */
  readonly seed: number;
  #state: number;

  /** @param seed 32 bits of it count. */
  constructor(seed: number) {
    this.seed = seed >>> 0;
    this.#state = this.seed;
  }

  /** 0 to 2^32 - 1. */
  word(): number {
    this.#state = (this.#state + 0x9e37_79b9) | 0;
    let mixed = this.#state ^ (this.#state >>> 16);
    mixed = Math.imul(mixed, 0x21f0_aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a_2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  }

  /** A whole number from 0 to `end` - 1; `end` is at most 2^53. */
  below(end: number): number {
    return end <= 2 ** 32
      ? Math.floor(this.word() / 2 ** 32 * end)
      : Math.floor((this.word() * 2 ** 21 + (this.word() >>> 11)) / 2 ** 53 * end);
  }

  /** A whole number from `first` to `last`, both included. */
  between(first: number, last: number): number {
    return first + this.below(last - first + 1);
  }

  /** 0 to 2^64 - 1. */
  longWord(): bigint {
    return BigInt(this.word()) << 32n | BigInt(this.word());
  }

  /** True once in `every` times, on average. */
  isOneIn(every: number): boolean {
    return this.below(every) === 0;
  }

  /** One of `items`, of which there is at least one. */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  /** `size` bytes. */
  bytes(size: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size; at++) bytes[at] = this.word();
    return bytes;
  }
}

/** A seed nobody has chosen. */
export function freshSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] as number;
}
