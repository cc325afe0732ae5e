/**
 * A region: the bytes of one memory server as they lie in shared memory, and what may be done to them.
 *
 *   - The methods whose names end in `Held` expect the caller to hold the guards of every block they touch. They check
 *     nothing but the blocks' versions; bounds are the caller's duty, and checked with `contains`.
 *   - A write makes the versions of all its blocks odd, writes, makes them even. A version found odd under the guard means
 *     that the last writer died half way: the block is *suspect*; whoever finds it counts it once and makes it even.
 *   - Words read under a guard are read plainly: the calls that take and give it are opaque to the compiler and order
 *     memory on every processor. Versions are stored in order with the bytes, for those who read without a guard.
 *   - While a checkpoint is copied, a write saves the blocks it is about to change to the shadow. It decides so ONCE, with
 *     all its guards held: so it lies before or after the cut with all its blocks. The order in each is: shadow, saved,
 *     version odd, write, version even. (docs/CHECKPOINT.md; a block marked saved before it is would be lost with its writer.)
 *   - Sequence-lock reads take no guard: they hold only against writers that bump versions, so not against key-only
 *     programs.
 */
import { SystemError } from "../base/errors.ts";
import type { SharedMemory } from "../sys/shared_memory.ts";
import { judgeEpoch } from "../wire/epoch.ts";
import type { EpochVerdict, EpochWord } from "../wire/epoch.ts";
import { copySmall, SMALL_SIZE_MAX } from "./copy.ts";
import { Guards } from "./guards.ts";
import type { GuardPlan } from "./guards.ts";
import { COOKIE_SIZE, FooterWord, RegionState, SUSPECTS_MAX } from "./layout.ts";
import type { RegionLayout } from "./layout.ts";
import { Shadow } from "./shadow.ts";

/** A word's width in bytes, for the atomic operations. */
export type WordWidth = 4 | 8;

/** Names the state word of a footer. */
export type StateName = keyof typeof RegionState;

/** A block's holder word: nobody, readers of copies, or (2 and more) one owner of the only writable copy. */
export const HOLDER_OWNED = 2;

/**
 * Whether this processor keeps stores in order among themselves, and loads (x86 does). There a plain access says as much
 * as an ordered one, and an Atomics.store would wait for every store before it to reach the cache.
 */
const IS_ORDERED = Deno.build.arch === "x86_64";

/** A store that others see after the stores before it, and before those after it. */
function storeInOrder(words: Int32Array, index: number, value: number): void {
  if (IS_ORDERED) words[index] = value;
  else Atomics.store(words, index, value);
}

