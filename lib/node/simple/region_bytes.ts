/**
 * The bytes of this server's own region, read and written on its main thread, under their guards as everywhere.
 *
 * A guard that somebody holds is waited for in the kernel (GuardWaiter); what waits longer than its caller lives is given
 * back as it comes.
 */
import { pause } from "../../base/clock.ts";
import { PeerLostError, SystemError, TimeoutError } from "../../base/errors.ts";
import type { Range } from "../../ipc/segments/allocator.ts";
import type { GuardPlan } from "../../memory/guards.ts";
import type { Region } from "../../memory/region.ts";
import type { GuardWaiter } from "../memory/guard_waiter.ts";

/** Bytes zeroed at once, so that nobody's guards are kept for long. */
const ZERO_STEP_SIZE = 1024 * 1024;
/** How long one step may wait for its guards. */
const ZERO_STEP_MS_MAX = 3_000;

/** See the head of this file. */
export class RegionBytes {
  readonly #region: Region;
  readonly #waiter: GuardWaiter;
  readonly #holdMs: number;
  readonly #closing = new AbortController();

  /** @param holdMs how long each operation keeps its guards, for a lecture hall. */
  constructor(region: Region, waiter: GuardWaiter, holdMs: number) {
    this.#region = region;
    this.#waiter = waiter;
    this.#holdMs = holdMs;
  }

  /** Reads what fills `into` from `offset`, where it is in the region. @throws the signal's reason. */
  async read(offset: number, into: Uint8Array, signal: AbortSignal): Promise<void> {
    const view = new DataView(into.buffer, into.byteOffset, into.length);
    await this.#held(offset, into.length, signal, () => {
      this.#region.readHeld(offset, into.length, into, 0, view);
    });
  }

  /** Writes `bytes` at `offset`, where they are in the region. @throws as `read`. */
  async write(offset: number, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    await this.#held(offset, bytes.length, signal, () => {
      this.#region.writeHeld(offset, bytes, 0, bytes.length, view);
    });
  }

  /** Zeroes a range of the region. @throws TimeoutError: somebody keeps a block; PeerLostError: the server stops. */
  async zero({ base, size }: Range): Promise<void> {
    for (let done = 0; done < size; done += ZERO_STEP_SIZE) {
      await this.#zeroStep(base + done, Math.min(ZERO_STEP_SIZE, size - done));
    }
  }

  async #zeroStep(offset: number, size: number): Promise<void> {
    const late = new AbortController();
    const reason = new TimeoutError(`somebody keeps a block of the ${size} bytes at ${offset} (dsm blocks)`);
    const timer = setTimeout(() => late.abort(reason), ZERO_STEP_MS_MAX + this.#holdMs);
    try {
      await this.#held(offset, size, late.signal, () => this.#region.fillHeld(offset, size, 0));
    } finally {
      clearTimeout(timer);
    }
  }

  async #held(offset: number, size: number, caller: AbortSignal, act: () => void): Promise<void> {
    const signal = AbortSignal.any([caller, this.#closing.signal]);
    signal.throwIfAborted();
    const { guards } = this.#region;
    const plan = guards.plan();
    plan.clear();
    this.#region.planRange(plan, offset, size);
    const taken = guards.tryTake(plan);
    if (taken === "gone") throw new SystemError("semop", "EIDRM", "the server's semaphore set was removed");
    if (taken === "again") await this.#take(plan, signal);
    try {
      if (this.#holdMs > 0) await pause(this.#holdMs, signal);
      act();
    } finally {
      guards.give(plan);
    }
  }

  #take(plan: GuardPlan, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = (): void => reject(signal.reason);
      signal.addEventListener("abort", abort, { once: true });
      this.#waiter.take(plan.indices.slice(0, plan.count), () => {
        signal.removeEventListener("abort", abort);
        if (signal.aborted) this.#region.guards.give(plan);
        else resolve();
      });
    });
  }

  /** Whatever waits ends now, and nothing begins any more. */
  interrupt(): void {
    this.#closing.abort(new PeerLostError("the server is stopping", "no"));
  }
}
