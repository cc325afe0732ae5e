/** `dsm checkpoint`: what the loggers have written, and back into a cluster. */
import { command } from "../lib/cli/command.ts";
import { diff } from "./checkpoint/diff.ts";
import { exportSpace } from "./checkpoint/export.ts";
import { list } from "./checkpoint/list.ts";
import { prune } from "./checkpoint/prune.ts";
import { restore } from "./checkpoint/restore.ts";
import { show } from "./checkpoint/show.ts";
import { take } from "./checkpoint/take.ts";
import { verify } from "./checkpoint/verify.ts";

/** See the head of this file. */
export const checkpoint = command({
  name: "checkpoint",
  about: "take, list, verify, compare, restore and export checkpoints",
  details: "A checkpoint is a directory: docs/CHECKPOINT.md. Loggers write them: dsm logger --help.",
  examples: [
    ["dsm checkpoint take", "one more, now"],
    ["dsm checkpoint list", "which there are in ./checkpoints"],
    ["dsm checkpoint verify latest", "whether the newest one is as it was written"],
    ["dsm checkpoint restore latest", "back into the running cluster"],
  ],
  subcommands: [take, list, show, verify, diff, restore, exportSpace, prune],
});
