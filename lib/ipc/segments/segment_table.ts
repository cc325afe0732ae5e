/**
 * The table of segments, and System V's calls on it: what they return, whom they refuse, what they leave behind.
 *
 *   - Where manual pages and Linux differ, Linux is right; a differential test holds the two together. EIDRM is never
 *     seen here: on Linux it takes a removal in the middle of a call, and a call here has no middle.
 *   - Ranges never overlap and are whole blocks. A key names at most one segment. nattch is the number of attachments.
 *   - A segment with SHM_DEST has no key and at least one attachment.
 *   - A call that throws has changed nothing.
 *
 * **Nobody sees a segment before it was zeroed.** `shmget` that makes one returns its range, and the segment is *pending*:
 * key and range are taken, and all calls but `shmget` with IPC_CREAT behave as if it were not there. Whoever has the table
 * does, in this order: store the rows; zero the range; `commit`; store the rows; answer. Who is killed
 *
 *   - before the first store has touched nothing that anybody could miss;
 *   - before the second finds a pending segment in the rows. A zeroing of the life before may still be on its way to a
 *     server, so the range must not be handed out yet: first make sure that every server has dropped the connections of
 *     that life, then `abort`;
 *   - before the answer has made a segment whose id nobody was told, as a process has on Linux that dies in `shmget`.
 *
 * Pure: no clock, no socket. Times come in as seconds since 1970; what has to be stored goes out by `takeChanges`.
 */
import { invariant } from "../../base/assert.ts";
import type { SystemError } from "../../base/errors.ts";
import type { Space } from "../../config/space.ts";
import type { Range } from "./allocator.ts";
import type { Attachment } from "./attachments.ts";
import type { Attached, NewOwnership, ShmgetResult, Usage } from "./calls.ts";
import { IPC_CREAT, IPC_EXCL, IPC_PRIVATE, PERMISSION_BITS } from "../common/flags.ts";
import { SHM_DEST, SHM_EXEC, SHM_LOCKED, SHM_RDONLY, SHM_REMAP } from "./flags.ts";
import { DEFAULT_LIMITS, pageCount } from "./limits.ts";
import type { Limits } from "./limits.ts";
import { makeRoom } from "./make_room.ts";
import { requireLockable } from "./memory_lock.ts";
import { EXECUTE, mayAccess, mayControl, READ, WRITE } from "../common/permissions.ts";
import type { Principal } from "../common/permissions.ts";
import { keyText, refusal } from "../common/refusal.ts";
import { NOBODYS } from "./range_owners.ts";
import type { OwnedRange } from "./range_owners.ts";
import { statusOf } from "./segment.ts";
import type { Segment, SegmentStatus } from "./segment.ts";
import { INDEX_COUNT } from "../common/object_ids.ts";
import { fromRows, takeChangedRows, toPictureRows, toRows } from "./segment_rows.ts";
import type { RowChanges, TableRows } from "./segment_rows.ts";
import { SegmentStore } from "./segment_store.ts";

/** How a table begins. */
export interface TableOptions {
  /** Bytes at the front of the space that are for raw use; none unless told. */
  readonly lowWaterMark?: number;
  /** Linux's unless told. */
  readonly limits?: Limits;
  /**
   * Whether a new segment's id is its key, where that is positive and free as an id; Linux's ids unless told. (Such an id
   * comes back with its key, so a stale one may find a segment made anew.)
   */
  readonly isKeyId?: boolean;
  /** What `toRows` gave in an earlier life, from wherever it was kept. */
  readonly rows?: unknown;
}

/** `(uid_t) -1` and `(gid_t) -1`: nobody. */
const NOBODY = 0xffff_ffff;
const SEE_IPCS = "dsm ipcs -m shows what there is";

/** See the head of this file. */
export class SegmentTable {
  /** What may be had. */
  readonly limits: Limits;
  readonly #isKeyId: boolean;
  readonly #store: SegmentStore;

