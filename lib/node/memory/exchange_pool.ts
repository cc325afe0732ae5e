/**
 * Memory that two threads share, for requests of the simple dialect and their replies.
 *
 *   - Exchanges are lent and come back; none is ever given up. Shared memory that was sent from thread to thread is freed
 *     late or never, so each is sent once and then named by its number.
 *   - A small one is there for every connection: what others ask for, or do not take, must not stop small requests. Of the
 *     larger ones there are only so many; who finds none waits.
 */
import { SIMPLE_DATA_SIZE_MAX, SIMPLE_REQUEST_SIZE } from "../../wire/simple.ts";

/** Sizes of exchanges in bytes, the smallest first, and how many of each there may be. */
const CLASSES: readonly { readonly size: number; readonly countMax: number }[] = [
  { size: 32 * 1024, countMax: Infinity },
  { size: 1024 * 1024, countMax: 64 },
  { size: SIMPLE_DATA_SIZE_MAX + SIMPLE_REQUEST_SIZE, countMax: 2 },
];

/** Bytes of all larger exchanges of one server. */
export const EXCHANGE_TOTAL_MAX: number = CLASSES.slice(1).reduce(
  (sum, { size, countMax }) => sum + size * countMax,
  0,
);

/** A request, then its reply. */
export interface Exchange {
  /** Its number, from 0. */
  readonly number: number;
  /** Room for both, and more. */
  readonly bytes: Uint8Array<SharedArrayBuffer>;
}

/** See the head of this file. */
export class ExchangePool {
  readonly #classes = CLASSES.map((each) => ({ ...each, free: [] as Exchange[], count: 0 }));
  #count = 0;

  /** Whether `size` bytes, at most that of a whole request, always find room. */
  static isSmall(size: number): boolean {
    return size <= (CLASSES[0]?.size ?? 0);
  }

  /** An exchange with room for `size` bytes; undefined when all are lent. */
  take(size: number): Exchange | undefined {
    const fitting = this.#classes.find((each) => size <= each.size);
    if (!fitting) throw new RangeError(`no exchange has ${size} bytes`);
    const free = fitting.free.pop();
    if (free || fitting.count >= fitting.countMax) return free;
    fitting.count++;
    return { number: this.#count++, bytes: new Uint8Array(new SharedArrayBuffer(fitting.size)) };
  }

  /** Takes one back. */
  give(exchange: Exchange): void {
    this.#classes.find(({ size }) => size === exchange.bytes.length)?.free.push(exchange);
  }
}
