/** A test process that holds a block of somebody's region, as any program on the host may. */
import { fail } from "@std/assert";
import { findSet, semaphoreState, setSize } from "../../lib/sys/semaphores.ts";

import { Guards } from "../../lib/memory/guards.ts";

import type { Keys } from "./processes.ts";

/** A block held by this process. */
export class HeldBlock implements Disposable {
  readonly #guards: Guards;
  readonly #block: number;
  #isHeld = true;

  /** Takes the guard of `block` of the region under `keys`. */
  constructor(keys: Keys, block: number) {
    const id = findSet(keys.sem) ?? fail("there is no semaphore set under the key");
    this.#guards = new Guards(id, setSize(id) ?? 0);
    this.#block = block % this.#guards.count;
    if (this.#guards.tryTake(this.#plan()) !== "done") fail(`block ${block} is held by somebody else`);
  }

  #plan(): ReturnType<Guards["plan"]> {
    const plan = this.#guards.plan();
    plan.clear();
    plan.addBlocks(this.#block, this.#block);
    return plan;
  }

  /** How many wait for it. */
  get waiters(): number {
    return semaphoreState(this.#guards.id, this.#block)?.waiterCount ?? 0;
  }

  /** Whether nobody holds it. */
  get isFree(): boolean {
    return semaphoreState(this.#guards.id, this.#block)?.value === 1;
  }

  /** Gives it back. */
  release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#guards.give(this.#plan());
  }

  [Symbol.dispose](): void {
    this.release();
  }
}
