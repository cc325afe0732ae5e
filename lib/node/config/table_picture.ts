/**
 * The config server's part in a cut: the table of segments as it was when this process moved to an epoch.
 *
 *   - The copy is made before the epoch is raised, so before anything is served, zeroed or committed in it. What every
 *     server had zeroed before its cut is in the copy, and in the images with zeros; what is committed later is in neither.
 *   - Only who was in that life before has made a cut: a process that hears of a life for the first time does not know what
 *     its table was when the epoch began.
 *   - One copy is kept, that of the latest epoch.
 */
import { SystemError } from "../../base/errors.ts";
import type { SegmentTable } from "../../ipc/segments/segment_table.ts";
import type { TableRows } from "../../ipc/segments/segment_rows.ts";
import type { EpochWord } from "../../wire/epoch.ts";

/** See the head of this file. */
export class TablePicture {
  #kept: { readonly epoch: number; readonly rows: TableRows } | undefined;

  /** Copies what `tableNow` gives each time `word`, that of this process, is about to be raised. */
  constructor(word: EpochWord, tableNow: () => Pick<SegmentTable, "toPicture">) {
    word.beforeRaise = (incarnation, epoch) => {
      this.#kept = incarnation === word.incarnation ? { epoch, rows: tableNow().toPicture() } : undefined;
    };
  }

  /** The table at the cut of `epoch`. @throws SystemError ESTALE when there is no copy of that moment. */
  at(epoch: number): TableRows {
    if (this.#kept?.epoch === epoch) return this.#kept.rows;
    throw new SystemError(
      "segmentTable",
      "ESTALE",
      `the config server has no copy of its table at the cut of epoch ${epoch}: it was started after it, or has moved on; ` +
        `the next checkpoint will have one`,
    );
  }
}
