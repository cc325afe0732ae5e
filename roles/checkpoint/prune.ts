/** `dsm checkpoint prune`: remove old checkpoints. */
import { pruneCheckpoints } from "../../lib/checkpoint/store.ts";
import { command } from "../../lib/cli/command.ts";
import { say } from "../../lib/cli/output.ts";
import { printRows } from "../../lib/cli/table.ts";
import { DIRECTORY } from "./options.ts";

/** See the head of this file. */
export const prune = command({
  name: "prune",
  about: "remove all but the newest checkpoints, and print which",
  details:
    `The newest complete one always stays. What the ones that stay share with those that go is not lost. Damaged ones are
neither counted nor removed.`,
  examples: [["dsm checkpoint prune --keep 10", "keep the newest ten"]],
  options: { ...DIRECTORY, keep: { kind: "integer", about: "how many complete checkpoints to keep", min: 1 } },
  async run(_args, { dir, keep }, { json }) {
    const removed = await pruneCheckpoints(dir, keep);
    const rows = removed.map(({ name, manifest: { epoch, timeMs } }) => {
      return { name, epoch, time: new Date(timeMs).toISOString() };
    });
    if (rows.length > 0 || json) printRows(rows, [{ key: "name" }, { key: "epoch" }, { key: "time" }], { json });
    else say(`nothing to remove: ${dir} has no more than ${keep}`);
    return 0;
  },
});
