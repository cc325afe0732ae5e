/** What serves a region needs from the process it runs in, and how it is to behave. */
import type { Endpoint } from "../../base/units.ts";
import type { GuardPlan } from "../../memory/guards.ts";
import type { DoorSettings } from "../common/door.ts";
import type { Exchange } from "./exchange_pool.ts";

/** The process, as the service sees it from whichever thread it is on. */
export interface MemoryHost {
  /** Takes the guards of `plan` on another thread, however long it takes, and then calls `taken` on this one. */
  takeInBackground(plan: GuardPlan, taken: () => void): void;
  /**
   * Has a request of connection `caller` in the simple dialect carried out on the main thread, for user `uid`, and then
   * calls `done` on this one: the reply is in `exchange`, where the request was.
   */
  callSimple(caller: number, uid: number, exchange: Exchange, done: () => void): void;
  /** Connection `caller` in the simple dialect has ended. */
  endSimple(caller: number): void;
  /** A config server has taken this server over. */
  adopted(config: Endpoint): void;
  /** A line for the log. */
  log(level: "debug" | "info" | "warn" | "error", message: string): void;
  /** The region is lost; nothing more can be served. */
  lost(): void;
}

/** How the service is to behave. */
export interface MemoryServiceOptions {
  /** Whether it has a table of segments of its own, and belongs to no cluster. */
  readonly isStandalone: boolean;
  /** Which transport carries it, for those who ask. */
  readonly transport: "epoll" | "deno";
  /** How long each operation keeps its guards, for a lecture hall; 0: not at all. */
  readonly holdMs: number;
  /** Who is let in. */
  readonly door: DoorSettings;
}
