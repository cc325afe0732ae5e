/**
 * Every connection of the simple dialect of one server, on its main thread.
 *
 * When it closes, all calls have ended before: the region they touch is about to be unmapped.
 */
import type { Endpoint } from "../../base/units.ts";
import type { LogSink } from "../common/log_sink.ts";
import type { ExchangeBytes, SimpleCalls } from "../memory/simple_calls.ts";
import type { SegmentSource } from "./segment_source.ts";
import { SimpleConnection } from "./simple_connection.ts";

/** See the head of this file. */
export class SimpleHost implements SimpleCalls {
  readonly #source: SegmentSource;
  readonly #log: LogSink;
  readonly #connections = new Map<number, SimpleConnection>();
  readonly #ends = new Set<Promise<void>>();

  /** @param source who keeps the table. */
  constructor(source: SegmentSource, log: LogSink) {
    this.#source = source;
    this.#log = log;
  }

  /** See {@linkcode SimpleCalls}. */
  get isStandalone(): boolean {
    return this.#source.isStandalone;
  }

  /** See {@linkcode SimpleCalls}. */
  call(caller: number, uid: number, exchange: ExchangeBytes): Promise<void> {
    let connection = this.#connections.get(caller);
    if (!connection) {
      connection = new SimpleConnection(this.#source, caller, uid, this.#log);
      this.#connections.set(caller, connection);
    }
    return connection.serve(exchange);
  }

  /** See {@linkcode SimpleCalls}. */
  ended(caller: number): void {
    const connection = this.#connections.get(caller);
    if (!connection) return; // it never said anything whole
    this.#connections.delete(caller);
    const end = connection.end().finally(() => this.#ends.delete(end));
    this.#ends.add(end);
  }

  /** See {@linkcode SimpleCalls}. */
  adopted(config: Endpoint): void {
    this.#source.adopted(config);
  }

  /** See {@linkcode SimpleCalls}. */
  async close(isKept: boolean): Promise<void> {
    for (const caller of [...this.#connections.keys()]) this.ended(caller);
    this.#source.interrupt();
    await Promise.all(this.#ends);
    await this.#source.close(isKept);
  }
}
