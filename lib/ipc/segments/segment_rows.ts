/**
 * The table as plain rows, for a database and for a checkpoint's manifest: format 1.
 *
 *   - Rows are flat and hold only numbers, texts and null, so that any store takes them as they are.
 *   - One head, a row per segment (key `id`), a row per attachment (key `number`).
 *   - A checkpoint has the segments without their attachments, which are those of sessions and end with them.
 *   - Nothing read is believed before it was checked, each row by itself and all of them together: a table that was read
 *     keeps what the store and the table promise, or there is none.
 */
import { CheckpointError } from "../../base/errors.ts";
import type { Attachment } from "./attachments.ts";
import { IPC_PRIVATE, PERMISSION_BITS } from "../common/flags.ts";
import { SHM_DEST, SHM_LOCKED } from "./flags.ts";
import type { Segment } from "./segment.ts";
import { ID_MAX, INDEX_COUNT, laterCircle, SEQUENCE_COUNT } from "../common/object_ids.ts";
import { requireDistinct, Row, WORD_MAX } from "../common/row.ts";
import type { SegmentStore } from "./segment_store.ts";

/** Grows when what an older dsm would read is no longer what was meant. */
export const ROW_FORMAT = 1;

/** What there is once. */
export interface HeadRow {
  /** {@linkcode ROW_FORMAT}. */
  readonly format: number;
  /** Of the latest id. */
  readonly sequence: number;
  /** Of the latest id; -1: there was none yet. */
  readonly lastIndex: number;
  /** The number of the next attachment. */
  readonly nextAttachment: number;
}

/** A segment; fields as in {@linkcode Segment}. */
export interface SegmentRow extends Omit<Segment, "range" | "isReady"> {
  /** Address of its first byte. */
  readonly base: number;
  /** Bytes of its blocks. */
  readonly rangeSize: number;
  /** Whether it may be seen. */
  readonly state: "pending" | "ready";
}

/** The columns of a segment, in the order in which every store has them. */
export const SEGMENT_COLUMNS = [
  ...["id", "key", "size", "base", "rangeSize", "uid", "gid", "cuid", "cgid", "mode"] as const,
  ...["atime", "dtime", "ctime", "cpid", "lpid", "lockerUid", "state"] as const,
] satisfies readonly (keyof SegmentRow)[];

/** An attachment; fields as in {@linkcode Attachment}. */
export interface AttachmentRow extends Omit<Attachment, "isWritable"> {
  /** What it is for. */
  readonly access: "read" | "write";
}

/** A whole table. */
export interface TableRows extends HeadRow {
  /** By their ids. */
  readonly segments: readonly SegmentRow[];
  /** By their numbers. */
  readonly attachments: readonly AttachmentRow[];
}

/** The table in which there never was a segment. */
export const EMPTY_TABLE: TableRows = {
  format: ROW_FORMAT,
  sequence: 0,
  lastIndex: -1,
  nextAttachment: 1,
  segments: [],
  attachments: [],
};

/** What to store after a call; the head always. */
export interface RowChanges {
  /** Replaces the head. */
  readonly head: HeadRow;
  /** New, or in place of those with the same id. */
  readonly segments: readonly SegmentRow[];
  /** Ids of the rows to delete. */
  readonly removedSegments: readonly number[];
  /** New ones. */
  readonly attachments: readonly AttachmentRow[];
  /** Numbers of the rows to delete. */
  readonly removedAttachments: readonly number[];
}

// ---- writing

/** All rows of a store. */
export function toRows(store: SegmentStore): TableRows {
  return {
    ...headOf(store),
    segments: store.all.map(segmentRow),
    attachments: store.attachments.all.map(attachmentRow),
  };
}

/**
 * The rows for a checkpoint. What is pending is not there yet; what is marked for removal is there for those only who have it
 * attached, and nobody will.
 */
export function toPictureRows(store: SegmentStore): TableRows {
  const segments = store.all.filter(({ isReady, mode }) => isReady && (mode & SHM_DEST) === 0);
  const { sequence, lastIndex } = store.ids.circle;
  return { ...EMPTY_TABLE, sequence, lastIndex, segments: segments.map(segmentRow) };
}

/** What the table `present` becomes when it is made what `picture` was: ids and attachments are numbered on, none twice. */
export function restoredRows(present: HeadRow, picture: TableRows): TableRows {
  const { nextAttachment } = present;
  return { ...EMPTY_TABLE, ...laterCircle(present, picture), nextAttachment, segments: picture.segments };
}

/** The rows of what has changed since this was last called. */
export function takeChangedRows(store: SegmentStore): RowChanges {
  const changes = store.takeChanges();
  const segments = changes.segments.map((id) => store.get(id));
  const attachments = changes.attachments.map((number) => store.attachments.get(number));
  return {
    head: headOf(store),
    segments: segments.flatMap((segment) => segment ? [segmentRow(segment)] : []),
    removedSegments: changes.segments.filter((_, index) => !segments[index]),
    attachments: attachments.flatMap((attachment) => attachment ? [attachmentRow(attachment)] : []),
    removedAttachments: changes.attachments.filter((_, index) => !attachments[index]),
  };
}

function headOf({ ids, attachments }: SegmentStore): HeadRow {
  return { format: ROW_FORMAT, ...ids.circle, nextAttachment: attachments.nextNumber };
}

function segmentRow({ range, isReady, ...segment }: Segment): SegmentRow {
  return { ...segment, base: range.base, rangeSize: range.size, state: isReady ? "ready" : "pending" };
}

