/** `dsm checkpoint show`: what a checkpoint says of itself. */
import { approximateSize, formatSize } from "../../lib/base/units.ts";
import { spaceSize } from "../../lib/checkpoint/manifest.ts";
import { findCheckpoint } from "../../lib/checkpoint/store.ts";
import type { Checkpoint } from "../../lib/checkpoint/store.ts";
import { command } from "../../lib/cli/command.ts";
import { print } from "../../lib/cli/output.ts";
import { printRows } from "../../lib/cli/table.ts";
import { DIRECTORY, NAME_OR_LATEST } from "./options.ts";

/** One row per server, each with what is said of the checkpoint as a whole. */
function rowsOf({ name, manifest }: Checkpoint) {
  const { incarnation, epoch, timeMs, software, previous } = manifest;
  return manifest.servers.map((server) => ({
    name,
    incarnation,
    epoch,
    time: new Date(timeMs).toISOString(),
    software,
    previous: previous?.name ?? null,
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
begun from it. Each checkpoint is complete by itself all the same.`,
  examples: [
    ["dsm checkpoint show", "the newest one"],
    ["dsm checkpoint show 2026-11-21T09-08-07Z-12", "that one"],
  ],
  args: { name: NAME_OR_LATEST },
  options: DIRECTORY,
  async run({ name }, { dir }, { json }) {
    const checkpoint = await findCheckpoint(dir, name);
    const rows = rowsOf(checkpoint);
    if (!json) {
      const { manifest, path } = checkpoint;
      print(`${path}: epoch ${manifest.epoch}, taken ${rows[0]?.time} by ${manifest.software}`);
      print(`${formatSize(spaceSize(manifest))} of ${rows.length} servers, built on ${rows[0]?.previous ?? "nothing"}`);
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
