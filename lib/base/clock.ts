/**
 * Time as the running parts see it. The pure folders never read a clock: they are handed the time, in ms since an
 * arbitrary start.
 */

/** Milliseconds of a clock that only goes forward. */
export function nowMs(): number {
  return performance.now();
}

/** A point in time by which something must have happened. */
export class Deadline {
  /** On the clock of {@linkcode nowMs}. */
  readonly atMs: number;

  /** @param inMs how long from now. */
  constructor(inMs: number) {
    this.atMs = nowMs() + inMs;
  }

  /** How long is left, in ms; 0 when it has passed. */
  get leftMs(): number {
    return Math.max(0, this.atMs - nowMs());
  }

  /** Whether it has passed. */
  get passed(): boolean {
    return nowMs() >= this.atMs;
  }
}

/**
 * Resolves after `ms` milliseconds, or at once (without an error) when `signal` is aborted: who asks looks at the signal.
 */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done, { once: true });
  });
}

/** Resolves after the event loop has had a turn: timers that are due, signals and sockets have been served. */
export function turn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

const never = new Int32Array(new SharedArrayBuffer(4));

/** Blocks this thread for `ms`. */
export function pauseBlocking(ms: number): void {
  Atomics.wait(never, 0, 0, ms);
}
