/**
 * The config server's table of segments in the hands of whoever restores: `await using held = await HeldTable.hold(…)`.
 *
 * Held from before the first byte is written until the table is another one, so that no new segment's zeros fall on bytes
 * that were just restored. It belongs to one connection: when that breaks, calls go on there, and it cannot be replaced any
 * more.
 */
import { DsmError, PeerLostError, SystemError } from "../../base/errors.ts";
import { formatEndpoint } from "../../base/units.ts";
import type { Endpoint } from "../../base/units.ts";
import type { TableRows } from "../../ipc/segments/segment_rows.ts";
import { Channel } from "../../net/channel.ts";
import { NO_CREDENTIALS } from "../../net/credentials.ts";
import type { Credentials } from "../../net/credentials.ts";
import { encodeTable } from "../common/table_payload.ts";

/** How long it may take until nothing is being made or zeroed: more than a segment that failed is kept. */
const HOLD_MS_MAX = 30_000;
/** How long the table may take to be stored. */
const REPLACE_MS_MAX = 30_000;

/** See the head of this file. */
export class HeldTable implements AsyncDisposable {
  readonly #config: Channel;
  readonly #lost = new AbortController();

  private constructor(config: Channel) {
    this.#config = config;
    config.onDropped = () => {
      const message = `the connection to the config server ${formatEndpoint(config)} broke; restore again`;
      this.#lost.abort(new PeerLostError(message, "no"));
    };
  }

  /**
   * Keeps everybody's calls from the table until it is replaced or let go.
   *
   * @param config where the config server is; @param credentials shown to it.
   * @throws SystemError EPERM: only who governs it may; EBUSY: somebody else does; TimeoutError, PeerLostError.
   */
  static async hold(config: Endpoint, credentials: Credentials = NO_CREDENTIALS): Promise<HeldTable> {
    const held = new HeldTable(new Channel(config.host, config.port, { incarnation: 0, epoch: 0 }, credentials));
    try {
      await held.#config.request("holdTable", {}, false, { timeoutMs: HOLD_MS_MAX });
      return held;
    } catch (error) {
      await held[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Aborted when the hold is lost: calls may change the table again. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /**
   * Makes the table what a checkpoint has, and lets calls in again.
   *
   * @throws DsmError: the table is as it was; with PeerLostError and TimeoutError it may be either, whole in any case.
   */
  async replace(table: TableRows): Promise<void> {
    const options = { timeoutMs: REPLACE_MS_MAX, signal: this.#lost.signal };
    try {
      await this.#config.request("restoreTable", {}, false, options, encodeTable(table));
    } catch (error) {
      if (!(error instanceof DsmError)) throw error;
      const message = `the bytes are restored, the table of segments may not be: ${error.message}; restore once more`;
      if (error instanceof SystemError) throw new SystemError("restoreTable", error.code, message, error);
      throw new PeerLostError(message, "unknown", error);
    }
  }

  /** Lets calls in again. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#config.onDropped = () => {};
    return this.#config.close();
  }
}
