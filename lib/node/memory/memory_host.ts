/** What serves a region needs from the process it runs in, and how it is to behave. */
import type { GuardPlan } from "../../memory/guards.ts";
import type { DoorSettings } from "../common/door.ts";

/** The process, as the service sees it from whichever thread it is on. */
export interface MemoryHost {
  /** Takes the guards of `plan` on another thread, however long it takes, and then calls `taken` on this one. */
  takeInBackground(plan: GuardPlan, taken: () => void): void;
  /** A line for the log. */
  log(level: "debug" | "info" | "warn" | "error", message: string): void;
  /** The region is lost; nothing more can be served. */
  lost(): void;
}

/** How the service is to behave. */
export interface MemoryServiceOptions {
  /** Which transport carries it, for those who ask. */
  readonly transport: "epoll" | "deno";
  /** How long each operation keeps its guards, for a lecture hall; 0: not at all. */
  readonly holdMs: number;
  /** Who is let in. */
  readonly door: DoorSettings;
}
