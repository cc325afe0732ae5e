/**
 * A picture of a region at one cut, as its logger takes it while writers go on.
 *
 *   - `prepare` arms the region: a new shadow, and `copying` set. `cut` moves the epoch, unless a message has done so. From
 *     then on whoever writes a block that is not saved yet saves it first.
 *   - Before anything is copied every guard is taken once and given back: whoever decided before the cut has finished then.
 *   - For each block the logger takes the guard and THEN decides: saved for this epoch means the shadow has its bytes, else
 *     they are the region's own. Under the guard it copies and marks the block saved, nothing else.
 *   - Pages that were never written are zero and are not looked at: looking would give them memory. Whoever writes one
 *     after the cut has saved it first, so no guard is needed to know that it was zero.
 *   - At the end `copying` is 0 again: nobody saves blocks for a logger that is done.
 */
import { SystemError } from "../base/errors.ts";
import { mayBeSwapped } from "../sys/host.ts";
import { FooterWord, PAGE_SIZE } from "./layout.ts";
import { isServerAlive } from "./open.ts";
import type { GuardPlan } from "./guards.ts";
import type { Region } from "./region.ts";
import { Shadow } from "./shadow.ts";

/**
 * Bytes copied under one take while others write. A single page, though four would go twice as fast: a logger of low
 * priority may lose its processor in the middle, and whoever needs one of these guards waits until it has it again.
 */
const STEP_SIZE = PAGE_SIZE;
/** The same while nobody does. */
const QUIET_STEP_SIZE = 16 * PAGE_SIZE;
/** How much must have been copied without meeting a writer before nobody is taken to write: his guard or a block of his. */
const QUIET_SIZE = 16 * 1024 * 1024;
/** Takes tried before the guards are waited for. */
const TRIES_MAX = 3;
/** How long a wait for guards lasts before it is looked at whether it is still wanted. */
const SLICE_MS = 200;

/** See the head of this file. */
export class Picture {
  /** The epoch it is of. */
  readonly epoch: number;
  readonly #region: Region;
  readonly #shadow: Shadow;
  readonly #plan: GuardPlan;
  readonly #cookie: string;
  readonly #startCount: number;
  /** Whether pages without memory are known to be zero. */
  readonly #knowsZeros = !mayBeSwapped();
  #pages = new Uint8Array(0);
  #copiedSize = 0;
  /** Bytes copied since a writer was met. */
  #quietSize = 0;
  #isSettled = false;
  #isOver = false;

  private constructor(region: Region, epoch: number, shadow: Shadow) {
    this.epoch = epoch;
    this.#region = region;
    this.#shadow = shadow;
    this.#plan = region.guards.plan();
    this.#cookie = region.cookie;
    this.#startCount = region.word(FooterWord.startCount);
  }

  /**
   * Makes everything ready for the cut of `epoch`. A footer that is further behind than one is brought up to it.
   *
   * @throws SystemError: ESTALE (`epoch` is not beyond the footer's), ENOSPC, ENOMEM, EPERM (no shadow can be made).
   */
  static prepare(region: Region, epoch: number): Picture {
    if (epoch <= region.epochHeld) {
      throw new SystemError(
        "prepare",
        "ESTALE",
        `cannot prepare the cut of epoch ${epoch}: this server is at ${region.epochHeld} already`,
      );
    }
    const shadow = Shadow.create(region.memory.id, region.layout.size);
    region.raiseEpoch(epoch - 1);
    region.releaseEpoch(epoch - 1);
    region.setWord(FooterWord.shadowId, shadow.id);
    region.setWord(FooterWord.copying, epoch);
    return new Picture(region, epoch, shadow);
  }

  /** Moves the footer to the epoch, unless a message has. */
  cut(): void {
    this.#region.raiseEpoch(this.epoch);
  }

  /** Every server has made the cut: who carries no epoch may go on. */
  release(): void {
    this.#region.releaseEpoch(this.epoch);
  }

  /** Empty while the picture stands; else what happened to it, as a sentence without a full stop. */
  whyVoid(): string {
    const region = this.#region;
    if (region.word(FooterWord.voidEpoch) === (this.epoch | 0)) {
      return "a writer could not be held or its block not saved";
    }
    if (!isServerAlive(region)) return "its server has ended";
    if (region.cookie !== this.#cookie || region.word(FooterWord.startCount) !== this.#startCount) {
      return "its server was restarted meanwhile";
    }
    return region.epochHeld === this.epoch ? "" : `its server has gone on to epoch ${region.epochHeld}`;
  }

