/**
 * Bytes of a link that are not consumed yet: the rest of a frame that has only begun to arrive.
 *
 * Empty most of the time, and then without a buffer: an idle connection costs nothing here. All stashes of a transport
 * share one budget.
 */
import { ProtocolError } from "../base/errors.ts";
import { STASH_TOTAL_MAX } from "./transport.ts";

/** What all stashes of a transport hold together. */
export class StashBudget {
  /** Bytes held. */
  total = 0;
}

const NOTHING = new Uint8Array(0);
const NO_VIEW = new DataView(NOTHING.buffer);

/** The stash of one link. */
export class Stash {
  /** `bytes[0 … size]` has arrived; there is room for the rest. */
  bytes: Uint8Array<ArrayBuffer> = NOTHING;
  /** The same, to read integers from. */
  view: DataView<ArrayBuffer> = NO_VIEW;
  /** Bytes that have arrived. */
  size = 0;
  readonly #budget: StashBudget;

  /** @param budget shared by all links of a transport. */
  constructor(budget: StashBudget) {
    this.#budget = budget;
  }

  #use(bytes: Uint8Array<ArrayBuffer>, size: number): void {
    this.#budget.total += bytes.length - this.bytes.length;
    this.bytes = bytes;
    this.view = bytes.length === 0 ? NO_VIEW : new DataView(bytes.buffer);
    this.size = size;
  }

  /** Keeps a copy of `from[start … end]`, and nothing else. `from` may be this stash's own buffer. */
  keep(from: Uint8Array<ArrayBuffer>, start: number, end: number): void {
    if (start === end) return this.clear();
    if (from === this.bytes && start === 0) {
      this.size = end;
      return;
    }
    this.#use(from.slice(start, end), end - start);
  }

  /** Puts `bytes` behind what is there, in room for `capacity` bytes if that is more. @throws as `grow`. */
  append(bytes: Uint8Array, capacity: number): void {
    this.grow(Math.max(capacity, this.size + bytes.length));
    this.bytes.set(bytes, this.size);
    this.size += bytes.length;
  }

  /** Makes room for `capacity` bytes in all. @throws ProtocolError when all links together would hold too much. */
  grow(capacity: number): void {
    if (this.bytes.length >= capacity) return;
    if (this.#budget.total + capacity > STASH_TOTAL_MAX) {
      throw new ProtocolError(
        `no room for a frame of ${capacity} bytes: ${this.#budget.total} bytes are half received already`,
      );
    }
    const bytes = new Uint8Array(capacity);
    bytes.set(this.bytes.subarray(0, this.size));
    this.#use(bytes, this.size);
  }

  /** Forgets everything, and frees the buffer. */
  clear(): void {
    if (this.bytes.length > 0) this.#use(NOTHING, 0);
    this.size = 0;
  }
}
