/**
 * The ids of System V objects, made as Linux makes them (ipc/util.c, `ipc_idr_alloc`): id = sequence * 32,768 + index.
 *
 *   - Indexes are handed out in a circle, and the sequence grows each time the circle begins anew: an id comes back after
 *     65,535 rounds at the earliest. So a stale id finds nothing, rather than somebody else's.
 *   - The circle has 64 places, or half as many again as there are objects. SHM_STAT goes through them.
 *   - An index is taken by at most one id.
 */
import { invariant } from "../../base/assert.ts";

/** How many indexes there can be: IPCMNI. */
export const INDEX_COUNT = 32_768;
/** How many sequence numbers there can be. */
export const SEQUENCE_COUNT = 65_535;
const CIRCLE_MIN = 64;
/** The largest id. */
export const ID_MAX = (SEQUENCE_COUNT - 1) * INDEX_COUNT + INDEX_COUNT - 1;

/** Where the circle stands; with the ids in use, all there is to know. */
export interface Circle {
  /** The sequence number of the latest id. */
  readonly sequence: number;
  /** The index of the latest id; -1 before the first. */
  readonly lastIndex: number;
}

/**
 * The one of two circles that has come further. A table that goes back to what it was goes on from there, so that an id told
 * in between is nobody else's.
 */
export function laterCircle(a: Circle, b: Circle): Circle {
  const { sequence, lastIndex } = a.sequence === b.sequence
    ? a.lastIndex >= b.lastIndex ? a : b
    : a.sequence > b.sequence
    ? a
    : b;
  return { sequence, lastIndex };
}

/** See the head of this file. */
export class ObjectIds {
  readonly #idByIndex = new Map<number, number>();
  #circle: Circle;

  /** Ids that go on from `circle`, none of them in use yet. */
  constructor(circle: Circle = { sequence: 0, lastIndex: -1 }) {
    this.#circle = circle;
  }

  /** Where the circle stands. */
  get circle(): Circle {
    return this.#circle;
  }

  /** How many ids are in use. */
  get count(): number {
    return this.#idByIndex.size;
  }

  /** A new id; there must be an index left. */
  take(): number {
    const index = this.#freeIndex();
    const isNewRound = index <= this.#circle.lastIndex;
    const sequence = (this.#circle.sequence + Number(isNewRound)) % SEQUENCE_COUNT;
    this.#circle = { sequence, lastIndex: index };
    const id = sequence * INDEX_COUNT + index;
    this.#idByIndex.set(index, id);
    return id;
  }

  #freeIndex(): number {
    const end = Math.min(Math.max(Math.floor(this.count * 3 / 2), CIRCLE_MIN), INDEX_COUNT);
    const start = this.#circle.lastIndex + 1;
    for (let index = start; index < end; index++) if (!this.#idByIndex.has(index)) return index;
    for (let index = 0; index < Math.min(start, end); index++) if (!this.#idByIndex.has(index)) return index;
    throw new RangeError("no index is left");
  }

  /** Whether the very `id` can be claimed: it is an id, and its index is free. */
  isFree(id: number): boolean {
    return Number.isInteger(id) && id >= 0 && id <= ID_MAX && !this.#idByIndex.has(id % INDEX_COUNT);
  }

  /** Takes the very `id`, of a table that is read back or that names its objects itself; its index must be free. */
  claim(id: number): void {
    const index = id % INDEX_COUNT;
    invariant(!this.#idByIndex.has(index), `index ${index} is free`);
    this.#idByIndex.set(index, id);
  }

  /** Gives `id` back, which must be in use. */
  release(id: number): void {
    const index = id % INDEX_COUNT;
    invariant(this.#idByIndex.get(index) === id, `id ${id} is in use`);
    this.#idByIndex.delete(index);
  }

  /** The id at `index`. As with Linux only the index's part of `index` counts, so an id will do as well. */
  at(index: number): number | undefined {
    return this.#idByIndex.get(index % INDEX_COUNT);
  }
}
