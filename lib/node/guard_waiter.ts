/**
 * Waits for guards in the kernel's own queue, on a thread of the runtime, so that no event loop stands still meanwhile.
 * A wait ends with the guards, or with this waiter.
 */
import type { Guards } from "../memory/guards.ts";

/** How long one wait in the kernel lasts before it is looked at whether anybody still wants it. */
const SLICE_MS = 500;
/** How many wait in the kernel at once; those beyond wait for one of them. */
const WAITS_MAX = 128;

/** Takes guards for those who cannot wait themselves. */
export class GuardWaiter {
  readonly #guards: Guards;
  readonly #queue: (() => Promise<void>)[] = [];
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
    this.#queue.push(async () => {
      while (!this.#isStopping) {
        if (!await this.#guards.takeInBackground(plan, SLICE_MS)) continue;
        if (this.#isStopping) this.#guards.give(plan);
        else taken();
        return;
      }
    });
    this.#start();
  }

  #start(): void {
    while (this.#running.size < WAITS_MAX) {
      const next = this.#queue.shift();
      if (!next) return;
      const run = next().finally(() => {
        this.#running.delete(run);
        this.#start();
      });
      this.#running.add(run);
    }
  }

  /** Stops waiting; resolves when no wait is left in the kernel. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#queue.length = 0;
    await Promise.all(this.#running);
  }
}