  /**
   * Copies the next `into.length` bytes of the region as they were at the cut. Called after it, for the whole region from
   * its start, in pieces that begin at page boundaries.
   *
   * @returns "zeros" when they are all zero and never were anything else: `into` is left alone then.
   * @throws the signal's reason; SystemError EIDRM when the guards are gone.
   */
  async copyNext(into: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<"zeros" | "bytes"> {
    if (!this.#isSettled) await this.#settle(signal);
    const start = this.#copiedSize;
    const pages = this.#residency(start, into.length);
    const isUntouched = pages !== undefined && !pages.some(isResident);
    if (isUntouched) this.#setSaved(start, into.length);
    else {
      for (let at = 0; at < into.length;) {
        const isZero = pages !== undefined && !isResident(pages[at / PAGE_SIZE] as number);
        const size = Math.min(isZero ? PAGE_SIZE : this.#stepSize(pages, at), into.length - at);
        if (isZero) {
          into.fill(0, at, at + size);
          this.#setSaved(start + at, size);
        } else await this.#copyStep(start + at, into.subarray(at, at + size), signal);
        at += size;
      }
    }
    this.#copiedSize += into.length;
    if (this.#copiedSize === this.#region.layout.size) this.#letGo();
    return isUntouched ? "zeros" : "bytes";
  }

  /** How much to copy under one take from `at` on: no page without memory. */
  #stepSize(pages: Uint8Array | undefined, at: number): number {
    if (this.#quietSize < QUIET_SIZE) return STEP_SIZE;
    let size = STEP_SIZE;
    while (size < QUIET_STEP_SIZE && (!pages || isResident(pages[(at + size) / PAGE_SIZE] ?? 0))) size += PAGE_SIZE;
    return size;
  }

  /** Waits until everybody is done who held a guard at the cut: all others see the new epoch. */
  async #settle(signal: AbortSignal): Promise<void> {
    const { guards } = this.#region;
    for (let guard = 0; guard < guards.count; guard++) {
      this.#plan.clear();
      this.#plan.addBlocks(guard, guard);
      await this.#take(signal);
      guards.give(this.#plan);
    }
    this.#isSettled = true;
  }

  async #take(signal: AbortSignal): Promise<void> {
    const { guards } = this.#region;
    for (let tries = 0;; tries++) {
      const taken = guards.tryTake(this.#plan);
      if (taken === "done") return;
      if (taken === "gone") throw new SystemError("semop", "EIDRM", "the server's semaphore set is gone");
      this.#quietSize = 0; // somebody is at work
      signal.throwIfAborted();
      if (tries >= TRIES_MAX && await guards.takeInBackground(this.#plan, SLICE_MS)) return;
    }
  }

  async #copyStep(offset: number, into: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<void> {
    const region = this.#region;
    this.#plan.clear();
    region.planRange(this.#plan, offset, into.length);
    await this.#take(signal);
    this.#copyHeld(offset, into);
    region.guards.give(this.#plan);
  }

  #copyHeld(offset: number, into: Uint8Array<ArrayBuffer>): void {
    const region = this.#region;
    const { blockSize } = region.layout;
    const end = offset + into.length;
    into.set(region.data.subarray(offset, end));
    this.#quietSize += into.length;
    for (let block = region.blockOf(offset); block * blockSize < end; block++) {
      if (region.savedHeld(block) !== this.epoch) continue;
      this.#quietSize = 0;
      const from = Math.max(offset, block * blockSize);
      const to = Math.min(end, (block + 1) * blockSize);
      into.set(this.#shadow.bytes.subarray(from, to), from - offset);
    }
    this.#setSaved(offset, into.length);
  }

  /** Marks the blocks of a range that end in it: those that go on have been copied in part only. */
  #setSaved(offset: number, size: number): void {
    const region = this.#region;
    const endBlock = Math.floor((offset + size) / region.layout.blockSize);
    region.setSaved(region.blockOf(offset), endBlock - 1, this.epoch);
  }

  #residency(offset: number, size: number): Uint8Array<ArrayBuffer> | undefined {
    if (!this.#knowsZeros) return undefined;
    const count = Math.ceil(size / PAGE_SIZE);
    if (this.#pages.length !== count) this.#pages = new Uint8Array(count);
    return this.#region.memory.residency(offset, this.#pages) ? this.#pages : undefined;
  }

  #letGo(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    // While `copying` still stands: every block is saved, nobody writes to the shadow any more. Whoever detaches it once it
    // is over then unmaps nothing: a hundred MiB of pages would cost a writer milliseconds in the middle of its write.
    this.#shadow.discard();
    this.#region.replaceWord(FooterWord.copying, this.epoch | 0, 0);
    this.#shadow.detach();
  }

  /** Ends it, wherever it is. A picture that was not copied to its end is void. */
  end(): void {
    if (this.#isOver) return;
    this.#region.voidEpoch(this.epoch);
    this.#letGo();
  }
}

/** Whether a page has memory behind it, as mincore tells it. */
function isResident(page: number): boolean {
  return (page & 1) !== 0;
}
