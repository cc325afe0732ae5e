/** `dsm registry list`: all names. */
import { command } from "../../lib/cli/command.ts";
import { printRows } from "../../lib/cli/table.ts";
import { nameRow, openRegistry } from "./options.ts";

/** See the head of this file. */
export const list = command({
  name: "list",
  about: "list the names and what they are bound to",
  examples: [
    ["dsm registry list", "all of them"],
    ["dsm registry list worker/", "those that begin so"],
    ["dsm registry list --json", "for programs"],
  ],
  args: { prefix: { kind: "string", about: "only names that begin with it", default: "" } },
  async run({ prefix }, _options, shared) {
    await using registry = openRegistry(shared);
    const { names } = await registry.list(prefix);
    printRows(names.map(nameRow), [
      { key: "name" },
      { key: "value" },
      { key: "revision" },
      { key: "leased", show: ({ leased }) => leased ? "yes" : "no" },
      { key: "uid" },
      { key: "time" },
    ], shared);
    return 0;
  },
});
