/**
 * Tells one memory server whose the ranges of its region are.
 *
 *   - Over a connection of its own: a heartbeat waits for nobody here, and nothing here for a zeroing.
 *   - A server that is met for the first time, or again, is told all; after that what has changed, many changes at once.
 *     What is told is what the table says when it is sent, so the last word is right, whatever the order of calls.
 *   - Each message names the start of the server it is meant for. So one that was sent again, over the connection to the
 *     next start of that server, is not taken for the end of its list.
 *   - Memory that the config server does not know of yet (another cookie) is told nothing: the segments that the table has
 *     there do not lie on it.
 */
import { pause } from "../../base/clock.ts";
import { DsmError, PeerLostError, SystemError, TimeoutError } from "../../base/errors.ts";
import { placeName } from "../../config/space.ts";
import type { Place } from "../../config/space.ts";
import type { OwnedRange } from "../../ipc/segments/range_owners.ts";
import { Channel } from "../../net/channel.ts";
import type { Credentials } from "../../net/credentials.ts";
import type { EpochWord } from "../../wire/epoch.ts";
import type { Fields } from "../../wire/messages.ts";
import { OWNER_ROWS_MAX } from "../../wire/messages.ts";
import type { LogSink } from "../common/log_sink.ts";
import { toOwnerRow } from "../common/owner_rows.ts";

/** How long a server has to answer one message. */
const ANSWER_MS_MAX = 3_000;
/** How long whoever has changed something waits for the server to know. */
const TELL_MS_MAX = 5_000;
const RETRY_MS_MIN = 20;
const RETRY_MS_MAX = 250;

/** The ranges of the segment with that id, or of all. */
export type OwnedRanges = (id: number | undefined) => readonly OwnedRange[];

/** Somebody who waits until the server knows what it did not know when he came. */
interface Waiter {
  readonly change: number;
  readonly done: PromiseWithResolvers<void>;
}

/** See the head of this file. */
export class OwnerTeller {
  /** The server's place in the space. */
  place: Place;
  readonly #channel: Channel;
  readonly #ranges: OwnedRanges;
  readonly #log: LogSink;
  readonly #ending = new AbortController();
  readonly #ended: Promise<void>;
  #cookie = "";
  /** The start of the server that is told. */
  #startCount = 0;
  /** Whether it has to be told all: it was not, or it is another start, or it may have missed something. */
  #mustTellAll = true;
  /** Ids of segments it has not been told of as they are now. */
  readonly #changed = new Set<number>();
  /** Counts changes. */
  #lastChange = 0;
  #waiters: Waiter[] = [];
  #bell = Promise.withResolvers<void>();
  #complaint = "";

  /** @param epoch of the config server's process. @param ranges asked anew for every message. */
  constructor(place: Place, epoch: EpochWord, credentials: Credentials, ranges: OwnedRanges, log: LogSink) {
    this.place = place;
    this.#ranges = ranges;
    this.#log = log;
    this.#channel = new Channel(place.host, place.port, epoch, credentials);
    this.#channel.onDropped = () => this.#tellAll();
    this.#ended = this.#run();
  }

  /** The server is there now. @param cookie of the memory that the table's segments lie on; "" while it is not known. */
  follow(place: Place, cookie: string): void {
    if (cookie !== this.#cookie || place.base !== this.place.base) this.#mustTellAll = true;
    this.place = place;
    this.#cookie = cookie;
    this.#bell.resolve();
  }

  #tellAll(): void {
    this.#mustTellAll = true;
    this.#bell.resolve();
  }

