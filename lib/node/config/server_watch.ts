/**
 * Watches the memory servers of a space: who answers, and how large each one is.
 *
 *   - One heartbeat per server every BEAT_MS, answered within ANSWER_MS_MAX: a server that stops answering is known to be
 *     gone within 2 s.
 *   - A server that belongs to no life of the cluster yet (a fresh region) is told this one; one that belongs to an earlier
 *     life is brought into it.
 *   - Over each new connection a server is told who governs it (`adopt`). A standalone server refuses: it has a table of its
 *     own, and is no part of this space. One that does not let this user govern it serves all the same, though not the
 *     simple dialect.
 *   - The size a server had first is the size it keeps: a server that comes back with another one would move the bytes of
 *     all behind it, so it is not let in.
 */
import { pause } from "../../base/clock.ts";
import { DsmError, SystemError } from "../../base/errors.ts";
import { formatSize } from "../../base/units.ts";
import type { Endpoint } from "../../base/units.ts";
import type { ConfiguredServer } from "../../config/config_file.ts";
import type { Place } from "../../config/space.ts";
import { placeName } from "../../config/space.ts";
import { Channel } from "../../net/channel.ts";
import type { Credentials } from "../../net/credentials.ts";
import type { EpochWord } from "../../wire/epoch.ts";
import type { Fields } from "../../wire/messages.ts";
import type { LogSink } from "../common/log_sink.ts";

/** How often a server is asked whether it is there. */
const BEAT_MS = 400;
/** The same while others have not been heard yet. */
const SOON_MS = 20;
/** How long it may take to answer. */
const ANSWER_MS_MAX = 1_000;

/** Who watches: where it listens, and the highest epoch its process has seen. */
export interface Watcher extends Endpoint {
  /** See above. */
  readonly epoch: EpochWord;
}

/** What a config server that listens everywhere says of its address: that it is where it is seen. */
const ANY_ADDRESSES: readonly string[] = ["0.0.0.0", "::"];

/** Watches one server. */
export class ServerWatch {
  /** What is known of it now. */
  place: Omit<Place, "base">;
  /** What tells its memory from any other; "" before it has answered. */
  cookie = "";
  /** Whether it has answered, or failed to, at least once. */
  isAsked = false;
  readonly #channel: Channel;
  readonly #watcher: Watcher;
  /** The session in which it was told who governs it. */
  #adoptedIn = "";
  readonly #life: () => Readonly<EpochWord> | undefined;
  readonly #changed: () => void;
  readonly #log: LogSink;
  readonly #ending = new AbortController();
  #hurrying = new AbortController();
  readonly #ended: Promise<void>;
  readonly #first = Promise.withResolvers<void>();

  /**
   * @param watcher the config server. @param life which servers are to belong to, undefined while that is not
   * known. @param changed called after every change of `place`.
   */
  constructor(
    server: ConfiguredServer,
    watcher: Watcher,
    credentials: Credentials,
    life: () => Readonly<EpochWord> | undefined,
    changed: () => void,
    log: LogSink,
  ) {
    this.place = {
      host: server.host,
      port: server.port,
      size: server.size ?? 0,
      blockSize: server.blockSize ?? 0,
      isAlive: false,
      reason: "it has not answered yet",
    };
    this.#life = life;
    this.#changed = changed;
    this.#log = log;
    this.#watcher = watcher;
    this.#channel = new Channel(server.host, server.port, watcher.epoch, credentials);
    this.#ended = this.#beat();
  }

  /** Resolves when it has answered or failed to for the first time, and `place` says which; also when it is stopped. */
  get first(): Promise<void> {
    return this.#first.promise;
  }

  async #beat(): Promise<void> {
    const { signal } = this.#ending;
    while (!signal.aborted) {
      try {
        const { header } = await this.#channel.request("regionInfo", {}, true, { timeoutMs: ANSWER_MS_MAX, signal });
        this.isAsked = true;
        await this.#adopt(signal);
        const life = this.#life();
        if (life && header.incarnation !== life.incarnation) {
          await this.#channel.request("join", { ...life }, true, { timeoutMs: ANSWER_MS_MAX, signal });
        }
        if (header.name === "regionInfoReply") this.#met(header.fields);
      } catch (error) {
        if (signal.aborted) break;
        if (!(error instanceof DsmError)) throw error;
        this.isAsked = true;
        this.#missed(error.message, error.code === "ENOTSUP");
      }
      this.#first.resolve();
      await this.#pauseBetween();
    }
  }

  /** However often it is told to hurry, it asks no more often than every SOON_MS. */
  async #pauseBetween(): Promise<void> {
    const { signal } = this.#ending;
    await pause(SOON_MS, signal);
    if (!this.#life()) return;
    await pause(BEAT_MS - SOON_MS, AbortSignal.any([signal, this.#hurrying.signal]));
    if (this.#hurrying.signal.aborted) this.#hurrying = new AbortController();
  }

  /** Asks soon: somebody has met an epoch that only the servers can vouch for. */
  hurry(): void {
    this.#hurrying.abort();
  }

  /** @throws SystemError ENOTSUP: it is a standalone server. */
  async #adopt(signal: AbortSignal): Promise<void> {
    const { session } = this.#channel;
    if (session === this.#adoptedIn) return;
    const { host, port } = this.#watcher;
    const fields = { host: ANY_ADDRESSES.includes(host) ? "" : host, port };
    try {
      await this.#channel.request("adopt", fields, true, { timeoutMs: ANSWER_MS_MAX, signal });
    } catch (error) {
      if (!(error instanceof SystemError) || error.code === "ENOTSUP") throw error;
      this.#log("warn", `${placeName(this.place)} serves no segments in the simple dialect: ${error.message}`);
    }
    this.#adoptedIn = session;
  }

  #met(info: Fields<"regionInfoReply">): void {
    const { size, blockSize, isAlive } = this.place;
    if (size !== 0 && size !== info.size) {
      return this.#missed(
        `it came with ${formatSize(info.size)} instead of ${formatSize(size)}, which would move the bytes behind it: ` +
          `start it with --size ${formatSize(size)}`,
      );
    }
    if (isAlive && blockSize === info.blockSize && this.cookie === info.cookie) return;
    this.cookie = info.cookie;
    this.place = { ...this.place, size: info.size, blockSize: info.blockSize, isAlive: true, reason: "" };
    this.#log(
      "info",
      `${placeName(this.place)} answers: ${formatSize(info.size)} in blocks of ${formatSize(info.blockSize)}`,
    );
    this.#changed();
  }

  #missed(reason: string, isStandalone = false): void {
    if (!this.place.isAlive && this.place.reason === reason) return;
    if (this.place.isAlive) this.#log("warn", `${placeName(this.place)} does not answer: ${reason}`);
    else if (isStandalone) this.#log("warn", `${placeName(this.place)} is no part of this space: ${reason}`);
    this.place = { ...this.place, isAlive: false, reason };
    this.#changed();
  }

  /** Stops watching. */
  async stop(): Promise<void> {
    this.#ending.abort();
    this.#first.resolve();
    await this.#channel.close();
    await this.#ended;
  }
}
