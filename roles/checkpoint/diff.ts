/** `dsm checkpoint diff`: where two checkpoints differ, in their bytes or in their segments. */
import { changedRanges } from "../../lib/checkpoint/diff.ts";
import { findCheckpoint } from "../../lib/checkpoint/store.ts";
import { command } from "../../lib/cli/command.ts";
import { say } from "../../lib/cli/output.ts";
import { printRows } from "../../lib/cli/table.ts";
import { Bar, DIRECTORY, NAME, SEGMENTS } from "./options.ts";
import { changedSegments, SEGMENT_COLUMNS } from "./segments.ts";

/** See the head of this file. */
export const diff = command({
  name: "diff",
  about: "the ranges of the space in which two checkpoints differ",
  details:
    `Addresses, whatever servers the bytes were on; where only one of the two has bytes, the other has zeros. Blocks of
4 KiB that follow each other are one range. Exit status 0, whether they differ or not.

With --segments: the segments that only one of them has, or that have changed in more than their times and processes.`,
  examples: [
    ["dsm checkpoint diff 2026-11-21T09-08-07Z-12 latest", "what has changed since"],
    ["dsm checkpoint diff 2026-11-21T09-08-07Z-12 latest --json", "for programs"],
    ["dsm checkpoint diff 2026-11-21T09-08-07Z-12 latest --segments", "which segments have come, gone or changed"],
  ],
  args: { before: NAME, after: NAME },
  options: { ...DIRECTORY, ...SEGMENTS },
  async run({ before, after }, { dir, segments }, { json }) {
    const [a, b] = [await findCheckpoint(dir, before), await findCheckpoint(dir, after)];
    if (segments) {
      const rows = changedSegments(a.manifest.table, b.manifest.table);
      if (rows.length > 0 || json) printRows(rows, [{ key: "change" }, ...SEGMENT_COLUMNS], { json });
      else say(`${a.name} and ${b.name} have the same segments`);
      return 0;
    }
    using bar = new Bar("diff");
    const ranges = await Array.fromAsync(changedRanges(a, b, bar));
    bar[Symbol.dispose]();
    const rows = ranges.map(({ start, end }) => ({ start, end, size: end - start }));
    if (rows.length > 0 || json) printRows(rows, [{ key: "start" }, { key: "end" }, { key: "size" }], { json });
    else say(`${a.name} and ${b.name} have the same bytes`);
    return 0;
  },
});
