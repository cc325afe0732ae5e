/**
 * A mailbox from one thread to one other: a ring of 32-bit letters in shared memory. The sender also rings an eventfd;
 * that is not done here.
 */

/** The letter that ends the receiver. */
export const STOP = 0;

/** Letters that fit, a power of two: the counters may wrap. A connection has one letter under way at most. */
export const LETTERS_MAX = 65_536;

const HEAD = 0;
const TAIL = 1;
const FIRST = 2;

/** Both ends of a mailbox. */
export class Mailbox {
  readonly #words: Int32Array<SharedArrayBuffer>;

  /** @param memory from {@linkcode Mailbox.memory}. */
  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory);
  }

  /** Memory for a mailbox. */
  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer(4 * (FIRST + LETTERS_MAX));
  }

  /** Puts a letter in; false when it is full. Only one thread does this. */
  put(letter: number): boolean {
    const tail = Atomics.load(this.#words, TAIL);
    if (((tail - Atomics.load(this.#words, HEAD)) | 0) >= LETTERS_MAX) return false;
    this.#words[FIRST + (tail & (LETTERS_MAX - 1))] = letter;
    Atomics.store(this.#words, TAIL, tail + 1);
    return true;
  }

  /** Takes the oldest letter out; undefined when there is none. Only one thread does this. */
  take(): number | undefined {
    const head = Atomics.load(this.#words, HEAD);
    if (head === Atomics.load(this.#words, TAIL)) return undefined;
    const letter = this.#words[FIRST + (head & (LETTERS_MAX - 1))];
    Atomics.store(this.#words, HEAD, head + 1);
    return letter;
  }
}