  /**
   * Has it told of segment `id`, or of all, and waits until it knows; not for one that does not answer heartbeats: it is told all
   * when it does.
   *
   * @throws TimeoutError, PeerLostError; SystemError: it does not let itself be told.
   */
  async tell(id?: number): Promise<void> {
    if (id === undefined) this.#mustTellAll = true;
    else this.#changed.add(id);
    const change = ++this.#lastChange;
    this.#bell.resolve();
    if (!this.place.isAlive) return;
    const waiter = { change, done: Promise.withResolvers<void>() };
    this.#waiters.push(waiter);
    const timer = setTimeout(() => {
      waiter.done.reject(
        new TimeoutError(`${placeName(this.place)} could not be told in time whose its bytes are (dsm status)`),
      );
    }, TELL_MS_MAX);
    try {
      await waiter.done.promise;
    } finally {
      clearTimeout(timer);
      this.#waiters = this.#waiters.filter((each) => each !== waiter);
    }
  }

  async #run(): Promise<void> {
    const { signal } = this.#ending;
    let waitMs = RETRY_MS_MIN;
    while (!signal.aborted) {
      if (this.#cookie === "" || !this.#mustTellAll && this.#changed.size === 0) {
        await this.#bell.promise;
        this.#bell = Promise.withResolvers();
        continue;
      }
      try {
        await this.#tellSome();
        this.#complaint = "";
        waitMs = RETRY_MS_MIN;
      } catch (error) {
        if (signal.aborted) break;
        if (!(error instanceof DsmError)) throw error;
        this.#mustTellAll = true;
        this.#failed(error);
        await pause(waitMs, signal);
        waitMs = Math.min(RETRY_MS_MAX, 2 * waitMs);
      }
    }
  }

  /** A server that is away is told when it is back, and its watch says so; one that refuses is named. */
  #failed(error: DsmError): void {
    if (!(error instanceof SystemError) || error.code === "ESTALE") return;
    for (const { done } of this.#waiters) done.reject(error);
    if (this.#complaint !== error.message) {
      this.#log("warn", `whose segments are whose cannot be told: ${error.message}`);
    }
    this.#complaint = error.message;
  }

  async #tellSome(): Promise<void> {
    const isAll = this.#mustTellAll;
    this.#mustTellAll = false;
    if (isAll) this.#startCount = await this.#meet();
    const change = this.#lastChange;
    const ids = isAll ? [undefined] : [...this.#changed];
    this.#changed.clear();
    await this.#send(ids.flatMap((id) => this.#ranges(id)));
    for (const waiter of this.#waiters) if (waiter.change <= change) waiter.done.resolve();
  }

  /** The present start of the server. @throws SystemError ESTALE: it has other memory than is known. */
  async #meet(): Promise<number> {
    const { header } = await this.#channel.request("regionInfo", {}, true, this.#options);
    const { cookie, startCount } = header.fields as Fields<"regionInfoReply">;
    if (cookie === this.#cookie) return startCount;
    throw new SystemError("owners", "ESTALE", `${placeName(this.place)} has other memory than before`);
  }

  async #send(ranges: readonly OwnedRange[]): Promise<void> {
    const { base, size } = this.place;
    const rows = ranges.flatMap((range) => {
      const first = Math.max(range.base, base);
      const end = Math.min(range.base + range.size, base + size);
      return first < end ? [toOwnerRow({ ...range, base: first - base, size: end - first })] : [];
    });
    let at = 0;
    do {
      const some = rows.slice(at, at += OWNER_ROWS_MAX);
      const fields = { startCount: this.#startCount, isLast: at >= rows.length, rows: some };
      await this.#channel.request("owners", fields, true, this.#options);
    } while (at < rows.length);
  }

  get #options(): { readonly timeoutMs: number; readonly signal: AbortSignal } {
    return { timeoutMs: ANSWER_MS_MAX, signal: this.#ending.signal };
  }

  /** Closes the connection; who waits is told that nobody was. */
  async close(): Promise<void> {
    this.#ending.abort();
    this.#bell.resolve();
    const lost = new PeerLostError(`${placeName(this.place)} was not told: the config server is stopping`, "no");
    for (const { done } of this.#waiters) done.reject(lost);
    await this.#channel.close();
    await this.#ended;
  }
}
