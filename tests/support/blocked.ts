/** Whether a process waits in a call, by what the kernel shows of its threads: seen, not guessed from time. */
import { ERRNO } from "../../lib/base/errno.ts";

const CALLS: Readonly<Record<string, { readonly msgsnd: string; readonly msgrcv: string }>> = {
  x86_64: { msgsnd: "69", msgrcv: "70" },
  aarch64: { msgsnd: "189", msgrcv: "188" },
};

/** A call that can wait. */
export type WaitingCall = "msgsnd" | "msgrcv";

/** How many threads of process `pid` sleep in `call`. One that was just woken does not. */
export function blockedCount(pid: number, call: WaitingCall): number {
  const number = CALLS[Deno.build.arch]?.[call];
  return [...Deno.readDirSync(`/proc/${pid}/task`)].filter(({ name }) => callOf(pid, name) === number).length;
}

/** "running" unless it sleeps in one. */
function callOf(pid: number, tid: string): string | undefined {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/task/${tid}/syscall`).split(" ")[0];
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || isGone(error)) return undefined;
    throw error;
  }
}

/** A thread that ends while it is looked at. */
function isGone(error: unknown): boolean {
  return error instanceof Error && error.message.includes(`os error ${ERRNO.ESRCH}`);
}
