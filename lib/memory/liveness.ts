/**
 * Liveness tokens: who serves a region, and who logs it.
 *
 *   - They are two semaphores in a small private set whose id the footer has; 1: nobody holds it.
 *   - They are taken with SEM_UNDO: the kernel gives them back however the process ends, and of two that start at once one
 *     gets it.
 */
import { IPC_NOWAIT, Operations, SEM_UNDO, semaphoreState, semop } from "../sys/semaphores.ts";

/** The token of who serves the region. */
export const SERVER_TOKEN = 0;
/** The token of who logs it. */
export const LOGGER_TOKEN = 1;
/** Semaphores in a liveness set. */
export const TOKEN_COUNT = 2;

/** Takes a token, unless somebody has it ("held") or there is no such set any more ("gone"). */
export function takeToken(livenessId: number, token: number): "taken" | "held" | "gone" {
  const operations = new Operations();
  operations.add(token, -1, IPC_NOWAIT | SEM_UNDO);
  operations.add(token, 0, IPC_NOWAIT | SEM_UNDO);
  const result = semop(livenessId, operations);
  return result === "done" ? "taken" : result === "again" ? "held" : "gone";
}

/** Gives back a token that this process took. */
export function giveToken(livenessId: number, token: number): void {
  const operations = new Operations();
  operations.add(token, 0, IPC_NOWAIT | SEM_UNDO);
  operations.add(token, 1, IPC_NOWAIT | SEM_UNDO);
  semop(livenessId, operations);
}

/** Whether a token is held by a process that lives. */
export function isTokenHeld(livenessId: number, token: number): boolean {
  return semaphoreState(livenessId, token)?.value === 0;
}
