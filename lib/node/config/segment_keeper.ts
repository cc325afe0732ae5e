/**
 * The config server's table of segments: it stores what a call has changed before the call is answered, zeroes what is
 * new, and follows regions and sessions.
 *
 *   - A call is answered once every server has been asked for once, so that the space it is about is known.
 *   - New segments go by the order that lib/ipc/segments/segment_table.ts demands: store, zero, commit, store, answer.
 *   - The memory servers are told whose a range is before it is zeroed, nobody's then, and before the call is answered.
 *   - A zeroing of an earlier life, or one that failed, may still be on its way to a server. A server gives up a
 *     connection whose peer is silent within SILENT_MS_MAX; only after it is such a segment's range handed out again.
 *   - The sessions of an earlier life have as long to come back; then what they attached is detached.
 *   - A region is the one that segments lie on while its cookie and its base are the ones recorded. If not, those segments
 *     are gone, and the log names them.
 *   - What cannot be stored ends the process: a table that knows more than its file must not answer.
 *   - Who restores holds the table first, and while he does nothing is zeroed; then the whole table is another one, in the
 *     file first. It has no attachments, so the sessions that had any must hear of it.
 */
import { Deadline, pause } from "../../base/clock.ts";
import { DsmError } from "../../base/errors.ts";
import type { SystemError } from "../../base/errors.ts";
import { placeName, Space } from "../../config/space.ts";
import type { Place } from "../../config/space.ts";
import type { Range } from "../../ipc/segments/allocator.ts";
import type { Limits } from "../../ipc/segments/limits.ts";
import type { Principal } from "../../ipc/common/permissions.ts";
import { keyText, refusal } from "../../ipc/common/refusal.ts";
import type { Segment } from "../../ipc/segments/segment.ts";
import { endOf, requirePictureRows, restoredRows } from "../../ipc/segments/segment_rows.ts";
import { SegmentTable } from "../../ipc/segments/segment_table.ts";
import { SILENT_MS_MAX } from "../../net/transport.ts";
import type { LogSink } from "../common/log_sink.ts";
import type { RegionRow, SegmentState } from "./segment_state.ts";
import { TableHold } from "./table_hold.ts";

/** How long a `shmget` waits for a segment that somebody else is making under its key. */
const PENDING_MS_MAX = 5_000;

/** How a keeper is to behave. */
export interface KeeperOptions {
  /** Bytes at the front of the space that are for raw use. */
  readonly lowWaterMark: number;
  /** What may be had. */
  readonly limits: Limits;
  /** Tells the servers that a segment lies on whose it is now; nobody is told unless this is given. */
  readonly tell?: Tell;
  /** How long the past may take to end, in ms; SILENT_MS_MAX unless told. 0: it has ended. */
  readonly lapseMs?: number;
  /** Whether a new segment's id is its key where that can be; see `TableOptions`. */
  readonly isKeyId?: boolean;
}

/** Zeroes a range of a space. */
export type Zero = (space: Space, range: Range) => Promise<void>;

/** Tells the servers that segment `id` lies on whose it is now, or all of them all, and resolves when they know. */
export type Tell = (id: number | undefined) => Promise<void>;

/** See the head of this file. */
export class SegmentKeeper {
  readonly #state: SegmentState;
  readonly #zero: Zero;
  readonly #options: KeeperOptions;
  readonly #tell: Tell;
  readonly #log: LogSink;
  readonly #lapseMs: number;
  readonly #regions: Map<number, RegionRow>;
  /** Sessions of an earlier life that have not come back. */
  readonly #absent: Set<string>;
  /** What wakes those who wait for a pending segment, by its id. */
  readonly #settled = new Map<number, PromiseWithResolvers<void>>();
  readonly #ready = Promise.withResolvers<void>();
  readonly #closing = new AbortController();
  readonly #held = new TableHold();
  readonly #tasks = new Set<Promise<void>>();
  #space = new Space(0, []);
  #table: SegmentTable;

  /** Reads what `state` has. @throws CheckpointError where that is no table. */
  constructor(state: SegmentState, zero: Zero, options: KeeperOptions, log: LogSink) {
    this.#state = state;
    this.#zero = zero;
    this.#tell = options.tell ?? (() => Promise.resolve());
    this.#log = log;
    this.#options = options;
    this.#lapseMs = options.lapseMs ?? SILENT_MS_MAX;
    this.#table = new SegmentTable(this.#space, { ...options, rows: state.readTable() });
    this.#regions = new Map(state.readRegions().map((region) => [region.position, region]));
    this.#absent = new Set(this.table.sessions);
    for (const id of this.table.pending) this.#settled.set(id, Promise.withResolvers());
  }

  /** The table; who changes it says {@linkcode SegmentKeeper.store} before anybody is told. */
  get table(): SegmentTable {
    return this.#table;
  }

