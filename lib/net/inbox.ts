/**
 * What the connections of one round have sent, one after the other in one buffer, so that a service can serve them
 * together: all their guards in one system call.
 *
 * The same objects serve every round: nothing is made per request.
 */
import type { Link } from "./transport.ts";

/** One connection's bytes: `bytes[start … end]`. */
export class Letter<L extends Link = Link> {
  /** Whose. */
  link: L;
  /** Where they begin; whoever consumes some moves it. */
  start = 0;
  /** Where they end. */
  end = 0;

  /** @param link the first it belongs to. */
  constructor(link: L) {
    this.link = link;
  }
}

/** See the head of this file. */
export class Inbox<L extends Link = Link> {
  /** The buffer of all. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The same, to read integers from. */
  readonly view: DataView<ArrayBuffer>;
  /** Bytes of the buffer that are taken. */
  size = 0;
  /** How many letters there are. */
  count = 0;
  readonly #letters: Letter<L>[] = [];

  /** @param bytes what the connections are received into. */
  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer);
  }

  /** Letter `index`, in the order they came. */
  at(index: number): Letter<L> {
    return this.#letters[index] as Letter<L>;
  }

  /** Adds the `size` bytes that have just been received behind the others. */
  add(link: L, size: number): void {
    const letter = this.#letters[this.count] ??= new Letter(link);
    this.count++;
    letter.link = link;
    letter.start = this.size;
    this.size += size;
    letter.end = this.size;
  }

  /** Forgets all. */
  clear(): void {
    this.count = 0;
    this.size = 0;
  }
}
