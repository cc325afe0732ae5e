/** `dsm checkpoint list`: which checkpoints there are. */
import { approximateSize } from "../../lib/base/units.ts";
import { spaceSize } from "../../lib/checkpoint/manifest.ts";
import { isComplete, listCheckpoints } from "../../lib/checkpoint/store.ts";
import type { Listed } from "../../lib/checkpoint/store.ts";
import { command } from "../../lib/cli/command.ts";
import { say } from "../../lib/cli/output.ts";
import { printRows } from "../../lib/cli/table.ts";
import { DIRECTORY } from "./options.ts";

/** One directory, flat; what a damaged one does not tell is null. */
function rowOf(listed: Listed) {
  const manifest = isComplete(listed) ? listed.manifest : undefined;
  return {
    name: listed.name,
    state: manifest ? "complete" : "damaged",
    incarnation: manifest?.incarnation ?? null,
    epoch: manifest?.epoch ?? null,
    time: manifest ? new Date(manifest.timeMs).toISOString() : null,
    servers: manifest?.servers.length ?? null,
    segments: manifest?.table.segments.length ?? null,
    size: manifest ? spaceSize(manifest) : null,
    changedSize: manifest?.servers.reduce((sum, { changedSize }) => sum + changedSize, 0) ?? null,
    reason: isComplete(listed) ? "" : listed.reason,
  };
}

const sizeOrUnknown = (size: number | null): string => size === null ? "-" : approximateSize(size);

/** See the head of this file. */
export const list = command({
  name: "list",
  about: "which checkpoints there are, newest first",
  details:
    "A directory whose manifest is missing or damaged is listed as damaged. Images are not looked at: see verify.",
  examples: [
    ["dsm checkpoint list", "those in ./checkpoints"],
    ["dsm checkpoint list --dir /backup --json", "for programs"],
  ],
  options: DIRECTORY,
  async run(_args, { dir }, { json }) {
    const rows = (await listCheckpoints(dir)).map(rowOf);
    if (rows.length === 0) say(`there is no checkpoint in ${dir}; name another directory with --dir`);
    if (rows.length === 0 && !json) return 0;
    printRows(rows, [
      { key: "name" },
      { key: "epoch" },
      { key: "time" },
      { key: "servers" },
      { key: "segments" },
      { key: "size", show: ({ size }) => sizeOrUnknown(size) },
      { key: "changedSize", show: ({ changedSize }) => sizeOrUnknown(changedSize) },
      { key: "state", show: ({ state, reason }) => reason ? `${state}: ${reason}` : state },
    ], { json });
    return 0;
  },
});
