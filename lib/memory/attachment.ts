/**
 * A region attached by a client on the server's own host: the same bytes, at the cost of a system call.
 *
 *   - An attachment proves itself: the segment named by its id must carry the cookie the server told. A process of another
 *     host or IPC namespace finds another segment there, or none.
 *   - Every operation checks under its guards that the region still serves and that no copy elsewhere stands in its way.
 *     When it does not, the operation is "refused" and nothing was touched: ask the server over TCP.
 *   - The process's epoch and the footer's meet in every operation: before it, so that nothing the process has seen from
 *     after a cut is written before one; after it and before the guards are given back, so that what was read is known.
 *   - While a checkpoint is copied, writers save blocks themselves; one that cannot (no right to the shadow, or a control
 *     group so small that the copies could end it) is "refused".
 *   - The server lets others than root and its own user attach only while no segment ever lay on the region. When the first
 *     one comes the footer says so, and every attachment is refused: who asks the server again hears whether he still may.
 *   - After "refused" because the region is gone, or is not as free as it was, `isLost` is true, and the attachment is good for nothing but `detach`.
 */
import { SystemError } from "../base/errors.ts";
import { Deadline, pauseBlocking } from "../base/clock.ts";
import { memoryLimit } from "../sys/host.ts";
import { isFfiAvailable } from "../sys/libc.ts";
import { SharedMemory } from "../sys/shared_memory.ts";
import type { SemopResult } from "../sys/semaphores.ts";
import { meetEpoch } from "../wire/epoch.ts";
import type { EpochWord } from "../wire/epoch.ts";
import { LastView } from "./copy.ts";
import type { GuardPlan } from "./guards.ts";
import { FooterWord, recognise } from "./layout.ts";
import { HOLDER_OWNED, Region } from "./region.ts";
import type { WordWidth } from "./region.ts";

/** What a server tells of its region, as far as it takes to attach it. */
export interface AttachmentInfo {
  /** The segment's id. */
  readonly shmid: number;
  /** The guard set's id. */
  readonly semid: number;
  /** 32 hexadecimal digits. */
  readonly cookie: string;
}

/** How an operation ended: carried out, some guard is held by somebody, or not possible here. */
export type Attempt = "done" | "busy" | "refused";

/** Any copy elsewhere stands in the way of a write. */
const HOLDER_SHARED = 1;
/** Takes tried before an operation is "busy". */
const TRIES_MAX = 3;
/** How long a blocked wait lasts before it is looked at whether it is still wanted. */
const SLICE_MS = 200;
/** How soon they try again what was refused for now: the region is behind this process, or a block cannot be saved. */
const REFUSED_RETRY_MS = 1;
/** How long the synchronous operations wait for guards. */
const BLOCKING_MS_MAX = 10_000;

/** See the head of this file. Offsets count from the start of the region. */
export class Attachment {
  /** Whether the region is gone for good, or this attachment of it. */
  isLost = false;
  readonly #region: Region;
  readonly #plan: GuardPlan;
  readonly #cookieWord: number;
  readonly #ownedFirst: number;
  readonly #epoch: EpochWord;
  /** Whether copies of every block would fit what this process may use. */
  readonly #maySave: boolean;
  readonly #viewOf = new LastView();
  /** The guard held or asked for, when it is one; else -1, and the plan says which. */
  #guard = -1;
  /** Guards that were waited for, and are held for the attempt about to be made. */
  #held: GuardPlan | undefined;

  /** Bytes of the region. */
  get size(): number {
    return this.#region.layout.size;
  }

  private constructor(region: Region, epoch: EpochWord) {
    this.#region = region;
    this.#epoch = epoch;
    this.#maySave = memoryLimit() > region.layout.size;
    this.#plan = region.guards.plan();
    this.#cookieWord = region.word(FooterWord.cookie);
    this.#ownedFirst = region.word(FooterWord.ownedFirst);
  }

