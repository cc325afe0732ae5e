/** Waiting for a state: tests look until it is there, and never sleep for a time that may or may not do. */

const LOOK_AGAIN_MS_MIN = 1;
const LOOK_AGAIN_MS_MAX = 25;

/**
 * Looks until `look` returns something other than undefined, null and false, and returns that.
 *
 * @param what is waited for, for the error when it does not come within `timeoutMs`.
 */
export async function until<T>(
  what: string,
  look: () => T | Promise<T>,
  timeoutMs = 10_000,
): Promise<Exclude<T, undefined | null | false>> {
  const deadline = performance.now() + timeoutMs;
  for (let waitMs = LOOK_AGAIN_MS_MIN;; waitMs = Math.min(LOOK_AGAIN_MS_MAX, waitMs * 2)) {
    const seen = await look();
    if (seen !== undefined && seen !== null && seen !== false) return seen as Exclude<T, undefined | null | false>;
    if (performance.now() >= deadline) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}

/** Resolves to what `promise` does; fails when that takes longer than `timeoutMs`. */
export async function within<T>(what: string, promise: Promise<T>, timeoutMs = 10_000): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`waited ${timeoutMs} ms in vain for ${what}`)), timeoutMs);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
