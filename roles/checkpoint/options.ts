/** What the commands on checkpoints share: where the checkpoints are, how one is named, how far the work is. */
import { DEFAULT_DIRECTORY, LATEST } from "../../lib/checkpoint/store.ts";
import type { Params } from "../../lib/cli/command.ts";
import { Progress } from "../../lib/cli/progress.ts";

/** Where the checkpoints are. */
export const DIRECTORY = {
  dir: { kind: "string", about: "the directory of the checkpoints", default: DEFAULT_DIRECTORY },
} as const satisfies Params;

/** Whether it is segments that are asked for. */
export const SEGMENTS = {
  segments: { kind: "boolean", about: "the table of segments instead of the bytes" },
} as const satisfies Params;

/** One checkpoint. */
export const NAME = { kind: "string", about: `a directory's name, or ${LATEST}` } as const;

/** The same where the newest one will do. */
export const NAME_OR_LATEST = { ...NAME, default: LATEST } as const;

/** A progress bar for work that says itself how much there is: `using bar = new Bar("verify")`. */
export class Bar implements Disposable {
  readonly #label: string;
  #progress: Progress | undefined;

  /** @param label what is being done. */
  constructor(label: string) {
    this.#label = label;
  }

  /** Takes the news of the work: bytes done, and bytes altogether. */
  readonly onProgress = (done: number, total: number): void => {
    this.#progress ??= new Progress(this.#label, total);
    this.#progress.update(done);
  };

  /** Removes the bar. */
  [Symbol.dispose](): void {
    this.#progress?.[Symbol.dispose]();
  }
}
