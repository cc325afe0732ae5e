/**
 * A region: the bytes of one memory server as they lie in shared memory, and what may be done to them.
 *
 *   - The methods whose names end in `Held` expect the caller to hold the guards of every block they touch. They check
 *     nothing but the blocks' versions; bounds are the caller's duty, and checked with `contains`.
 *   - A write makes the version odd, writes, makes it even. A version found odd under the guard means that the last
 *     writer died half way: the block is *suspect*; whoever finds it counts it once and makes it even.
 *   - Sequence-lock reads take no guard: they hold only against writers that bump versions, so not against key-only
 *     programs.
 */
import { SystemError } from "../base/errors.ts";
import type { SharedMemory } from "../sys/shared_memory.ts";
import { Guards } from "./guards.ts";
import type { GuardPlan } from "./guards.ts";
import { COOKIE_SIZE, FooterWord, RegionState, SUSPECTS_MAX } from "./layout.ts";
import type { RegionLayout } from "./layout.ts";

/** A word's width in bytes, for the atomic operations. */
export type WordWidth = 4 | 8;

/** Names the state word of a footer. */
export type StateName = keyof typeof RegionState;

/** A block's holder word: nobody, readers of copies, or (2 and more) one owner of the only writable copy. */
export const HOLDER_OWNED = 2;

/** One region, mapped into this process. */
export class Region {
  /** Where everything is. */
  readonly layout: RegionLayout;
  /** The whole segment. */
  readonly memory: SharedMemory;
  /** User data, and nothing else. */
  readonly data: Uint8Array<ArrayBuffer>;
  /** The guards. */
  readonly guards: Guards;
  /** Called once per suspect block found by this process. */
  onSuspect: (block: number) => void = () => {};
  readonly #view: DataView;
  readonly #words: Int32Array;
  readonly #versions: Int32Array;
  readonly #holders: Int32Array;
  readonly #blockSize: number;

  /** @param memory a mapped segment whose footer is valid; @param guardSetId the set that guards it. */
  constructor(memory: SharedMemory, layout: RegionLayout, guardSetId: number) {
    const buffer = memory.bytes.buffer;
    this.memory = memory;
    this.layout = layout;
    this.data = memory.bytes.subarray(0, layout.size);
    this.guards = new Guards(guardSetId, layout.guardCount);
    this.#view = new DataView(buffer, 0, layout.size);
    this.#words = new Int32Array(buffer, layout.footerOffset, FooterWord.suspects + SUSPECTS_MAX);
    this.#versions = new Int32Array(buffer, layout.versionsOffset, layout.blockCount);
    this.#holders = new Int32Array(buffer, layout.holdersOffset, layout.blockCount);
    this.#blockSize = layout.blockSize;
  }