/** A load that happens before the loads after it. */
function loadInOrder(words: Int32Array, index: number): number {
  return IS_ORDERED ? words[index] as number : Atomics.load(words, index);
}

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
  readonly #saved: Int32Array;
  readonly #holders: Int32Array;
  /** The epoch whose shadow was asked for last, 0 when that of none is wanted; and the shadow, if it could be had. */
  #armed = 0;
  #shadow: Shadow | undefined;
  readonly #blockSize: number;
  /** 1 / the block size where that is exact, so that the hot path multiplies; else 0. */
  readonly #inverse: number;

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
    this.#saved = new Int32Array(buffer, layout.savedOffset, layout.blockCount);
    this.#holders = new Int32Array(buffer, layout.holdersOffset, layout.blockCount);
    this.#blockSize = layout.blockSize;
    this.#inverse = Number.isInteger(Math.log2(layout.blockSize)) ? 1 / layout.blockSize : 0;
  }

  /** A word of the footer. */
  word(index: number): number {
    return Atomics.load(this.#words, index);
  }

  /** The epoch that a reply made under its guards carries. */
  get epochHeld(): number {
    return (this.#words[FooterWord.epoch] as number) >>> 0;
  }

  /** The incarnation that a reply made under its guards carries. */
  get incarnationHeld(): number {
    return (this.#words[FooterWord.incarnation] as number) >>> 0;
  }

  /** Whether a process knows exactly what the footer says. */
  isKnownHeld(known: EpochWord): boolean {
    return this.#words[FooterWord.epoch] === (known.epoch | 0) &&
      this.#words[FooterWord.incarnation] === (known.incarnation | 0);
  }

  /** What to make of an epoch that came with a request; one that is next has been moved to when this returns. */
  meet(incarnation: number, epoch: number): EpochVerdict {
    const verdict = judgeEpoch({ incarnation: this.incarnationHeld, epoch: this.epochHeld }, incarnation, epoch);
    if (verdict === "next") this.raiseEpoch(epoch);
    return verdict;
  }

  /** Enters a life of the cluster, at `epoch` or its own. @returns false when it is in a later one. */
  join(incarnation: number, epoch: number): boolean {
    const own = this.incarnationHeld;
    if (incarnation < own) return false;
    if (incarnation === own) return true;
    this.raiseEpoch(epoch);
    this.releaseEpoch(this.epochHeld);
    return this.replaceWord(FooterWord.incarnation, own | 0, incarnation | 0);
  }

  /** Moves the footer to `epoch` unless it is there or beyond. */
  raiseEpoch(epoch: number): void {
    for (;;) {
      const own = this.epochHeld;
      if (own >= epoch || this.replaceWord(FooterWord.epoch, own | 0, epoch | 0)) return;
    }
  }

  /** Whether a cut has been made here that others may not have made yet: who carries no epoch has to wait. */
  get isCutUnreleased(): boolean {
    return (this.#words[FooterWord.released] as number) >>> 0 < this.epochHeld;
  }

  /** Gives up the picture of `epoch`: it becomes no checkpoint, and nobody saves blocks for it or waits for it. */
  voidEpoch(epoch: number): void {
    this.setWord(FooterWord.voidEpoch, epoch);
    const copying = this.word(FooterWord.copying);
    if (copying >>> 0 <= epoch) this.replaceWord(FooterWord.copying, copying, 0);
    this.releaseEpoch(epoch);
  }

  /** Lets those go on who waited for the cut of `epoch` to be made everywhere. */
  releaseEpoch(epoch: number): void {
    const released = this.word(FooterWord.released) >>> 0;
    if (released < epoch) this.replaceWord(FooterWord.released, released | 0, epoch | 0);
  }

  /**
   * The state, the first word of the cookie and `ownedFirst`, as they are under a guard: whether this is still the memory it
   * was, and as free.
   */
  isSameHeld(cookieWord: number, ownedFirst: number): boolean {
    return this.#words[FooterWord.state] === RegionState.serving && this.#words[FooterWord.cookie] === cookieWord &&
      this.#words[FooterWord.ownedFirst] === ownedFirst;
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

  /** The block that holds `offset`. (There are at most 2^24, so the quotient fits the integers that are fast.) */
  blockOf(offset: number): number {
    return (this.#inverse !== 0 ? offset * this.#inverse : offset / this.#blockSize) | 0;
  }

  /** The one guard of `size` bytes from `offset`, or -1 when they lie in several blocks, or are none. */
  onlyGuard(offset: number, size: number): number {
    const block = this.blockOf(offset);
    return size > 0 && this.blockOf(offset + size - 1) === block ? block % this.guards.count : -1;
  }

  /** The block that holds all of a few bytes, or -1 when they are many, lie in several blocks, or are none. */
  smallBlock(offset: number, size: number): number {
    const block = this.blockOf(offset);
    return size > 0 && size <= SMALL_SIZE_MAX && this.blockOf(offset + size - 1) === block ? block : -1;
  }

  /** Whether a block may be used as it is: nobody else holds it (see `isHeldElsewhere`), and no writer died in it. */
  isPlainHeld(block: number, lowest: number): boolean {
    return (this.#holders[block] as number) < lowest && ((this.#versions[block] as number) & 1) === 0;
  }

  /** Copies a few bytes of one block, which is plain, to the start of what `view` is over. */
  readSmallHeld(offset: number, size: number, view: DataView): void {
    copySmall(this.#view, offset, view, 0, size);
  }

  /** Writes a few bytes from the start of what `view` is over into one block, which is plain. */
  writeSmallHeld(block: number, offset: number, size: number, view: DataView): void {
    this.#saveHeld(block, block);
    const version = this.#versions[block] as number;
    storeInOrder(this.#versions, block, version + 1);
    copySmall(view, 0, this.#view, offset, size);
    storeInOrder(this.#versions, block, version + 2);
  }

  /** Adds the guards of `size` bytes from `offset` to `plan`. */
  planRange(plan: GuardPlan, offset: number, size: number): void {
    if (size === 0) return;
    plan.addBlocks(this.blockOf(offset), this.blockOf(offset + size - 1));
  }

  /** Whether a copy outside the home forbids to read (2 and more), or to write (1 and more), a block of the range here. */
  isHeldElsewhere(offset: number, size: number, lowest: number): boolean {
    if (size === 0) return false;
    const last = this.blockOf(offset + size - 1);
    for (let block = this.blockOf(offset); block <= last; block++) {
      if ((this.#holders[block] as number) >= lowest) return true;
    }
    return false;
  }

  /** Looks for blocks that a writer left half written. Reading or writing them goes on; they are reported. */
  checkHeld(offset: number, size: number): void {
    if (size === 0) return;
    const last = this.blockOf(offset + size - 1);
    for (let block = this.blockOf(offset); block <= last; block++) {
      const version = this.#versions[block] as number;
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

  /** Copies `size` bytes from `offset` to `into[at…]`; `view` is over the same bytes as `into`. */
  readHeld(offset: number, size: number, into: Uint8Array, at: number, view: DataView): void {
    this.checkHeld(offset, size);
    if (size <= SMALL_SIZE_MAX) copySmall(this.#view, offset, view, at, size);
    else into.set(this.data.subarray(offset, offset + size), at);
  }

  /** Writes `from[at … at + size]` at `offset`; `view` is over the same bytes as `from`. */
  writeHeld(offset: number, from: Uint8Array, at: number, size: number, view: DataView): void {
    if (size === 0) return;
    const first = this.blockOf(offset);
    const last = this.blockOf(offset + size - 1);
    this.#startWrites(first, last);
    if (size <= SMALL_SIZE_MAX) copySmall(view, at, this.#view, offset, size);
    else this.data.set(from.subarray(at, at + size), offset);
    this.#endWrites(first, last);
  }

  /** Sets `size` bytes from `offset` to `byte`. */
  fillHeld(offset: number, size: number, byte: number): void {
    if (size === 0) return;
    const first = this.blockOf(offset);
    const last = this.blockOf(offset + size - 1);
    this.#startWrites(first, last);
    this.data.fill(byte, offset, offset + size);
    this.#endWrites(first, last);
  }

  /** Saves blocks that are about to be written, if a logger has not copied them yet. Called once per operation. */
  #saveHeld(first: number, last: number): void {
    const copying = this.#words[FooterWord.copying] as number;
    if ((copying | this.#armed) !== 0) this.#saveBlocks(first, last, copying);
  }

  #saveBlocks(first: number, last: number, copying: number): void {
    if (copying !== this.#armed) this.#arm(copying);
    // after `copying`, never before it: an epoch seen at its cut has been armed already
    const epoch = loadInOrder(this.#words, FooterWord.epoch);
    if (copying !== epoch || copying === 0) return;
    const shadow = this.#shadow?.bytes;
    if (!shadow) return this.voidEpoch(epoch);
    const { blockSize } = this.layout;
    for (let block = first; block <= last; block++) {
      if (this.#saved[block] === epoch) continue;
      const start = block * blockSize;
      shadow.set(this.data.subarray(start, start + blockSize), start);
      storeInOrder(this.#saved, block, epoch);
    }
  }

  #arm(epoch: number): void {
    this.#shadow?.detach();
    this.#shadow = epoch === 0 ? undefined : Shadow.attach(this.word(FooterWord.shadowId), this.layout.size);
    this.#armed = epoch;
  }

  /** Whether a write may begin now: false when blocks would have to be saved and `maySave` is, or there is no shadow. */
  canSaveHeld(maySave: boolean): boolean {
    const copying = this.#words[FooterWord.copying] as number;
    if (copying === 0) return true;
    if (copying !== this.#armed) this.#arm(copying);
    return maySave && this.#shadow !== undefined;
  }

  /** Lets go of the shadow of a checkpoint that is over. (Writers do so too; this is for those who have not written.) */
  forgetShadow(): void {
    if (this.word(FooterWord.copying) === 0 && this.#armed !== 0) this.#arm(0);
  }

  /** The epoch that a block was saved for last, by a writer or the logger. */
  savedHeld(block: number): number {
    return this.#saved[block] as number;
  }

  /** Says that blocks `first` to `last` have been copied, or saved, for `epoch`. */
  setSaved(first: number, last: number, epoch: number): void {
    for (let block = first; block <= last; block++) storeInOrder(this.#saved, block, epoch);
  }

  /** Makes the versions of all blocks odd before a byte of any is touched: so who reads several sees all of it or none. */
  #startWrites(first: number, last: number): void {
    this.#saveHeld(first, last);
    for (let block = first; block <= last; block++) {
      let version = this.#versions[block] as number;
      if ((version & 1) !== 0) this.#countSuspect(block, version++);
      storeInOrder(this.#versions, block, version + 1);
    }
  }

  #endWrites(first: number, last: number): void {
    for (let block = first; block <= last; block++) {
      storeInOrder(this.#versions, block, (this.#versions[block] as number) + 1);
    }
  }

  /** Lends the bytes themselves, to be read. */
  lendHeld(offset: number, size: number, transfer: (bytes: Uint8Array<ArrayBuffer>) => void): void {
    this.checkHeld(offset, size);
    transfer(this.data.subarray(offset, offset + size));
  }

  /** Lends the bytes themselves, to be overwritten; the versions of all their blocks are odd meanwhile. */
  lendForWriteHeld(offset: number, size: number, transfer: (bytes: Uint8Array<ArrayBuffer>) => void): void {
    if (size === 0) return;
    const first = this.blockOf(offset);
    const last = this.blockOf(offset + size - 1);
    this.#startWrites(first, last);
    try {
      transfer(this.data.subarray(offset, offset + size));
    } finally {
      this.#endWrites(first, last);
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
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, BigInt.asUintN(64, value), true);
    this.writeHeld(offset, bytes, 0, width, view);
  }

  /**
   * Copies without a guard, as a sequence lock does: right only against writers that bump versions.
   *
   * @returns false when a writer was at it or the region may not be used; nothing in `into` counts then.
   */
  readOptimistic(offset: number, into: Uint8Array, view: DataView): boolean {
    const size = into.length;
    if (size === 0) return this.isServing;
    const first = this.blockOf(offset);
    const last = this.blockOf(offset + size - 1);
    if (first !== last) return this.#readBlocksOptimistic(offset, into, first, last);
    const version = loadInOrder(this.#versions, first);
    if ((version & 1) !== 0) return false;
    if (size <= SMALL_SIZE_MAX) copySmall(this.#view, offset, view, 0, size);
    else into.set(this.data.subarray(offset, offset + size));
    if ((this.#holders[first] as number) >= HOLDER_OWNED) return false;
    if (this.#words[FooterWord.state] !== RegionState.serving) return false;
    return Atomics.load(this.#versions, first) === version;
  }

  #readBlocksOptimistic(offset: number, into: Uint8Array, first: number, last: number): boolean {
    const before = this.#versions.slice(first, last + 1);
    Atomics.load(this.#versions, last);
    into.set(this.data.subarray(offset, offset + into.length));
    Atomics.load(this.#versions, first);
    const versions = this.#versions;
    const holders = this.#holders;
    for (let i = 0, block = first; block <= last; i++, block++) {
      const version = before[i] as number;
      if ((version & 1) !== 0 || versions[block] !== version || (holders[block] as number) >= HOLDER_OWNED) {
        return false;
      }
    }
    return this.isServing;
  }

  /** Unmaps the region; nothing of it may be touched afterwards. */
  detach(): void {
    this.#shadow?.detach();
    this.#shadow = undefined;
    this.memory.detach();
  }
}
