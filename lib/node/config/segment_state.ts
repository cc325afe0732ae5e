/**
 * The table of segments in a file, so that a config server that is killed loses nothing it has said.
 *
 *   - One transaction per call, stored before the call is answered. The write-ahead log is not forced to the disk each
 *     time: what the kernel has, it keeps when this process dies; when the host dies the latest calls may be forgotten.
 *   - A table that takes the place of another does so in one transaction: the file has the old one or the new one.
 *   - One config server per file: a second one is refused.
 *   - Only its owner may read it: the directory has mode 0700, the file 0600.
 *   - What is read is checked by the table (lib/ipc/segments/segment_rows.ts), not here.
 */
import { DatabaseSync } from "node:sqlite";
import type { SQLInputValue } from "node:sqlite";
import { dirname } from "node:path";
import { SystemError } from "../../base/errors.ts";
import { fromRows, requirePictureRows, restoredRows, SEGMENT_COLUMNS } from "../../ipc/segments/segment_rows.ts";
import type { RowChanges, TableRows } from "../../ipc/segments/segment_rows.ts";

/** The file name for a table that ends with its process. */
export const IN_MEMORY = ":memory:";

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
  readonly #file: string;
  readonly #database: DatabaseSync;

  private constructor(file: string, database: DatabaseSync) {
    this.#file = file;
    this.#database = database;
  }

  /** Opens `file`, or makes it. @throws SystemError EBUSY: another one has it; EIO: it cannot be used, and why. */
  static open(file: string): SegmentState {
    let database: DatabaseSync | undefined;
    try {
      if (file !== IN_MEMORY) makePrivate(file);
      database = new DatabaseSync(file);
      database.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
      database.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT`);
      return new SegmentState(file, database);
    } catch (error) {
      database?.close();
      throw unusable(file, error as Error);
    }
  }

  /** The rows of the table as they were stored, not checked; undefined when there are none yet. */
  readTable(): unknown {
    const all = (table: string): unknown[] => this.#database.prepare(`SELECT * FROM ${table}`).all();
    const [head] = all("head");
    if (head === undefined) return undefined;
    return { ...head as object, segments: all("segments"), attachments: all("attachments") };
  }

  /** The regions as they were stored. */
  readRegions(): RegionRow[] {
    return this.#database.prepare("SELECT * FROM regions").all() as unknown as RegionRow[];
  }

  /** Stores what a call has changed, and the regions that are others now. */
  store(changes: RowChanges, regions: readonly RegionRow[] = []): void {
    this.#database.exec("BEGIN IMMEDIATE");
    this.#put("head", ["only", ...HEAD], [{ only: 1, ...changes.head }]);
    this.#put("segments", SEGMENT_COLUMNS, changes.segments);
    this.#delete("segments", "id", changes.removedSegments);
    this.#put("attachments", ATTACHMENT, changes.attachments);
    this.#delete("attachments", "number", changes.removedAttachments);
    this.#put("regions", REGION, regions);
    this.#database.exec("COMMIT");
  }

  /** Puts `rows` in place of the table that is stored. @throws SystemError ENOSPC, EIO: it is as it was. */
  replace(rows: TableRows): void {
    this.#changeAll("", rows);
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
        `the state in ${this.#file} has a table of ${present.segments.length} segments, which may be newer than any ` +
          `checkpoint: start without --restore to go on with it, or name another file with --state`,
      );
    }
    const rows = requirePictureRows(picture);
    this.#changeAll("DELETE FROM regions", present ? restoredRows(present.head, rows) : rows);
  }

  #changeAll(first: string, rows: TableRows): void {
    try {
      this.#database.exec(`BEGIN IMMEDIATE; DELETE FROM segments; DELETE FROM attachments; ${first}`);
      this.#put("head", ["only", ...HEAD], [{ only: 1, ...rows }]);
      this.#put("segments", SEGMENT_COLUMNS, rows.segments);
      this.#put("attachments", ATTACHMENT, rows.attachments);
      this.#database.exec("COMMIT");
    } catch (error) {
      // some errors have ended the transaction already
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw notStored(this.#file, error as Error);
    }
  }

  #put<Column extends string>(
    table: string,
    columns: readonly Column[],
    rows: readonly Readonly<Record<Column, SQLInputValue>>[],
  ): void {
    if (rows.length === 0) return;
    const places = columns.map(() => "?").join(", ");
    const insert = this.#database.prepare(`INSERT OR REPLACE INTO ${table} (${columns.join(", ")}) VALUES (${places})`);
    for (const row of rows) insert.run(...columns.map((column) => row[column]));
  }

  #delete(table: string, column: string, keys: readonly number[]): void {
    if (keys.length === 0) return;
    const remove = this.#database.prepare(`DELETE FROM ${table} WHERE ${column} = ?`);
    for (const key of keys) remove.run(key);
  }

  /** Closes the file. */
  close(): void {
    this.#database.close();
  }
}

/** Makes `file` and its directory readable for their owner only, before anything is in them. */
function makePrivate(file: string): void {
  Deno.mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  Deno.openSync(file, { create: true, write: true, mode: 0o600 }).close();
  Deno.chmodSync(file, 0o600);
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

function unusable(file: string, error: Error): SystemError {
  const isBusy = /database is locked/.test(error.message);
  const next = isBusy
    ? "another server has it; name another one with --state"
    : `${error.message}; name another one with --state, or begin anew without it`;
  const code = isBusy ? "EBUSY" : "EIO";
  return new SystemError("open", code, `cannot use the state in ${file}: ${code}; ${next}`, error);
}
