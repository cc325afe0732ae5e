/**
 * Guards: the semaphores that say who may touch which blocks.
 *
 *   - Block i is guarded by semaphore i mod `count`, 1 when free.
 *   - An operation takes ALL its guards, each once, in ONE semop: nothing is held while waiting, so no order is needed
 *     and nothing can deadlock.
 *   - Never a one-operation semop: a lone take is padded with a wait for zero, which it satisfies itself. (The kernel's
 *     path for single operations makes the next multi-operation one lock every semaphore of the set.)
 *   - Everything is taken and given with SEM_UNDO: what a killed process held comes back.
 */
import { IPC_NOWAIT, Operations, SEM_UNDO, semop, semopBlocking, semopInBackground } from "../sys/semaphores.ts";
import type { SemopResult } from "../sys/semaphores.ts";
import { GUARD_COUNT_MAX } from "./layout.ts";

/** The guards of some blocks, each named once. Reused: the hot path allocates nothing. */
export class GuardPlan {
  /** How many guards are named. */
  count = 0;
  /** Their semaphores; the first `count` entries. */
  readonly indices: Uint16Array = new Uint16Array(GUARD_COUNT_MAX);
  readonly #guardCount: number;
  readonly #stamps: Int32Array;
  // stamps start at 0: a new plan names nothing yet
  #generation = 1;

  /** @param guardCount semaphores in the set. */
  constructor(guardCount: number) {
    this.#guardCount = guardCount;
    this.#stamps = new Int32Array(guardCount);
  }

  /** Forgets all. */
  clear(): void {
    this.count = 0;
    this.#generation = (this.#generation + 1) | 0;
  }

  /** Adds the guards of blocks `first` to `last`, both included. */
  addBlocks(first: number, last: number): void {
    const guardCount = this.#guardCount;
    const end = last - first >= guardCount ? first + guardCount - 1 : last;
    for (let block = first; block <= end; block++) {
      const guard = block % guardCount;
      if (this.#stamps[guard] === this.#generation) continue;
      this.#stamps[guard] = this.#generation;
      this.indices[this.count++] = guard;
    }
  }

  /** Becomes a copy of `other`, of the same set. */
  copyFrom(other: GuardPlan): void {
    this.clear();
    for (let i = 0; i < other.count; i++) {
      const guard = other.indices[i] as number;
      this.addBlocks(guard, guard);
    }
  }
}

/** The set of guards of one region. */
export class Guards {
  /** The set's id in this host's kernel. */
  readonly id: number;
  /** Semaphores in it. */
  readonly count: number;
  readonly #operations = new Operations();
  readonly #takeOne = new Operations();
  readonly #giveOne = new Operations();

  /** @param id of an existing set; @param count how many semaphores it has. */
  constructor(id: number, count: number) {
    this.id = id;
    this.count = count;
    this.#takeOne.add(0, -1, IPC_NOWAIT | SEM_UNDO);
    this.#takeOne.add(0, 0, IPC_NOWAIT | SEM_UNDO);
    this.#giveOne.add(0, 0, IPC_NOWAIT | SEM_UNDO);
    this.#giveOne.add(0, 1, IPC_NOWAIT | SEM_UNDO);
  }

  /** Takes one guard if it is free now: the common case, without a plan. */
  tryTakeOne(guard: number): SemopResult {
    this.#takeOne.redirect(0, guard);
    this.#takeOne.redirect(1, guard);
    return semop(this.id, this.#takeOne);
  }

  /** Gives back one guard. */
  giveOne(guard: number): SemopResult {
    this.#giveOne.redirect(0, guard);
    this.#giveOne.redirect(1, guard);
    return semop(this.id, this.#giveOne);
  }

  /** A plan for this set. */
  plan(): GuardPlan {
    return new GuardPlan(this.count);
  }

  #takes(plan: GuardPlan, flags: number): Operations {
    const operations = this.#operations;
    operations.clear();
    for (let i = 0; i < plan.count; i++) operations.add(plan.indices[i] as number, -1, flags);
    if (plan.count === 1) operations.add(plan.indices[0] as number, 0, flags);
    return operations;
  }

  /** Takes all guards of `plan` if they are free now: "again" when one is not, "gone" when the set was removed. */
  tryTake(plan: GuardPlan): SemopResult {
    if (plan.count === 0) return "done";
    if (plan.count === 1) return this.tryTakeOne(plan.indices[0] as number);
    return semop(this.id, this.#takes(plan, IPC_NOWAIT | SEM_UNDO));
  }

  /** Takes them all, blocking this thread for at most `timeoutMs`. */
  takeBlocking(plan: GuardPlan, timeoutMs: number): SemopResult {
    if (plan.count === 0) return "done";
    return semopBlocking(this.id, this.#takes(plan, SEM_UNDO), timeoutMs);
  }

  /** Takes them all while the event loop goes on; whether it did within `timeoutMs`. */
  takeInBackground(plan: GuardPlan, timeoutMs: number): Promise<boolean> {
    if (plan.count === 0) return Promise.resolve(true);
    return semopInBackground(this.id, this.#takes(plan, SEM_UNDO), timeoutMs);
  }

  /** Gives back what was taken with the same plan. */
  give(plan: GuardPlan): SemopResult {
    if (plan.count === 0) return "done";
    if (plan.count === 1) return this.giveOne(plan.indices[0] as number);
    const operations = this.#operations;
    operations.clear();
    for (let i = 0; i < plan.count; i++) operations.add(plan.indices[i] as number, 1, IPC_NOWAIT | SEM_UNDO);
    return semop(this.id, operations);
  }
}
