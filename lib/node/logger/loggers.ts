/**
 * Whom a checkpoint is taken of: all local loggers of a cluster, one per server of the layout, and the config server with
 * its table of segments. To each there is one connection that lasts.
 */
import { PeerLostError, SystemError, TimeoutError } from "../../base/errors.ts";
import { formatEndpoint } from "../../base/units.ts";
import type { Endpoint } from "../../base/units.ts";
import { placeName, Space } from "../../config/space.ts";
import type { Place } from "../../config/space.ts";
import { requirePictureRows } from "../../ipc/segments/segment_rows.ts";
import type { TableRows } from "../../ipc/segments/segment_rows.ts";
import { Channel } from "../../net/channel.ts";
import type { Credentials } from "../../net/credentials.ts";
import type { EpochWord } from "../../wire/epoch.ts";
import { decodeTable } from "../common/table_payload.ts";
import { LoggerLink } from "./logger_link.ts";
import type { LoggerHere } from "./logger_link.ts";

/** How long the config server may take to answer. */
const LAYOUT_MS_MAX = 3_000;
/** The same for its whole table. */
const TABLE_MS_MAX = 5_000;

/** A server and the way to its logger. */
export interface LoggedPlace {
  /** The server's place in the space. */
  readonly place: Place;
  /** Its logger. */
  readonly logger: LoggerLink;
}

/** See the head of this file. */
export class Loggers implements AsyncDisposable {
  readonly #config: Channel;
  readonly #epoch: EpochWord;
  readonly #credentials: Credentials;
  readonly #links = new Map<string, LoggerLink>();

  readonly #here: LoggerHere | undefined;

  /**
   * @param config where the config server is; @param epoch of this process; @param credentials shown to all of them;
   * @param here the logger in this process, if there is one.
   */
  constructor(config: Endpoint, epoch: EpochWord, credentials: Credentials, here?: LoggerHere) {
    this.#here = here;
    this.#config = new Channel(config.host, config.port, epoch, credentials);
    this.#epoch = epoch;
    this.#credentials = credentials;
  }

  /** The servers as the config server has them now. @throws PeerLostError, TimeoutError, SystemError EPROTO. */
  async places(signal: AbortSignal): Promise<LoggedPlace[]> {
    const { header } = await this.#config.request("layout", {}, true, { timeoutMs: LAYOUT_MS_MAX, signal });
    if (header.name !== "layoutReply") {
      throw new SystemError("layout", "EPROTO", `${formatEndpoint(this.#config)} is not a config server; see --config`);
    }
    const { places } = Space.fromRows(header.fields.revision, header.fields.servers);
    return places.map((place) => ({ place, logger: this.#link(place) }));
  }

  /**
   * The table of segments at the cut of `epoch`, which this process has met already.
   *
   * @throws SystemError naming the config server: ESTALE, it has no copy of that moment; EHOSTUNREACH, ETIMEDOUT, EPROTO.
   * CheckpointError: what it sent is no table.
   */
  async table(epoch: number, signal: AbortSignal): Promise<TableRows> {
    const name = formatEndpoint(this.#config);
    try {
      const { header, payload } = await this.#config.request("segmentTable", { epoch }, true, {
        timeoutMs: TABLE_MS_MAX,
        signal,
      });
      if (header.name === "segmentTableReply") return requirePictureRows(decodeTable(payload));
      throw new SystemError("segmentTable", "EPROTO", `${name} answered with ${header.name}`);
    } catch (error) {
      const isGone = error instanceof PeerLostError || error instanceof TimeoutError;
      if (!isGone || error === signal.reason) throw error;
      const code = error instanceof TimeoutError ? "ETIMEDOUT" : "EHOSTUNREACH";
      const message = `the config server ${name} did not give its table of segments: ${error.message}`;
      throw new SystemError("segmentTable", code, message, error);
    }
  }

  #link(place: Place): LoggerLink {
    const name = placeName(place);
    const known = this.#links.get(name);
    if (known) return known;
    const link = new LoggerLink(
      place,
      this.#epoch,
      this.#credentials,
      this.#here?.server === name ? this.#here : undefined,
    );
    this.#links.set(name, link);
    return link;
  }

  /** Closes every connection. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#config, ...this.#links.values()].map((each) => each.close()));
  }
}
