/**
 * The requests in flight of a channel, by id.
 *
 * Ids follow one another, so a slot is the id modulo the table's size; where two meet, the table doubles. (A Map, filled
 * and emptied at this rate, leaves a chain of outgrown tables that keep dead requests alive: the collector had 20 ms
 * pauses with 64 requests in flight.)
 */
import type { Pending } from "./request.ts";

const SLOT_COUNT_MIN = 256;

/** See the head of this file. */
export class PendingTable {
  /** How many there are. */
  size = 0;
  #slots: (Pending | undefined)[] = new Array(SLOT_COUNT_MIN).fill(undefined);
  #mask = SLOT_COUNT_MIN - 1;

  /** The request with that id. */
  get(id: number): Pending | undefined {
    const pending = this.#slots[id & this.#mask];
    return pending?.id === id ? pending : undefined;
  }

  /** Adds a request whose id is not there. */
  add(pending: Pending): void {
    while (this.#slots[pending.id & this.#mask] !== undefined) this.#grow();
    this.#slots[pending.id & this.#mask] = pending;
    this.size++;
  }

  /** Removes the request with that id, if it is there. */
  delete(id: number): void {
    if (!this.get(id)) return;
    this.#slots[id & this.#mask] = undefined;
    this.size--;
  }

  /** All requests, the oldest id first. */
  all(): Pending[] {
    return this.#slots.filter((slot) => slot !== undefined).sort((a, b) => a.id - b.id);
  }

  #grow(): void {
    const all = this.all();
    const count = this.#slots.length * 2;
    this.#slots = new Array(count).fill(undefined);
    this.#mask = count - 1;
    for (const pending of all) this.#slots[pending.id & this.#mask] = pending;
  }
}
