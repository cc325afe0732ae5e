/** Calls that wait for ever unless they are told for how long. */
import { TimeoutError } from "../../base/errors.ts";
import type { RequestOptions } from "../../net/request.ts";

/**
 * Runs a call that waits until the options' signal is aborted or their time is over.
 *
 * @param what is done, for the TimeoutError that is the signal's reason then. @param run is given the signal of both.
 */
export async function untilTimeout<T>(
  what: string,
  { signal, timeoutMs }: RequestOptions,
  run: (signal?: AbortSignal) => Promise<T>,
): Promise<T> {
  if (timeoutMs === undefined) return await run(signal);
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new TimeoutError(`cannot ${what}: not within ${timeoutMs} ms`)), timeoutMs);
  try {
    return await run(signal ? AbortSignal.any([signal, late.signal]) : late.signal);
  } finally {
    clearTimeout(timer);
  }
}
