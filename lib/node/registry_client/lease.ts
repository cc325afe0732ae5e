/** A name that is bound as long as the session of whoever bound it lasts. */
import type { RequestOptions } from "../../net/request.ts";

/** What ends a lease in the registry. */
export type EndLease = (lease: Lease, options?: RequestOptions) => Promise<void>;

/** See the head of this file. `await using` unbinds it. */
export class Lease implements AsyncDisposable {
  /** The name. */
  readonly name: string;
  /** What it is bound to. */
  readonly value: string;
  /** The revision of the binding. */
  readonly revision: number;
  readonly #lost = new AbortController();
  readonly #end: EndLease;

  /** Made by `Registry.lease`. */
  constructor(name: string, value: string, revision: number, end: EndLease) {
    this.name = name;
    this.value = value;
    this.revision = revision;
    this.#end = end;
  }

  /**
   * Aborted when the session with the registry has ended, and the lease with it: the name may be another one's by now. (That
   * somebody unbinds or replaces it is not told here but by `Registry.watch`.)
   */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** For its registry: the session has ended. */
  lose(reason: Error): void {
    this.#lost.abort(reason);
  }

  /** Unbinds the name, unless the lease is lost. @throws as `Registry.unbind`. */
  async end(options?: RequestOptions): Promise<void> {
    if (!this.#lost.signal.aborted) await this.#end(this, options);
  }

  /** The same as {@linkcode Lease.end}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.end();
  }
}
