/**
 * Waits for guards in the kernel's own queue, on a thread of the runtime, so that no event loop stands still meanwhile.
 * A wait ends with the guards, or with this waiter.
 */
import type { GuardPlan, Guards } from "../../memory/guards.ts";

/** How long one wait in the kernel lasts before it is looked at whether anybody still wants it. */
const SLICE_MS = 500;
/** How many wait in the kernel at once; when there are more they take turns. */
const WAITS_MAX = 128;

interface Wait {
  readonly plan: GuardPlan;
  readonly taken: () => void;
}

/** Takes guards for those who cannot wait themselves. */
export class GuardWaiter {
  readonly #guards: Guards;
  readonly #queue: Wait[] = [];
  readonly #running = new Set<Promise<void>>();
  #isStopping = false;

  /** @param guards of the region served. */
  constructor(guards: Guards) {
    this.#guards = guards;
  }

  /** Takes the guards `indices`, and calls `taken` once it has them; never when this waiter is stopped first. */
  take(indices: ArrayLike<number>, taken: () => void): void {
    const plan = this.#guards.plan();
    plan.clear();
    for (let i = 0; i < indices.length; i++) plan.addBlocks(indices[i] as number, indices[i] as number);
    this.#queue.push({ plan, taken });
    this.#start();
  }

  #start(): void {
    while (this.#running.size < WAITS_MAX) {
      const next = this.#queue.shift();
      if (!next) return;
      const run = this.#wait(next).finally(() => {
        this.#running.delete(run);
        this.#start();
      });
      this.#running.add(run);
    }
  }

  async #wait(wait: Wait): Promise<void> {
    while (!this.#isStopping) {
      if (await this.#guards.takeInBackground(wait.plan, SLICE_MS)) {
        if (this.#isStopping) this.#guards.give(wait.plan);
        else wait.taken();
        return;
      }
      if (this.#queue.length === 0) continue;
      // others have not waited at all yet, and theirs may be free
      this.#queue.push(wait);
      return;
    }
  }

  /** Stops waiting; resolves when no wait is left in the kernel. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#queue.length = 0;
    await Promise.all(this.#running);
  }
}
