/** The guards of a region as its server takes and gives them: who finds them gone says so, once. */
import type { GuardPlan } from "../../memory/guards.ts";
import type { Region } from "../../memory/region.ts";
import type { SemopResult } from "../../sys/semaphores.ts";
import type { MemoryHost } from "./memory_host.ts";

/** See the head of this file. */
export class ServedGuards {
  /** Whether they are gone; nothing can be served any more. */
  isLost = false;
  readonly #region: Region;
  readonly #host: MemoryHost;

  /** @param host is told when they are gone. */
  constructor(region: Region, host: MemoryHost) {
    this.#region = region;
    this.#host = host;
  }

  /** Takes all guards of `plan` if they are free now. */
  tryTake(plan: GuardPlan): SemopResult {
    const taken = this.#region.guards.tryTake(plan);
    if (taken === "gone") this.#lose();
    return taken;
  }

  /** Gives back what was taken. */
  give(plan: GuardPlan): void {
    const given = this.#region.guards.give(plan);
    if (given === "gone") this.#lose();
    else if (given === "again") {
      this.#host.log(
        "error",
        "a guard this server held was given by somebody else: a program uses this semaphore set wrongly",
      );
    }
  }

  #lose(): void {
    if (this.isLost) return;
    this.isLost = true;
    this.#host.lost();
  }
}
