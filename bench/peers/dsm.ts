/** What the benchmarks use of dsm's library, and the one place where they import it. */

/** A region of this host, reached through memory; every call is synchronous. */
export interface Attachment {
  /** Fills `target` from `offset` on, under the guards of its blocks. */
  readInto(offset: number, target: Uint8Array): void;
  /** Writes `bytes` at `offset`, under the guards of its blocks. */
  write(offset: number, bytes: Uint8Array): void;
  /** Fills `target` without taking a guard, until no writer was in its way. */
  readOptimistic(offset: number, target: Uint8Array): void;
}

/** A cluster's memory. */
export interface Cluster extends AsyncDisposable {
  /** One per server that is reached through memory. */
  readonly attachments: readonly Attachment[];
  /** The bytes from `address` on. */
  read(address: number, size: number): Promise<Uint8Array>;
}

/** Connects to the cluster of the config server at `config`; `attach: false` forces TCP. */
export async function connect(options: { config: string; attach: boolean }): Promise<Cluster> {
  const library = new URL("../../mod.ts", import.meta.url).href;
  const { connect } = await import(library);
  return await connect(options);
}