function attachmentRow({ isWritable, ...attachment }: Attachment): AttachmentRow {
  return { ...attachment, access: isWritable ? "write" : "read" };
}

// ---- reading

/**
 * Reads the rows of a checkpoint that nobody vouches for.
 *
 * @throws CheckpointError as `fromRows`; where a segment is not there yet, or marked for removal, or there is an attachment.
 */
export function requirePictureRows(rows: unknown): TableRows {
  const { head, segments, attachments } = fromRows(rows);
  if (attachments.length > 0) throw new CheckpointError("the table of a checkpoint has an attachment");
  const pending = segments.find(({ isReady }) => !isReady);
  if (pending) throw new CheckpointError(`segment ${pending.id} was not there yet`);
  return { ...EMPTY_TABLE, sequence: head.sequence, lastIndex: head.lastIndex, segments: segments.map(segmentRow) };
}

/** Where the last of some segments ends in the space. */
export function endOf(segments: readonly Pick<SegmentRow, "base" | "rangeSize">[]): number {
  return segments.reduce((end, { base, rangeSize }) => Math.max(end, base + rangeSize), 0);
}

/** The parts of a table, checked. */
export interface ReadRows {
  /** Where ids and attachments go on. */
  readonly head: HeadRow;
  /** All segments. */
  readonly segments: readonly Segment[];
  /** All attachments. */
  readonly attachments: readonly Attachment[];
}

/**
 * Reads rows that nobody vouches for.
 *
 * @throws CheckpointError saying which row is wrong, and how.
 */
export function fromRows(rows: unknown): ReadRows {
  const table = new Row("the table of segments", rows);
  table.require(table.whole("format") === ROW_FORMAT, `has not format ${ROW_FORMAT}`);
  const head = {
    format: ROW_FORMAT,
    sequence: table.whole("sequence", 0, SEQUENCE_COUNT - 1),
    lastIndex: table.whole("lastIndex", -1, INDEX_COUNT - 1),
    nextAttachment: table.whole("nextAttachment", 1),
  };
  const segments = table.list("segments").map((row) => segmentFrom(new Row("a segment", row)));
  const attachments = table.list("attachments").map((row) => attachmentFrom(new Row("an attachment", row)));
  requireDistinct("segments", "index", segments.map(({ id }) => id % INDEX_COUNT));
  requireDistinct("segments", "key", segments.map(({ key }) => key).filter((key) => key !== IPC_PRIVATE));
  requireDistinct("attachments", "number", attachments.map(({ number }) => number));
  requireApart(segments);
  requireAttached(head, segments, attachments);
  return { head, segments, attachments };
}

function segmentFrom(row: Row): Segment {
  const id = row.whole("id", 0, ID_MAX);
  const segment = {
    id,
    key: row.whole("key", 0, WORD_MAX),
    size: row.whole("size", 1),
    range: { base: row.whole("base"), size: row.whole("rangeSize") },
    uid: row.whole("uid", 0, WORD_MAX),
    gid: row.whole("gid", 0, WORD_MAX),
    cuid: row.whole("cuid", 0, WORD_MAX),
    cgid: row.whole("cgid", 0, WORD_MAX),
    mode: row.whole("mode", 0, PERMISSION_BITS | SHM_DEST | SHM_LOCKED),
    atime: row.whole("atime"),
    dtime: row.whole("dtime"),
    ctime: row.whole("ctime"),
    cpid: row.whole("cpid"),
    lpid: row.whole("lpid"),
    lockerUid: row.isNull("lockerUid") ? null : row.whole("lockerUid", 0, WORD_MAX),
    isReady: row.oneOf("state", ["pending", "ready"]) === "ready",
  };
  row.require(segment.size <= segment.range.size, "is larger than its range");
  row.require(Number.isSafeInteger(segment.range.base + segment.range.size), "ends at no address");
  row.require(
    (segment.lockerUid !== null) === ((segment.mode & SHM_LOCKED) !== 0),
    "has a lock without a locker, or one without the other",
  );
  row.require(segment.key === IPC_PRIVATE || (segment.mode & SHM_DEST) === 0, "is marked for removal and has a key");
  return segment;
}

function attachmentFrom(row: Row): Attachment {
  return {
    number: row.whole("number", 1),
    segmentId: row.whole("segmentId", 0, ID_MAX),
    session: row.text("session"),
    pid: row.whole("pid"),
    isWritable: row.oneOf("access", ["read", "write"]) === "write",
  };
}

function requireApart(segments: readonly Segment[]): void {
  let end = 0;
  for (const { id, range } of segments.toSorted((a, b) => a.range.base - b.range.base)) {
    if (range.base < end) throw new CheckpointError(`segment ${id} begins in another one`);
    end = range.base + range.size;
  }
}

function requireAttached(head: HeadRow, segments: readonly Segment[], attachments: readonly Attachment[]): void {
  const ready = new Set(segments.filter(({ isReady }) => isReady).map(({ id }) => id));
  for (const { number, segmentId } of attachments) {
    if (!ready.has(segmentId)) throw new CheckpointError(`attachment ${number} is of no segment`);
    if (number >= head.nextAttachment) throw new CheckpointError(`attachment ${number} has a number to come`);
  }
  const attached = new Set(attachments.map(({ segmentId }) => segmentId));
  const lost = segments.find(({ id, mode }) => (mode & SHM_DEST) !== 0 && !attached.has(id));
  if (lost) throw new CheckpointError(`segment ${lost.id} is marked for removal and attached by nobody`);
}
