/** Queues that somebody has removed: the exercise ends so, and that is no error. */
import { SystemError } from "../../lib/base/errors.ts";

/** Whether an error says that a queue is not there any more: removed while one waited there, or before. */
export function isGone(error: unknown): boolean {
  return error instanceof SystemError && (error.code === "EIDRM" || error.code === "EINVAL");
}

/** Waits for `call`; a queue that is gone is as good. */
export async function ignoringGone(call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!isGone(error)) throw error;
  }
}