  /**
   * Attaches the region that a server told of; or says why it cannot be. Never throws for what another host causes.
   *
   * @param epoch of this process. (Without one the attachment is a process of its own.)
   */
  static open(
    info: AttachmentInfo,
    epoch: EpochWord = { incarnation: 0, epoch: 0 },
  ): Attachment | { readonly reason: string } {
    if (!isFfiAvailable()) return { reason: "this program may not call the C library (--allow-ffi)" };
    let memory: SharedMemory;
    try {
      memory = SharedMemory.attach(info.shmid | 0);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      return {
        reason: error.code === "EACCES"
          ? "its memory belongs to another user (EACCES)"
          : "its memory is not on this host, or in another IPC namespace",
      };
    }
    const found = recognise(memory.bytes);
    const region = "layout" in found ? new Region(memory, found.layout, info.semid | 0) : undefined;
    if (!region || region.cookie !== info.cookie || !region.isServing) {
      memory.detach();
      return { reason: "its memory is not on this host, or in another IPC namespace" };
    }
    return new Attachment(region, epoch);
  }

  /** Whether the memory may be used; expects guards to be held. */
  #check(offset: number, size: number, lowest: number): boolean {
    const region = this.#region;
    if (!region.isSameHeld(this.#cookieWord, this.#ownedFirst)) {
      this.isLost = true;
      return false;
    }
    if (lowest === HOLDER_SHARED && !region.canSaveHeld(this.#maySave)) return false;
    return this.#meetHeld() && !region.isHeldElsewhere(offset, size, lowest);
  }

  /** Brings the footer up to this process's epoch; false when only the server can say what to do. */
  #meetHeld(): boolean {
    if (this.#region.isKnownHeld(this.#epoch)) return true;
    const { incarnation, epoch } = this.#epoch;
    const verdict = this.#region.meet(incarnation, epoch);
    return verdict === "current" || verdict === "next";
  }

  #take(): SemopResult {
    const { guards } = this.#region;
    if (this.#held) {
      this.#guard = -1;
      this.#plan.copyFrom(this.#held);
      this.#held = undefined;
      return "done";
    }
    return this.#guard >= 0 ? guards.tryTakeOne(this.#guard) : guards.tryTake(this.#plan);
  }

  /** Takes note of the footer's epoch, which was moved on by whoever wrote what has been read; before the guards go. */
  #learnHeld(): void {
    const region = this.#region;
    if (!region.isKnownHeld(this.#epoch)) meetEpoch(this.#epoch, region.incarnationHeld, region.epochHeld);
  }

  /** Gives back the guards after an operation. */
  #leave(): void {
    this.#learnHeld();
    this.#give();
  }

  /** Gives them back after none: what was not read is not known. */
  #give(): void {
    const { guards } = this.#region;
    if (this.#guard >= 0) guards.giveOne(this.#guard);
    else guards.give(this.#plan);
  }

  /**
   * The short way of `#enter`, for a few bytes of one block that is free and plain: takes its guard and says so. When it
   * says no, nothing is held, and the long way finds out why.
   */
  #enterSmall(block: number, lowest: number): boolean {
    const region = this.#region;
    if (this.isLost || this.#held) return false;
    const guard = block % region.guards.count;
    if (region.guards.tryTakeOne(guard) !== "done") return false;
    const isPlain = region.isSameHeld(this.#cookieWord, this.#ownedFirst) && region.isPlainHeld(block, lowest) &&
      region.isKnownHeld(this.#epoch) && (lowest === HOLDER_OWNED || region.canSaveHeld(this.#maySave));
    if (isPlain) return true;
    region.guards.giveOne(guard);
    return false;
  }

  #enter(offset: number, size: number, lowest: number): Attempt {
    if (this.isLost) return "refused";
    const region = this.#region;
    this.#guard = region.onlyGuard(offset, size);
    if (this.#guard < 0) {
      this.#plan.clear();
      region.planRange(this.#plan, offset, size);
    }
    let taken = this.#take();
    for (let tries = 1; taken === "again" && tries < TRIES_MAX; tries++) taken = this.#take();
    if (taken === "again") return "busy";
    if (taken === "gone") {
      this.isLost = true;
      return "refused";
    }
    if (this.#check(offset, size, lowest)) return "done";
    this.#give();
    return "refused";
  }

  /** Reads `into.length` bytes from `offset`. @throws SystemError EINVAL when they are not in the region. */
  tryRead(offset: number, into: Uint8Array): Attempt {
    const region = this.#region;
    region.requireRange("read", offset, into.length);
    const block = region.smallBlock(offset, into.length);
    if (block >= 0 && this.#enterSmall(block, HOLDER_OWNED)) {
      region.readSmallHeld(offset, into.length, this.#viewOf.of(into));
      this.#learnHeld();
      region.guards.giveOne(block % region.guards.count);
      return "done";
    }
    const attempt = this.#enter(offset, into.length, HOLDER_OWNED);
    if (attempt !== "done") return attempt;
    this.#region.readHeld(offset, into.length, into, 0, this.#viewOf.of(into));
    this.#leave();
    return "done";
  }

  /** Writes `bytes` at `offset`. @throws SystemError EINVAL when they are not in the region. */
  tryWrite(offset: number, bytes: Uint8Array): Attempt {
    const region = this.#region;
    region.requireRange("write", offset, bytes.length);
    const block = region.smallBlock(offset, bytes.length);
    if (block >= 0 && this.#enterSmall(block, HOLDER_SHARED)) {
      region.writeSmallHeld(block, offset, bytes.length, this.#viewOf.of(bytes));
      this.#learnHeld();
      region.guards.giveOne(block % region.guards.count);
      return "done";
    }
    const attempt = this.#enter(offset, bytes.length, HOLDER_SHARED);
    if (attempt !== "done") return attempt;
    this.#region.writeHeld(offset, bytes, 0, bytes.length, this.#viewOf.of(bytes));
    this.#leave();
    return "done";
  }

  /** Sets `size` bytes from `offset` to `byte`. @throws SystemError EINVAL when they are not in the region. */
  tryFill(offset: number, size: number, byte: number): Attempt {
    this.#region.requireRange("fill", offset, size);
    const attempt = this.#enter(offset, size, HOLDER_SHARED);
    if (attempt !== "done") return attempt;
    this.#region.fillHeld(offset, size, byte);
    this.#leave();
    return "done";
  }

  /**
   * Replaces a word by what `change` makes of it; undefined leaves it.
   *
   * @returns the attempt, and the word as it was.
   */
  tryUpdate(
    offset: number,
    width: WordWidth,
    change: (word: bigint) => bigint | undefined,
  ): { readonly attempt: Attempt; readonly word: bigint } {
    this.#region.requireRange("update", offset, width);
    const attempt = this.#enter(offset, width, HOLDER_SHARED);
    if (attempt !== "done") return { attempt, word: 0n };
    try {
      const word = this.#region.wordHeld(offset, width);
      const next = change(word);
      if (next !== undefined) this.#region.setWordHeld(offset, width, next);
      return { attempt, word };
    } finally {
      this.#leave();
    }
  }

  /**
   * Lends `transfer` the region's own bytes, so that a file or socket can be copied to or from them with no buffer in
   * between. They are the caller's only until it returns.
   *
   * @param lent "r" to read them, "w" to overwrite all of them.
   */
  tryLend(offset: number, size: number, lent: "r" | "w", transfer: (bytes: Uint8Array<ArrayBuffer>) => void): Attempt {
    this.#region.requireRange(lent === "r" ? "read" : "write", offset, size);
    const attempt = this.#enter(offset, size, lent === "r" ? HOLDER_OWNED : HOLDER_SHARED);
    if (attempt !== "done") return attempt;
    // `transfer` may use this attachment itself: what is held here must not be forgotten over it
    const plan = this.#planOf(offset, size);
    try {
      if (lent === "r") this.#region.lendHeld(offset, size, transfer);
      else this.#region.lendForWriteHeld(offset, size, transfer);
    } finally {
      this.#learnHeld();
      this.#region.guards.give(plan);
    }
    return "done";
  }

  /**
   * Waits in the kernel's queue for the guards of a range, while the event loop goes on, and makes the attempt under them:
   * a large range is not starved by small ones that come and go.
   *
   * @param attempt one of the methods above, on exactly that range.
   * @returns what it returned, or "busy" when the guards did not come within `timeoutMs`.
   * @throws the signal's reason; what `attempt` throws.
   */
  async whenFree(
    offset: number,
    size: number,
    timeoutMs: number,
    signal: AbortSignal | undefined,
    attempt: () => Attempt,
  ): Promise<Attempt> {
    const deadline = new Deadline(timeoutMs);
    const plan = this.#planOf(offset, size);
    while (!this.isLost) {
      signal?.throwIfAborted();
      if (await this.#region.guards.takeInBackground(plan, Math.min(SLICE_MS, deadline.leftMs))) {
        return this.#attemptUnder(plan, attempt);
      }
      // a wait in the background does not say why it failed
      const taken = this.#region.guards.tryTake(plan);
      if (taken === "done") return this.#attemptUnder(plan, attempt);
      if (taken === "gone") this.isLost = true;
      else if (deadline.passed) return "busy";
    }
    return "refused";
  }

  #planOf(offset: number, size: number): GuardPlan {
    const plan = this.#region.guards.plan();
    this.#region.planRange(plan, offset, size);
    return plan;
  }

  /** Makes an attempt whose guards are held already; they are given back whatever it does. */
  #attemptUnder(plan: GuardPlan, attempt: () => Attempt): Attempt {
    this.#held = plan;
    try {
      return attempt();
    } finally {
      if (this.#held) this.#region.guards.give(this.#held);
      this.#held = undefined;
    }
  }

  #blocking(call: string, offset: number, size: number, attempt: () => Attempt): void {
    const deadline = new Deadline(BLOCKING_MS_MAX);
    for (let result = attempt(); result !== "done"; result = attempt()) {
      if (result === "refused") this.#requireUsable(call, offset, size);
      if (deadline.passed) {
        const why = result === "refused"
          ? `for ${BLOCKING_MS_MAX} ms neither its epoch nor its checkpoint has gone on`
          : `a block has been held for ${BLOCKING_MS_MAX} ms (dsm blocks)`;
        throw new SystemError(call, "ETIMEDOUT", `cannot ${call}: ${why}`);
      }
      if (result === "refused") {
        pauseBlocking(REFUSED_RETRY_MS);
        continue;
      }
      const plan = this.#planOf(offset, size);
      if (this.#region.guards.takeBlocking(plan, SLICE_MS) !== "done") continue;
      if (this.#attemptUnder(plan, attempt) === "done") return;
    }
  }

  /** Throws ESTALE when waiting is of no use: another life is met once, and gone on in. */
  #requireUsable(call: string, offset: number, size: number): void {
    const region = this.#region;
    const stale = (why: string): SystemError =>
      new SystemError(call, "ESTALE", `cannot ${call} through memory: ${why}`);
    if (this.isLost) throw stale("the region is gone");
    if (region.isHeldElsewhere(offset, size, HOLDER_SHARED)) throw stale("its blocks are held by a mapping");
    const { incarnation, epoch } = this.#epoch;
    if (region.meet(incarnation, epoch) !== "foreign") return;
    meetEpoch(this.#epoch, region.incarnationHeld, region.epochHeld);
    throw stale(
      "the cluster has begun another life since this program connected; its bytes may be other than those known",
    );
  }

  /**
   * Reads without a turn of the event loop, blocking this thread while a block is held.
   *
   * @throws SystemError: EINVAL (out of the region), ESTALE (the region is gone, held by a mapping, or of another life),
   * ETIMEDOUT (held for 10 s).
   */
  readInto(offset: number, into: Uint8Array): void {
    if (this.tryRead(offset, into) !== "done") this.#readBlocking(offset, into);
  }

  /** Writes without a turn of the event loop. @throws as `readInto`. */
  write(offset: number, bytes: Uint8Array): void {
    if (this.tryWrite(offset, bytes) !== "done") this.#writeBlocking(offset, bytes);
  }

  // apart, so that the short way makes no closure
  #readBlocking(offset: number, into: Uint8Array): void {
    this.#blocking("read", offset, into.length, () => this.tryRead(offset, into));
  }

  #writeBlocking(offset: number, bytes: Uint8Array): void {
    this.#blocking("write", offset, bytes.length, () => this.tryWrite(offset, bytes));
  }

  /**
   * Reads without taking a guard, as a sequence lock does: whole and current if no key-only program writes the same block.
   *
   * @returns false when a writer was at it; try again, or use `readInto`.
   * @throws SystemError EINVAL when the range is not in the region.
   */
  readOptimistic(offset: number, into: Uint8Array): boolean {
    this.#region.requireRange("read", offset, into.length);
    if (this.isLost || !this.#region.readOptimistic(offset, into, this.#viewOf.of(into))) return false;
    this.#learnHeld();
    return true;
  }

  /** Unmaps the region; the attachment may not be used afterwards. */
  detach(): void {
    this.isLost = true;
    this.#region.detach();
  }
}
