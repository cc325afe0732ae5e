/**
 * The table of segments in a file, so that a config server that is killed loses nothing it has said: one transaction per
 * call, stored before the call is answered. What is read is checked by the table (lib/ipc/segments/segment_rows.ts), not
 * here.
 */
import type { RowChanges } from "../../ipc/segments/segment_rows.ts";
import { StateFile } from "../common/state_file.ts";

const HEAD = ["format", "sequence", "lastIndex", "nextAttachment"] as const;
const SEGMENT = [
  ...["id", "key", "size", "base", "rangeSize", "uid", "gid", "cuid", "cgid", "mode"] as const,
  ...["atime", "dtime", "ctime", "cpid", "lpid", "lockerUid", "state"] as const,
];
const ATTACHMENT = ["number", "segmentId", "session", "pid", "access"] as const;
const REGION = ["position", "name", "base", "size", "cookie"] as const;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS head (only INTEGER PRIMARY KEY CHECK (only = 1), ${HEAD.join(", ")});
  CREATE TABLE IF NOT EXISTS segments (${SEGMENT.join(", ")}, PRIMARY KEY (id));
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
    return new SegmentState(StateFile.open(file, SCHEMA, "config server"));
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
      file.put("segments", SEGMENT, changes.segments);
      file.delete("segments", "id", changes.removedSegments);
      file.put("attachments", ATTACHMENT, changes.attachments);
      file.delete("attachments", "number", changes.removedAttachments);
      file.put("regions", REGION, regions);
    });
  }

  /** Closes the file. */
  close(): void {
    this.#file.close();
  }
}