  /** A word of the footer. */
  word(index: number): number {
    return Atomics.load(this.#words, index);
  }

  /** Sets a word of the footer. */
  setWord(index: number, value: number): void {
    Atomics.store(this.#words, index, value);
  }

  /** Sets a word if it is `expected`; says whether it was. */
  replaceWord(index: number, expected: number, value: number): boolean {
    return Atomics.compareExchange(this.#words, index, expected, value) === expected;
  }

  /** The 128-bit cookie that tells this memory from any other, as 32 hexadecimal digits. */
  get cookie(): string {
    const at = this.layout.footerOffset + FooterWord.cookie * 4;
    return this.memory.bytes.slice(at, at + COOKIE_SIZE).toHex();
  }

  /** Whether the region may be used now. */
  get isServing(): boolean {
    return Atomics.load(this.#words, FooterWord.state) === RegionState.serving;
  }

  /** Moves the region to another state. */
  setState(name: StateName): void {
    this.setWord(FooterWord.state, RegionState[name]);
  }

  /** Whether `size` bytes from `offset` lie within the user data. */
  contains(offset: number, size: number): boolean {
    return Number.isSafeInteger(offset) && Number.isSafeInteger(size) && offset >= 0 && size >= 0 &&
      offset + size <= this.layout.size;
  }

  /** Throws EINVAL unless `size` bytes from `offset` lie within the user data. */
  requireRange(call: string, offset: number, size: number): void {
    if (this.contains(offset, size)) return;
    throw new SystemError(
      call,
      "EINVAL",
      `cannot ${call} ${size} bytes at ${offset}: EINVAL; the region has ${this.layout.size} bytes`,
    );
  }

  /** Adds the guards of `size` bytes from `offset` to `plan`. */
  planRange(plan: GuardPlan, offset: number, size: number): void {
    if (size === 0) return;
    plan.addBlocks(Math.floor(offset / this.#blockSize), Math.floor((offset + size - 1) / this.#blockSize));
  }

  /** Whether a copy outside the home forbids to read (2 and more), or to write (1 and more), a block of the range here. */
  isHeldElsewhere(offset: number, size: number, lowest: number): boolean {
    if (size === 0) return false;
    const last = Math.floor((offset + size - 1) / this.#blockSize);
    for (let block = Math.floor(offset / this.#blockSize); block <= last; block++) {
      if (Atomics.load(this.#holders, block) >= lowest) return true;
    }
    return false;
  }

  /** Looks for blocks that a writer left half written. Reading or writing them goes on; they are reported. */
  checkHeld(offset: number, size: number): void {
    if (size === 0) return;
    const last = Math.floor((offset + size - 1) / this.#blockSize);
    for (let block = Math.floor(offset / this.#blockSize); block <= last; block++) {
      const version = Atomics.load(this.#versions, block);
      if ((version & 1) !== 0) this.#countSuspect(block, version);
    }
  }

  #countSuspect(block: number, version: number): void {
    const index = Atomics.add(this.#words, FooterWord.suspectCount, 1);
    Atomics.store(this.#words, FooterWord.suspects + (index % SUSPECTS_MAX), block);
    Atomics.store(this.#versions, block, version + 1);
    this.onSuspect(block);
  }

  /** Blocks found half written since the region was made, and the numbers of the latest of them. */
  suspects(): { readonly count: number; readonly latest: number[] } {
    const count = this.word(FooterWord.suspectCount) >>> 0;
    const latest = Array.from({ length: Math.min(count, SUSPECTS_MAX) }, (_, i) => this.word(FooterWord.suspects + i));
    return { count, latest: [...new Set(latest)] };
  }

  /** Copies `size` bytes from `offset` to `into[at…]`. */
  readHeld(offset: number, size: number, into: Uint8Array, at: number): void {
    this.checkHeld(offset, size);
    into.set(this.data.subarray(offset, offset + size), at);
  }

  /** Writes `from[at … at + size]` at `offset`, block by block, each between an odd and an even version. */
  writeHeld(offset: number, from: Uint8Array, at: number, size: number): void {
    const end = offset + size;
    const blockSize = this.#blockSize;
    for (let position = offset; position < end;) {
      const block = Math.floor(position / blockSize);
      const stop = Math.min(end, (block + 1) * blockSize);
      const version = this.#startWrite(block);
      const source = at + position - offset;
      this.data.set(from.subarray(source, source + stop - position), position);
      Atomics.store(this.#versions, block, version + 2);
      position = stop;
    }
  }

  /** Sets `size` bytes from `offset` to `byte`. */
  fillHeld(offset: number, size: number, byte: number): void {
    const end = offset + size;
    const blockSize = this.#blockSize;
    for (let position = offset; position < end;) {
      const block = Math.floor(position / blockSize);
      const stop = Math.min(end, (block + 1) * blockSize);
      const version = this.#startWrite(block);
      this.data.fill(byte, position, stop);
      Atomics.store(this.#versions, block, version + 2);
      position = stop;
    }
  }

  #startWrite(block: number): number {
    let version = Atomics.load(this.#versions, block);
    if ((version & 1) !== 0) {
      this.#countSuspect(block, version);
      version++;
    }
    Atomics.store(this.#versions, block, version + 1);
    return version;
  }

  /** Lends the bytes themselves, to be read. */
  lendHeld(offset: number, size: number, transfer: (bytes: Uint8Array<ArrayBuffer>) => void): void {
    this.checkHeld(offset, size);
    transfer(this.data.subarray(offset, offset + size));
  }

  /** Lends the bytes themselves, to be overwritten; the versions of all their blocks are odd meanwhile. */
  lendForWriteHeld(offset: number, size: number, transfer: (bytes: Uint8Array<ArrayBuffer>) => void): void {
    if (size === 0) return;
    const first = Math.floor(offset / this.#blockSize);
    const last = Math.floor((offset + size - 1) / this.#blockSize);
    for (let block = first; block <= last; block++) this.#startWrite(block);
    try {
      transfer(this.data.subarray(offset, offset + size));
    } finally {
      for (let block = first; block <= last; block++) Atomics.add(this.#versions, block, 1);
    }
  }

  /** The little-endian word at `offset`. */
  wordHeld(offset: number, width: WordWidth): bigint {
    this.checkHeld(offset, width);
    return width === 4 ? BigInt(this.#view.getUint32(offset, true)) : this.#view.getBigUint64(offset, true);
  }

  /** Replaces the little-endian word at `offset`; what does not fit `width` is cut off. */
  setWordHeld(offset: number, width: WordWidth, value: bigint): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, value), true);
    this.writeHeld(offset, bytes, 0, width);
  }

  /**
   * Copies without a guard, as a sequence lock does: right only against writers that bump versions.
   *
   * @returns false when a writer was at it or the region may not be used; nothing in `into` counts then.
   */
  readOptimistic(offset: number, into: Uint8Array): boolean {
    const size = into.length;
    const blockSize = this.#blockSize;
    for (let position = offset, end = offset + size; position < end;) {
      const block = Math.floor(position / blockSize);
      const stop = Math.min(end, (block + 1) * blockSize);
      const version = Atomics.load(this.#versions, block);
      if ((version & 1) !== 0) return false;
      if (position === offset && stop === end) into.set(this.data.subarray(position, stop));
      else into.set(this.data.subarray(position, stop), position - offset);
      if (
        Atomics.load(this.#versions, block) !== version || Atomics.load(this.#holders, block) >= HOLDER_OWNED ||
        !this.isServing
      ) return false;
      position = stop;
    }
    return true;
  }

  /** Unmaps the region; nothing of it may be touched afterwards. */
  detach(): void {
    this.memory.detach();
  }
}
