/**
 * The table of segments in a file, so that a config server that is killed loses nothing it has said.
 *
 *   - One transaction per call, stored before the call is answered. The write-ahead log is not forced to the disk each
 *     time: what the kernel has, it keeps when this process dies; when the host dies the latest calls may be forgotten.
 *   - A table that takes the place of another does so in one transaction: the file has the old one or the new one.
 *   - What is read is checked by the table (lib/ipc/segments/segment_rows.ts), not here.
 */
import { SystemError } from "../../base/errors.ts";
import { fromRows, requirePictureRows, restoredRows, SEGMENT_COLUMNS } from "../../ipc/segments/segment_rows.ts";
import type { RowChanges, TableRows } from "../../ipc/segments/segment_rows.ts";
import { StateFile } from "../common/state_file.ts";

const HEAD = ["format", "sequence", "lastIndex", "nextAttachment"] as const;
const ATTACHMENT = ["number", "segmentId", "session", "pid", "access"] as const;
const REGION = ["position", "name", "base", "size", "cookie"] as const;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS head (only INTEGER PRIMARY KEY CHECK (only = 1), ${HEAD.join(", ")});
  CREATE TABLE IF NOT EXISTS segments (${SEGMENT_COLUMNS.join(", ")}, PRIMARY KEY (id));
  CREATE TABLE IF NOT EXISTS attachments (${ATTACHMENT.join(", ")}, PRIMARY KEY (number));
  CREATE TABLE IF NOT EXISTS regions (${REGION.join(", ")}, PRIMARY KEY (position));
`;

/** A region that the segments lie on. */
export interface RegionRow {
  /** Its index in the space. */
  readonly position: number;
  /** `host:port` of its server, for people. */
  readonly name: string;
  /** Address of its first byte. */
  readonly base: number;
  /** Bytes. */
  readonly size: number;
  /** What tells its memory from any other. */
  readonly cookie: string;
}

/** See the head of this file. */
export class SegmentState {
  readonly #file: StateFile;

  private constructor(file: StateFile) {
    this.#file = file;
  }

  /** Opens `file`, or makes it. @throws SystemError as {@linkcode StateFile.open}. */
  static open(file: string): SegmentState {
    return new SegmentState(StateFile.open(file, SCHEMA));
  }

  /** The rows of the table as they were stored, not checked; undefined when there are none yet. */
  readTable(): unknown {
    const [head] = this.#file.rows("head");
    if (head === undefined) return undefined;
    return { ...head as object, segments: this.#file.rows("segments"), attachments: this.#file.rows("attachments") };
  }

  /** The regions as they were stored. */
  readRegions(): RegionRow[] {
    return this.#file.rows("regions") as RegionRow[];
  }

  /** Stores what a call has changed, and the regions that are others now. */
  store(changes: RowChanges, regions: readonly RegionRow[] = []): void {
    const file = this.#file;
    file.store(() => {
      file.put("head", ["only", ...HEAD], [{ only: 1, ...changes.head }]);
      file.put("segments", SEGMENT_COLUMNS, changes.segments);
      file.delete("segments", "id", changes.removedSegments);
      file.put("attachments", ATTACHMENT, changes.attachments);
      file.delete("attachments", "number", changes.removedAttachments);
      file.put("regions", REGION, regions);
    });
  }

  /** Puts `rows` in place of the table that is stored. @throws SystemError ENOSPC, EIO: it is as it was. */
  replace(rows: TableRows): void {
    this.#changeAll(["segments", "attachments"], rows);
  }

  /**
   * Begins with the table of a checkpoint; the regions it lies on are those that come.
   *
   * @throws SystemError EEXIST: there is a table already, which may be newer than any checkpoint; as `replace`.
   */
  begin(picture: TableRows): void {
    const stored = this.readTable();
    const present = stored === undefined ? undefined : fromRows(stored);
    if (present && present.segments.length > 0) {
      throw new SystemError(
        "restore",
        "EEXIST",
        `the state in ${this.#file.name} has a table of ${present.segments.length} segments, which may be newer than any ` +
          `checkpoint: start without --restore to go on with it, or name another file with --state`,
      );
    }
    const rows = requirePictureRows(picture);
    this.#changeAll(["segments", "attachments", "regions"], present ? restoredRows(present.head, rows) : rows);
  }

  #changeAll(cleared: readonly string[], rows: TableRows): void {
    const file = this.#file;
    try {
      file.store(() => {
        for (const table of cleared) file.clear(table);
        file.put("head", ["only", ...HEAD], [{ only: 1, ...rows }]);
        file.put("segments", SEGMENT_COLUMNS, rows.segments);
        file.put("attachments", ATTACHMENT, rows.attachments);
      });
    } catch (error) {
      throw notStored(file.name, error as Error);
    }
  }

  /** Closes the file. */
  close(): void {
    this.#file.close();
  }
}

function notStored(file: string, error: Error): SystemError {
  // SQLite's own number for it does not come with every error
  const code = /disk is full/.test(error.message) ? "ENOSPC" : "EIO";
  const next = code === "ENOSPC" ? "make room on its disk, and restore again" : `${error.message}; look at its disk`;
  return new SystemError(
    "restore",
    code,
    `cannot store the table in ${file}, it is as it was: ${code}; ${next}`,
    error,
  );
}
