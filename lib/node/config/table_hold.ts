/**
 * Keeping calls from the table while somebody restores: what he writes to the space must not be zeroed for a new segment.
 *
 *   - One holder at a time. Who holds does so until he lets go, or his connection ends.
 *   - Who calls meanwhile waits, but not for ever: a call that was given up must not be carried out later.
 */
import { Deadline, pause } from "../../base/clock.ts";
import { SystemError } from "../../base/errors.ts";

/** How long a call waits for the table; less than a client waits for its answer. */
const PASS_MS_MAX = 5_000;

/** See the head of this file. */
export class TableHold {
  #holder: object | undefined;
  #freed = Promise.withResolvers<void>();

  /** Whether it is `holder` who holds. */
  isHeldBy(holder: object): boolean {
    return this.#holder === holder;
  }

  /** From now on `holder` holds. @throws SystemError EBUSY: somebody else does. */
  take(holder: object): void {
    if (this.#holder !== undefined && this.#holder !== holder) {
      throw new SystemError(
        "holdTable",
        "EBUSY",
        "somebody else is restoring the table of segments; try again afterwards",
      );
    }
    this.#holder = holder;
  }

  /** Lets go, if it is `holder` who holds. */
  free(holder: object): void {
    if (this.#holder !== holder) return;
    this.#holder = undefined;
    this.#freed.resolve();
    this.#freed = Promise.withResolvers();
  }

  /** Resolves when nobody holds, or `ending` is aborted. @throws SystemError EAGAIN when that takes too long. */
  async pass(ending: AbortSignal): Promise<void> {
    const deadline = new Deadline(PASS_MS_MAX);
    while (this.#holder !== undefined && !ending.aborted) {
      const over = new AbortController();
      await Promise.race([this.#freed.promise, pause(deadline.leftMs, AbortSignal.any([over.signal, ending]))]);
      over.abort();
      if (!deadline.passed || this.#holder === undefined) continue;
      throw new SystemError("segments", "EAGAIN", "the table of segments is being restored; try again afterwards");
    }
  }
}
