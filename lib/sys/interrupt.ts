/**
 * Ending a system call that blocks on one of the runtime's threads: what a signal does to a C program that sits in a
 * `msgrcv` (EINTR), done to one call of ours and to no other.
 *
 *   - The thread is found by the call's arguments, which `/proc/self/task/TID/syscall` shows while a thread is blocked: the
 *     address of a buffer that only this call has.
 *   - The signal is SIGURG, which nobody sends and which is ignored where nobody listens. It is listened to only while a
 *     call is being ended: without a listener it would not end the call either.
 *   - The call may have succeeded just before. So nothing is decided here: whoever made it looks at its result.
 */
import { pause } from "../base/clock.ts";
import { libc } from "./libc.ts";

const SIGURG = 23;
/** A call that is not blocked yet, since its thread has not got that far, is looked for again after so long. */
const LOOK_AGAIN_MS = 1;

let isShown: boolean | undefined;

/** Whether this host shows what its threads are blocked in. */
export function canInterrupt(): boolean {
  isShown ??= blockedCallOf(`${Deno.pid}`).length > 0;
  return isShown;
}

/**
 * The result of `call`, which blocks on another thread with `address` among its arguments; once `signal` is aborted it is
 * ended.
 */
export async function untilEnded(call: Promise<number>, address: bigint, signal?: AbortSignal): Promise<number> {
  if (!signal) return await call;
  const over = new AbortController();
  const ended = call.then(() => over.abort());
  const interrupting = async (): Promise<void> => {
    Deno.addSignalListener("SIGURG", ignore);
    for (; !over.signal.aborted; await pause(LOOK_AGAIN_MS, over.signal)) interrupt(address);
    Deno.removeSignalListener("SIGURG", ignore);
  };
  const aborted = Promise.withResolvers<void>();
  const abort = (): void => aborted.resolve(interrupting());
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  await Promise.race([ended, aborted.promise]);
  signal.removeEventListener("abort", abort);
  return await call;
}

function ignore(): void {}

/** Sends the signal to the thread that is blocked with `address` among its call's arguments, if there is one. */
function interrupt(address: bigint): void {
  const shown = `0x${address.toString(16)}`;
  for (const { name: tid } of Deno.readDirSync("/proc/self/task")) {
    if (blockedCallOf(tid).includes(shown)) libc().tgkill(Deno.pid, Number(tid), SIGURG);
  }
}

/** Number and arguments of the call that thread is blocked in; what it shows when it is not, or is gone, is no address. */
function blockedCallOf(tid: string): string[] {
  try {
    return Deno.readTextFileSync(`/proc/self/task/${tid}/syscall`).split(" ").slice(0, 7);
  } catch {
    return [];
  }
}
