/** `dsm checkpoint verify`: whether a checkpoint is as it was written. */
import { checkpointsFrom } from "../../lib/checkpoint/store.ts";
import { verify as findDamage } from "../../lib/checkpoint/verify.ts";
import { command } from "../../lib/cli/command.ts";
import { say } from "../../lib/cli/output.ts";
import { printRows } from "../../lib/cli/table.ts";
import { Bar, DIRECTORY, NAME_OR_LATEST } from "./options.ts";

/** See the head of this file. */
export const verify = command({
  name: "verify",
  about: "look at every byte of a checkpoint; exit status 1 when one is not as it was written",
  details: "Prints a line for each damaged range: the server, the file, and the bytes of it.",
  examples: [
    ["dsm checkpoint verify", "the newest one"],
    ["dsm checkpoint verify 2026-11-21T09-08-07Z-12 --json", "that one; [] when it is sound"],
  ],
  args: { name: NAME_OR_LATEST },
  options: DIRECTORY,
  async run({ name }, { dir }, { json }) {
    const [checkpoint] = await checkpointsFrom(dir, name);
    using bar = new Bar(`verify ${checkpoint.name}`);
    const findings = await findDamage(checkpoint.path, bar);
    bar[Symbol.dispose]();
    if (findings.length > 0 || json) {
      printRows(findings.map((finding) => ({ ...finding })), [
        { key: "server", show: ({ server }) => server || "-" },
        { key: "file" },
        { key: "start" },
        { key: "end" },
        { key: "what" },
      ], { json });
    }
    say(`the checkpoint ${checkpoint.name} is ${findings.length > 0 ? "damaged" : "sound"}`);
    return findings.length > 0 ? 1 : 0;
  },
});