  /**
   * The table of the segments in `space`.
   *
   * @throws CheckpointError where `rows` are not those of a table.
   */
  constructor(space: Space, { lowWaterMark = 0, limits = DEFAULT_LIMITS, isKeyId = false, rows }: TableOptions = {}) {
    this.limits = limits;
    this.#isKeyId = isKeyId;
    const read = rows === undefined ? undefined : fromRows(rows);
    this.#store = new SegmentStore(space, lowWaterMark, read?.head, read?.head.nextAttachment);
    read?.segments.forEach((segment) => this.#store.restore(segment));
    read?.attachments.forEach((attachment) => this.#store.restoreAttachment(attachment));
  }

  /** Follows the servers of the space. */
  layOut(space: Space): void {
    this.#store.layOut(space);
  }

  /** What must be stored before a call is answered: all that changed since this was last called. */
  takeChanges(): RowChanges {
    return takeChangedRows(this.#store);
  }

  /** The whole table. */
  toRows(): TableRows {
    return toRows(this.#store);
  }

  /** What a checkpoint has of it: the segments that can be seen and found, without their attachments. */
  toPicture(): TableRows {
    return toPictureRows(this.#store);
  }

  // ---- shmget

  /**
   * The segment under `key`, or a new one of `size` bytes. The last nine bits of `flags` are a new one's mode, and what is
   * wanted of one that is there. SHM_HUGETLB and SHM_NORESERVE say how memory is to be backed and are ignored.
   *
   * @throws SystemError ENOENT, EEXIST, EACCES; EINVAL: larger than what is there, or out of SHMMIN to SHMMAX; ENOSPC:
   *   SHMALL or SHMMNI; ENOMEM: no room in the space.
   */
  shmget(who: Principal, key: number, size: number, flags: number, now: number): ShmgetResult {
    const canonical = key >>> 0;
    const found = canonical === IPC_PRIVATE ? undefined : this.#store.find(canonical);
    if (found?.isReady) return { outcome: "found", id: this.#open(who, found, size, flags) };
    if (found && flags & IPC_CREAT) return { outcome: "pending", id: found.id };
    if (canonical === IPC_PRIVATE || flags & IPC_CREAT) return this.#create(who, canonical, size, flags, now);
    const next = "make it with IPC_CREAT (dsm ipcmk -M), or see dsm ipcs -m for the keys there are";
    throw refusal("shmget", "ENOENT", `find a segment with key ${keyText(canonical)}`, next);
  }

  /** On Linux the size is looked at before the permissions, so even he may learn of it who may not read. */
  #open(who: Principal, segment: Segment, size: number, flags: number): number {
    const what = `get the segment with key ${keyText(segment.key)}`;
    if (flags & IPC_CREAT && flags & IPC_EXCL) {
      throw refusal(
        "shmget",
        "EEXIST",
        `make a segment with key ${keyText(segment.key)}`,
        "take another key, or leave out IPC_EXCL to have the one that is there",
      );
    }
    if (!(size >= 0 && size <= segment.size)) {
      throw refusal(
        "shmget",
        "EINVAL",
        `${what} with ${size} bytes`,
        `it has ${segment.size}; size 0 takes it as it is`,
      );
    }
    if (!mayAccess(segment, who, flags)) throw forbidden("shmget", what, segment);
    return segment.id;
  }

  #create(who: Principal, key: number, size: number, flags: number, now: number): ShmgetResult {
    const range = makeRoom(this.#store, this.limits, size);
    const { id } = this.#store.add({
      key,
      size,
      range,
      uid: who.uid,
      gid: who.gid,
      cuid: who.uid,
      cgid: who.gid,
      mode: flags & PERMISSION_BITS,
      atime: 0,
      dtime: 0,
      ctime: now,
      cpid: who.pid,
      lpid: 0,
      lockerUid: null,
      isReady: false,
    }, this.#isKeyId && key !== IPC_PRIVATE ? key : undefined);
    return { outcome: "created", id, zero: range };
  }

  /** Ids of the segments that are pending; in a table that was just read from rows those of the life before. */
  get pending(): number[] {
    return this.#store.all.filter(({ isReady }) => !isReady).map(({ id }) => id);
  }

  /** The pending segment `id` was zeroed: from now on it can be seen. */
  commit(id: number): void {
    this.#requirePending(id);
    this.#store.update(id, { isReady: true });
  }

  /** The pending segment `id` could not be zeroed: it goes as if it had never been. */
  abort(id: number): void {
    this.#requirePending(id);
    this.#store.remove(id);
  }

  #requirePending(id: number): void {
    invariant(this.#store.get(id)?.isReady === false, `segment ${id} is pending`);
  }

  // ---- shmat and shmdt

  /**
   * Attaches segment `id` to a session: for reading with SHM_RDONLY, else for both. Flags that Linux does not know are
   * ignored. A segment that is marked for removal can still be attached, as on Linux.
   *
   * @throws SystemError EACCES; EINVAL: no such segment, or SHM_REMAP, which needs an address.
   */
  shmat(who: Principal, session: string, id: number, flags: number, now: number): Attached {
    if (flags & SHM_REMAP) {
      throw refusal(
        "shmat",
        "EINVAL",
        `attach segment ${id} with SHM_REMAP`,
        "leave it out: there is no address to replace",
      );
    }
    const segment = this.#require("shmat", `attach segment ${id}`, id);
    const isWritable = (flags & SHM_RDONLY) === 0;
    const wanted = READ | (isWritable ? WRITE : 0) | (flags & SHM_EXEC ? EXECUTE : 0);
    if (!mayAccess(segment, who, wanted)) {
      throw forbidden("shmat", `attach segment ${id} ${isWritable ? "for writing" : "for reading"}`, segment);
    }
    const { number } = this.#store.attach({ segmentId: id, session, pid: who.pid, isWritable });
    this.#store.update(id, { atime: now, lpid: who.pid });
    return { attachment: number, base: segment.range.base, size: segment.size, isWritable };
  }

  /**
   * Undoes an attachment of this session. The last one of a segment marked for removal takes the segment with it.
   *
   * @throws SystemError EINVAL where the session has no such attachment.
   */
  shmdt(who: Principal, session: string, attachment: number, now: number): void {
    const found = this.#store.attachments.get(attachment);
    if (found?.session !== session) {
      throw refusal(
        "shmdt",
        "EINVAL",
        `detach attachment ${attachment}`,
        "this session has none of that number; detach what shmat returned, and once",
      );
    }
    this.#detach(found, who.pid, now);
  }

  /** The sessions that have something attached. */
  get sessions(): string[] {
    return this.#store.attachments.sessions;
  }

  /** Undoes all that a session has attached, as Linux does when a process ends. */
  endSession(session: string, now: number): void {
    for (const attachment of this.#store.attachments.ofSession(session)) this.#detach(attachment, attachment.pid, now);
  }

  #detach(attachment: Attachment, pid: number, now: number): void {
    const id = attachment.segmentId;
    this.#store.detach(attachment);
    this.#store.update(id, { dtime: now, lpid: pid });
    const mode = this.#store.get(id)?.mode ?? 0;
    if (mode & SHM_DEST && this.#store.attachments.countOf(id) === 0) this.#store.remove(id);
  }

  /**
   * The bytes of `range` are gone, and so is every segment that had any of them, pending or attached.
   *
   * @returns those segments.
   */
  drop(range: Range): Segment[] {
    const dropped = this.#store.overlapping(range);
    const ids = new Set(dropped.map(({ id }) => id));
    for (const attachment of this.#store.attachments.all) {
      if (ids.has(attachment.segmentId)) this.#store.detach(attachment);
    }
    ids.forEach((id) => this.#store.remove(id));
    return dropped;
  }

  // ---- shmctl

  /** IPC_STAT. @throws SystemError EACCES, EINVAL. */
  stat(who: Principal, id: number): SegmentStatus {
    const segment = this.#require("shmctl", `look at segment ${id}`, id);
    return this.#statusFor(who, segment);
  }

  /** SHM_STAT: what is at `index`, an id or 0 to {@linkcode indexMax}. @throws SystemError EACCES, EINVAL. */
  statAt(who: Principal, index: number): SegmentStatus {
    return this.#statusFor(who, this.#at(index));
  }

  /** SHM_STAT_ANY: the same for whoever asks, as /proc/sysvipc/shm tells everybody. @throws SystemError EINVAL. */
  statAnyAt(index: number): SegmentStatus {
    return this.#statusOf(this.#at(index));
  }

  #at(index: number): Segment {
    return this.#require("shmctl", `look at the segment with index ${index}`, this.#store.ids.at(index));
  }

  #statusFor(who: Principal, segment: Segment): SegmentStatus {
    if (!mayAccess(segment, who, READ)) throw forbidden("shmctl", `look at segment ${segment.id}`, segment);
    return this.#statusOf(segment);
  }

  #statusOf(segment: Segment): SegmentStatus {
    return statusOf(segment, this.#store.attachments.countOf(segment.id));
  }

  /** IPC_SET. @throws SystemError EPERM; EINVAL: no such segment, or uid or gid 2^32 - 1, which is nobody. */
  set(who: Principal, id: number, { uid, gid, mode }: NewOwnership, now: number): void {
    const what = `change segment ${id}`;
    const segment = this.#requireControl(who, what, id);
    const owner = { uid: uid >>> 0, gid: gid >>> 0 };
    if (owner.uid === NOBODY || owner.gid === NOBODY) {
      throw refusal("shmctl", "EINVAL", what, `uid and gid ${NOBODY} are nobody's`);
    }
    const kept = segment.mode & ~PERMISSION_BITS;
    this.#store.update(id, { ...owner, mode: kept | mode & PERMISSION_BITS, ctime: now });
  }

  /**
   * IPC_RMID. A segment that is attached loses its key, is marked SHM_DEST and goes with the last detach; removing it once
   * more changes nothing.
   *
   * @throws SystemError EPERM, EINVAL.
   */
  remove(who: Principal, id: number): void {
    const segment = this.#requireControl(who, `remove segment ${id}`, id);
    if (this.#store.attachments.countOf(id) === 0) this.#store.remove(id);
    else this.#store.update(id, { key: IPC_PRIVATE, mode: segment.mode | SHM_DEST });
  }

  /** SHM_LOCK; see memory_lock.ts. @throws SystemError EPERM, EINVAL; ENOMEM: beyond the memory lock limit. */
  lock(who: Principal, id: number): void {
    const segment = this.#requireControl(who, `lock segment ${id}`, id);
    requireLockable(this.#store.all, this.limits, who, segment);
    this.#store.update(id, { mode: segment.mode | SHM_LOCKED, lockerUid: segment.lockerUid ?? who.uid });
  }

  /** SHM_UNLOCK; of one that is not locked it changes nothing. @throws SystemError EPERM, EINVAL. */
  unlock(who: Principal, id: number): void {
    const segment = this.#requireControl(who, `unlock segment ${id}`, id);
    this.#store.update(id, { mode: segment.mode & ~SHM_LOCKED, lockerUid: null });
  }

  /** The highest index in use, 0 when there is none: what IPC_INFO and SHM_INFO return. */
  get indexMax(): number {
    return this.#visible.reduce((max, { id }) => Math.max(max, id % INDEX_COUNT), 0);
  }

  /** SHM_INFO. */
  get usage(): Usage {
    const visible = this.#visible;
    return {
      segmentCount: visible.length,
      pageCount: visible.reduce((sum, { size }) => sum + pageCount(size), 0),
    };
  }

  get #visible(): Segment[] {
    return this.#store.all.filter(({ isReady }) => isReady);
  }

  // ---- raw access

  /**
   * Whose the range of segment `id` is, for whoever serves its bytes; nobody's while it has not been zeroed.
   *
   * @returns undefined where there is no such segment: what one has left stays its owner's until the range is used again.
   */
  ownedRange(id: number): OwnedRange | undefined {
    const segment = this.#store.get(id);
    return segment && ownedRangeOf(segment);
  }

  /** The same of all segments. */
  get ownedRanges(): OwnedRange[] {
    return this.#store.all.map(ownedRangeOf);
  }

  // ---- what all calls need

  /** The segment, as far as it can be seen: pending ones are not there. */
  #require(call: string, what: string, id: number | undefined): Segment {
    const segment = id === undefined ? undefined : this.#store.get(id);
    if (segment?.isReady) return segment;
    throw refusal(call, "EINVAL", what, `there is none, or no more; ${SEE_IPCS}`);
  }

  #requireControl(who: Principal, what: string, id: number): Segment {
    const segment = this.#require("shmctl", what, id);
    if (mayControl(segment, who)) return segment;
    const next = `that is for its owner (uid ${segment.uid}), its creator (uid ${segment.cuid}) and uid 0`;
    throw refusal("shmctl", "EPERM", what, next);
  }
}

function ownedRangeOf({ range, isReady, uid, gid, cuid, cgid, mode }: Segment): OwnedRange {
  return { ...range, ...(isReady ? { uid, gid, cuid, cgid, mode: mode & PERMISSION_BITS } : NOBODYS) };
}

function forbidden(call: string, what: string, { id, uid, gid, mode }: Segment): SystemError {
  const bits = (mode & PERMISSION_BITS).toString(8).padStart(4, "0");
  const next =
    `segment ${id} belongs to uid ${uid} and gid ${gid} and has mode ${bits} (dsm ipcs -m); its owner may change that`;
  return refusal(call, "EACCES", what, next);
}
