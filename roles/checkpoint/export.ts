/** `dsm checkpoint export`: the space of a checkpoint as one file. */
import { exportTo, exportToFile } from "../../lib/checkpoint/export.ts";
import { findCheckpoint } from "../../lib/checkpoint/store.ts";
import { command } from "../../lib/cli/command.ts";
import { printBytes } from "../../lib/cli/output.ts";
import { Bar, DIRECTORY, NAME } from "./options.ts";

/** See the head of this file. */
export const exportSpace = command({
  name: "export",
  about: "write the whole space of a checkpoint to a file, or to standard output",
  details:
    `The bytes alone, all servers one after the other; or with --text the first ancestor's form, "address: byte" and a line
feed for each byte. The images are taken as they are: see verify.`,
  examples: [
    ["dsm checkpoint export latest space.bin", "one sparse file, whole or not at all"],
    ["dsm checkpoint export latest | sha256sum", "through a pipe"],
    ["dsm checkpoint export latest --text", "a line per byte"],
  ],
  args: {
    name: NAME,
    file: { kind: "string", about: "made or replaced; none: standard output", optional: true },
  },
  options: { ...DIRECTORY, text: { kind: "boolean", about: "a line per byte, as the first ancestor wrote it" } },
  async run({ name, file }, { dir, text }) {
    const checkpoint = await findCheckpoint(dir, name);
    const form = text ? "text" : "raw";
    using bar = new Bar(`export ${checkpoint.name}`);
    if (file === undefined) await exportTo(checkpoint, form, printBytes, bar);
    else await exportToFile(checkpoint, form, file, bar);
    return 0;
  },
});
