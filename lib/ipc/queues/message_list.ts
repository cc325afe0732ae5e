/**
 * The messages that wait in one queue, in the order they were sent, and those of each type apart.
 *
 *   - Every message is in two chains, the queue's and its type's; both are in the order of the numbers, whatever was put
 *     back when.
 *   - Adding a new message, finding one and taking it out cost the same however many there are; what is asked for by type
 *     < 0 or by MSG_EXCEPT may cost a step per type. Only MSG_COPY walks.
 *   - A message that is put back is looked for a place from where the last one went in, so that a whole session's messages
 *     cost one walk.
 */
import { invariant } from "../../base/assert.ts";
import type { Message } from "./queue.ts";
import type { Selection } from "./selection.ts";

/** A message's place in a chain. */
interface Link {
  readonly message: Message;
  older: Link | undefined;
  younger: Link | undefined;
}

/** Messages in the order of their numbers. */
class Chain {
  oldest: Link | undefined;
  #youngest: Link | undefined;
  /** Where the last one went in; it is in the chain. */
  #latest: Link | undefined;

  insert(message: Message): Link {
    const older = this.#before(message.number);
    const younger = older ? older.younger : this.oldest;
    const link: Link = { message, older, younger };
    if (older) older.younger = link;
    else this.oldest = link;
    if (younger) younger.older = link;
    else this.#youngest = link;
    this.#latest = link;
    return link;
  }

  /** The youngest link before `number`. */
  #before(number: number): Link | undefined {
    if (!this.#youngest || this.#youngest.message.number < number) return this.#youngest;
    let at = this.#latest ?? this.oldest;
    while (at && at.message.number > number) at = at.older;
    if (!at) return undefined;
    while (at.younger && at.younger.message.number < number) at = at.younger;
    return at;
  }

  remove(link: Link): void {
    if (link.older) link.older.younger = link.younger;
    else this.oldest = link.younger;
    if (link.younger) link.younger.older = link.older;
    else this.#youngest = link.older;
    if (this.#latest === link) this.#latest = link.older ?? link.younger;
  }
}

/** Where one message is. */
interface Entry {
  readonly inQueue: Link;
  readonly ofType: Link;
}

/** See the head of this file. */
export class MessageList {
  readonly #chain = new Chain();
  readonly #chainByType = new Map<number, Chain>();
  /** The types there are, the least first. */
  readonly #types: number[] = [];
  readonly #entries = new Map<number, Entry>();
  #size = 0;

  /** How many there are. */
  get count(): number {
    return this.#entries.size;
  }

  /** Bytes of all their texts. */
  get size(): number {
    return this.#size;
  }

  /** All, the oldest first. */
  *[Symbol.iterator](): Generator<Message> {
    for (let at = this.#chain.oldest; at; at = at.younger) yield at.message;
  }

  /** Whether message `number` is among them. */
  has(number: number): boolean {
    return this.#entries.has(number);
  }

  /** Puts a message in its place by its number, which is no other's. */
  insert(message: Message): void {
    const { number, type, data } = message;
    invariant(!this.has(number), `message ${number} is not in the list`);
    let chain = this.#chainByType.get(type);
    if (!chain) {
      chain = new Chain();
      this.#chainByType.set(type, chain);
      this.#types.splice(this.#placeOf(type), 0, type);
    }
    this.#entries.set(number, { inQueue: this.#chain.insert(message), ofType: chain.insert(message) });
    this.#size += data.length;
  }

  /** Takes out a message, which is in the list. */
  remove({ number, type, data }: Message): void {
    const entry = this.#entries.get(number);
    const chain = this.#chainByType.get(type);
    invariant(entry !== undefined && chain !== undefined, `message ${number} is in the list`);
    this.#entries.delete(number);
    this.#chain.remove(entry.inQueue);
    chain.remove(entry.ofType);
    this.#size -= data.length;
    if (chain.oldest) return;
    this.#chainByType.delete(type);
    this.#types.splice(this.#placeOf(type), 1);
  }

  /** Where `type` is among the types, or would be. */
  #placeOf(type: number): number {
    let [low, high] = [0, this.#types.length];
    while (low < high) {
      const middle = low + high >> 1;
      if ((this.#types[middle] as number) < type) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The message that is wanted; undefined when it is not there. */
  find(wanted: Selection): Message | undefined {
    switch (wanted.mode) {
      case "any":
        return this.#chain.oldest?.message;
      case "equal":
        return this.#firstOf(wanted.type);
      case "except":
        return this.#firstExcept(wanted.type);
      case "least": {
        const least = this.#types[0];
        return least !== undefined && least <= wanted.type ? this.#firstOf(least) : undefined;
      }
    }
  }

  /** The message at `index`, from 0. */
  at(index: number): Message | undefined {
    if (index < 0 || index >= this.count) return undefined;
    let at = this.#chain.oldest;
    for (let left = index; left > 0; left--) at = at?.younger;
    return at?.message;
  }

  #firstOf(type: number): Message | undefined {
    return this.#chainByType.get(type)?.oldest?.message;
  }

  #firstExcept(type: number): Message | undefined {
    const first = this.#chain.oldest?.message;
    if (first?.type !== type) return first;
    let found: Message | undefined;
    for (const [other, { oldest }] of this.#chainByType) {
      if (other === type || !oldest) continue;
      if (!found || oldest.message.number < found.number) found = oldest.message;
    }
    return found;
  }
}
