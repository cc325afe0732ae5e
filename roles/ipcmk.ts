/** `dsm ipcmk`: makes a segment in a cluster, or on this host, as util-linux's `ipcmk` does. */
import { SystemError } from "../lib/base/errors.ts";
import { freshSeed } from "../lib/base/random.ts";
import { command } from "../lib/cli/command.ts";
import { print } from "../lib/cli/output.ts";
import { IPC_PRIVATE } from "../lib/ipc/common/flags.ts";
import { HOST, openSegments } from "./ipc/options.ts";
import type { Segments } from "./ipc/segments.ts";

/** Makes a segment under a key that no other has. */
async function makeUnderFreshKey(segments: Segments, size: number, mode: number) {
  for (;;) {
    const key = freshSeed();
    if (key === IPC_PRIVATE) continue;
    try {
      return { key, id: await segments.make(key, size, mode) };
    } catch (error) {
      if (!(error instanceof SystemError && error.code === "EEXIST")) throw error;
    }
  }
}

/** See the head of this file. */
export const ipcmk = command({
  name: "ipcmk",
  about: "make a shared memory segment",
  details:
    `Prints its id. A key that names a segment already is an error, so that nobody takes another's for a new one.`,
  examples: [
    ["dsm ipcmk -M 4KiB", "under a key that nobody has; ipcs -m shows it"],
    ["dsm ipcmk -M 64MiB --key 1238 -p 0600", "under this key, for its owner only"],
    ["dsm ipcmk -M 4KiB --key 0", "IPC_PRIVATE: found by its id only"],
  ],
  options: {
    shmem: { kind: "size", short: "M", about: "bytes of the segment" },
    mode: { kind: "mode", short: "p", about: "permissions", default: 0o644 },
    key: { kind: "key", about: "its key; unless given, one that nobody has", optional: true },
    ...HOST,
  },
  async run(_args, { shmem: size, mode, key, host }, shared) {
    await using segments = await openSegments(host, shared);
    const made = key === undefined
      ? await makeUnderFreshKey(segments, size, mode)
      : { key, id: await segments.make(key, size, mode) };
    print(shared.json ? JSON.stringify([{ ...made, size }]) : `Shared memory id: ${made.id}`);
    return 0;
  },
});
