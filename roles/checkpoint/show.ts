/** `dsm checkpoint show`: what a checkpoint says of itself. */
import { approximateSize, formatSize } from "../../lib/base/units.ts";
import { spaceSize } from "../../lib/checkpoint/manifest.ts";
import { findCheckpoint } from "../../lib/checkpoint/store.ts";
import type { Checkpoint } from "../../lib/checkpoint/store.ts";
import { command } from "../../lib/cli/command.ts";
import { print } from "../../lib/cli/output.ts";
import { printRows } from "../../lib/cli/table.ts";
import { DIRECTORY, NAME_OR_LATEST, SEGMENTS } from "./options.ts";
import { SEGMENT_COLUMNS, segmentRow } from "./segments.ts";

/** One row per server, each with what is said of the checkpoint as a whole. */
function rowsOf({ name, manifest }: Checkpoint) {
  const { incarnation, epoch, timeMs, software, previous, table } = manifest;
  return manifest.servers.map((server) => ({
    name,
    incarnation,
    epoch,
    time: new Date(timeMs).toISOString(),
    software,
    previous: previous?.name ?? null,
    segments: table.segments.length,
    server: server.name,
    file: server.file,
    base: server.base,
    size: server.size,
    blockSize: server.blockSize,
    method: server.method,
    changedSize: server.changedSize,
    cookie: server.cookie,
    starts: server.startCount,
  }));
}

/** See the head of this file. */
export const show = command({
  name: "show",
  about: "when a checkpoint was taken, of which servers, and how its images came to be",
  details:
    `Method: full, all of it written; hardlink, nothing changed, the file of the checkpoint before; reflink and copy,
begun from it. Each checkpoint is complete by itself all the same.

With --segments: the segments it has, with their places in the space.`,
  examples: [
    ["dsm checkpoint show", "the newest one"],
    ["dsm checkpoint show 2026-11-21T09-08-07Z-12", "that one"],
    ["dsm checkpoint show latest --segments", "which segments a restore would bring back"],
  ],
  args: { name: NAME_OR_LATEST },
  options: { ...DIRECTORY, ...SEGMENTS },
  async run({ name }, { dir, segments }, { json }) {
    const checkpoint = await findCheckpoint(dir, name);
    if (segments) {
      printRows(checkpoint.manifest.table.segments.map(segmentRow), SEGMENT_COLUMNS, { json });
      return 0;
    }
    const rows = rowsOf(checkpoint);
    if (!json) {
      const { manifest, path } = checkpoint;
      print(`${path}: epoch ${manifest.epoch}, taken ${rows[0]?.time} by ${manifest.software}`);
      const built = `built on ${rows[0]?.previous ?? "nothing"}`;
      const counts = `${rows.length} servers, ${manifest.table.segments.length} segments`;
      print(`${formatSize(spaceSize(manifest))} of ${counts}, ${built}`);
    }
    printRows(rows, [
      { key: "file" },
      { key: "server" },
      { key: "base" },
      { key: "size", show: ({ size }) => formatSize(size) },
      { key: "blockSize", show: ({ blockSize }) => formatSize(blockSize) },
      { key: "method" },
      { key: "changedSize", show: ({ changedSize }) => approximateSize(changedSize) },
      { key: "cookie" },
      { key: "starts" },
    ], { json });
    return 0;
  },
});