  /** Resolves when a call may be carried out. @throws SystemError EAGAIN: somebody restores, and it takes long. */
  async whenOpen(): Promise<void> {
    await this.#ready.promise;
    await this.#held.pass(this.#closing.signal);
  }

  /** Every server has been asked for once: calls are answered from now on, and the past begins to end. */
  begin(): void {
    this.#ready.resolve();
    this.#nameLost();
    this.#run(this.#endPast(this.table.pending));
  }

  /** A table that was restored from a larger space has segments with bytes that are nowhere. */
  #nameLost(): void {
    if (this.#space.places.some(({ size }) => size === 0)) return;
    const lost = this.table.toRows().segments.filter((segment) => endOf([segment]) > this.#space.size);
    if (lost.length === 0) return;
    const which = lost.map(segmentName).join(", ");
    this.#log(
      "warn",
      `the space ends at ${this.#space.size}, before the end of ${which}; append servers, or remove them`,
    );
  }

  async #endPast(pending: readonly number[]): Promise<void> {
    if (pending.length === 0 && this.#absent.size === 0) return;
    if (this.#lapseMs > 0) await pause(this.#lapseMs, this.#closing.signal);
    if (this.#closing.signal.aborted) return;
    for (const session of this.#absent) this.table.endSession(session, seconds());
    if (this.#absent.size > 0) this.#log("info", `${this.#absent.size} session(s) did not come back: detached`);
    this.#absent.clear();
    pending.forEach((id) => this.#abort(id));
    this.store();
  }

  /** Stores what has changed. */
  store(regions: readonly RegionRow[] = []): void {
    this.#state.store(this.table.takeChanges(), regions);
  }

  // ---- shmget

  /**
   * `shmget`, until a new segment has been zeroed.
   *
   * @throws SystemError as the table's; ENOMEM: it could not be zeroed; EAGAIN: somebody else's is not ready in time.
   */
  async shmget(who: Principal, key: number, size: number, flags: number): Promise<number> {
    const deadline = new Deadline(PENDING_MS_MAX);
    for (;; await this.#held.pass(this.#closing.signal)) {
      const result = this.table.shmget(who, key, size, flags, seconds());
      if (result.outcome === "found") return result.id;
      if (result.outcome === "created") return await this.#make(result.id, result.zero);
      await this.#whenSettled(result.id, deadline, `get the segment with key ${keyText(key)}`);
    }
  }

  async #make(id: number, range: Range): Promise<number> {
    this.#settled.set(id, Promise.withResolvers());
    this.store();
    try {
      await this.#tell(id);
      await this.#zero(this.#space, range);
    } catch (error) {
      if (!(error instanceof DsmError)) throw error;
      this.#run(this.#abortLater(id));
      throw refusal("shmget", "ENOMEM", `zero the ${range.size} bytes of a new segment`, error.message);
    }
    if (this.#closing.signal.aborted) throw this.#notNow(`make a segment of ${range.size} bytes`);
    // the region may have been lost meanwhile, and the segment with it
    if (!this.table.pending.includes(id)) {
      throw refusal("shmget", "ENOMEM", `make a segment of ${range.size} bytes`, "its server came back without them");
    }
    this.table.commit(id);
    this.store();
    await this.tellOwner(id);
    this.#settle(id);
    return id;
  }

  /** The servers are told whose a segment is now, or all are; one that cannot be told in time is told when it can be. */
  async tellOwner(id?: number): Promise<void> {
    try {
      await this.#tell(id);
    } catch (error) {
      if (!(error instanceof DsmError)) throw error;
      const which = id === undefined ? "each segment" : `segment ${id}`;
      this.#log("warn", `whose ${which} is now is not known everywhere yet: ${error.message}`);
    }
  }

  async #abortLater(id: number): Promise<void> {
    await pause(this.#lapseMs, this.#closing.signal);
    if (this.#closing.signal.aborted) return;
    this.#abort(id);
    this.store();
  }

  #abort(id: number): void {
    if (this.table.pending.includes(id)) this.table.abort(id);
    this.#settle(id);
  }

  #settle(id: number): void {
    this.#settled.get(id)?.resolve();
    this.#settled.delete(id);
  }

  async #whenSettled(id: number, deadline: Deadline, what: string): Promise<void> {
    const ended = new AbortController();
    const signal = AbortSignal.any([ended.signal, this.#closing.signal]);
    await Promise.race([this.#settled.get(id)?.promise, pause(deadline.leftMs, signal)]);
    ended.abort();
    if (deadline.passed || this.#closing.signal.aborted) throw this.#notNow(what);
  }

  #notNow(what: string): SystemError {
    const why = this.#closing.signal.aborted ? "the config server is stopping" : "somebody is just making it";
    return refusal("shmget", "EAGAIN", what, `${why}; try again in a moment`);
  }

  /** The memory that segment `id` lies on: rows `[server, cookie]`, server as `host:port`. */
  memoryOf(id: number): [string, string][] {
    const range = this.table.ownedRange(id);
    if (!range) return [];
    return this.#space.pieces(range.base, range.size, "shmat").flatMap(({ server }) => {
      const cookie = this.#regions.get(server)?.cookie;
      return cookie === undefined ? [] : [[placeName(this.#space.places[server] as Place), cookie]];
    });
  }

  // ---- sessions

  /** Whether `session` is of an earlier life and may go on now. */
  takeUp(session: string): boolean {
    return this.#absent.delete(session);
  }

  /** A session has ended: what it attached is detached. When the config server itself ends, sessions go on. */
  endSession(session: string): void {
    if (this.#closing.signal.aborted || !this.table.sessions.includes(session)) return;
    this.table.endSession(session, seconds());
    this.store();
  }

  // ---- restoring

  /**
   * Keeps calls from the table until `holder` lets go. Resolves when nothing is being made or zeroed any more.
   *
   * @throws SystemError EBUSY: somebody else holds it.
   */
  async hold(holder: object): Promise<void> {
    await this.#ready.promise;
    this.#held.take(holder);
    while (this.table.pending.length > 0 && !this.#closing.signal.aborted) {
      await Promise.all(this.table.pending.map((id) => this.#settled.get(id)?.promise));
    }
  }

  /** Lets calls in again, if it is `holder` who holds. */
  letGo(holder: object): void {
    this.#held.free(holder);
  }

  /**
   * Puts the table of a checkpoint in place of the present one, whole or not at all.
   *
   * @param rows not checked yet. @returns the sessions whose attachments have ended by it.
   * @throws SystemError EINVAL: `holder` does not hold the table, or there is something pending in it; ENOMEM: it does not
   *   fit the space; ENOSPC, EIO: it cannot be stored. CheckpointError: it is no table.
   */
  restore(holder: object, rows: unknown): string[] {
    const picture = requirePictureRows(rows);
    if (!this.#held.isHeldBy(holder) || this.table.pending.length > 0) {
      throw refusal("restoreTable", "EINVAL", "restore the table of segments", "hold it first, with holdTable");
    }
    const lost = picture.segments.find((segment) => endOf([segment]) > this.#space.size);
    if (lost) {
      const what = `restore segment ${lost.id} at ${lost.base}, ${lost.rangeSize} bytes`;
      throw refusal("restoreTable", "ENOMEM", what, `the space has ${this.#space.size}; restore into larger servers`);
    }
    const restored = restoredRows(this.table.toRows(), picture);
    const sessions = [...new Set([...this.table.sessions, ...this.#absent])];
    const table = new SegmentTable(this.#space, { ...this.#options, rows: restored });
    this.#state.replace(restored);
    this.#table = table;
    this.#absent.clear();
    return sessions;
  }

  // ---- the space

  /** Follows the servers of the space. @param cookies of their regions, "" where not known. */
  layOut(space: Space, cookies: readonly string[]): void {
    this.#space = space;
    const found = space.places.flatMap((place, position) => {
      const region = regionOf(place, position, cookies[position] ?? "", space);
      return region && !isSame(this.#regions.get(position), region) ? [region] : [];
    });
    for (const region of found) this.#replace(region);
    this.table.layOut(space);
    if (found.length > 0) this.store(found);
  }

  #replace(region: RegionRow): void {
    const before = this.#regions.get(region.position);
    this.#regions.set(region.position, region);
    if (!before) return;
    const dropped = this.table.drop(before);
    dropped.forEach(({ id }) => this.#settle(id));
    const which = dropped.map(segmentName).join(", ");
    if (which !== "") this.#log("warn", `${region.name} has other memory than before: dropped ${which}`);
  }

  // ---- the end

  #run(task: Promise<void>): void {
    this.#tasks.add(task);
    task.finally(() => this.#tasks.delete(task));
  }

  /** From now on nothing changes any more: sessions go on in the file, and what is pending stays so. */
  end(): void {
    this.#closing.abort();
    this.#ready.resolve();
  }

  /** Closes the file; nobody may call any more. */
  async close(): Promise<void> {
    await Promise.all(this.#tasks);
    this.#state.close();
  }
}

function seconds(): number {
  return Math.floor(Date.now() / 1000);
}

/** The region of a place that has an address and whose memory is known. */
function regionOf(place: Place, position: number, cookie: string, space: Space): RegionRow | undefined {
  const hasAddress = place.size > 0 && place.base + place.size <= space.size;
  if (cookie === "" || !hasAddress) return undefined;
  return { position, name: placeName(place), base: place.base, size: place.size, cookie };
}

function isSame(before: RegionRow | undefined, now: RegionRow): boolean {
  return before !== undefined && before.cookie === now.cookie && before.base === now.base && before.size === now.size;
}

function segmentName({ id, key }: Pick<Segment, "id" | "key">): string {
  return `segment ${id} (key ${keyText(key)})`;
}
