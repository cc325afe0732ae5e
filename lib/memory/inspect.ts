/** What a region's guards look like from outside, for those who watch. */
import { semaphoreState, semaphoreValues } from "../sys/semaphores.ts";
import type { Region } from "./region.ts";

/** A guard that is not simply free. */
export interface GuardState {
  /** Its semaphore; it guards the blocks whose number modulo the guard count is this. */
  readonly index: number;
  /** 0: held. More than 1: a program gave what it had not taken. */
  readonly value: number;
  /** The process that touched it last. */
  readonly lastPid: number;
  /** How many wait for it. */
  readonly waiterCount: number;
}

/** All guards of a region that are not simply free. */
export function guardStates(region: Region): GuardState[] {
  const { id, count } = region.guards;
  const values = semaphoreValues(id, count) ?? new Uint16Array(0);
  const states: GuardState[] = [];
  for (let index = 0; index < values.length; index++) {
    if (values[index] === 1) continue;
    const state = semaphoreState(id, index);
    if (state && state.value !== 1) states.push({ index, ...state });
  }
  return states;
}
