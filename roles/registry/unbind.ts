/** `dsm registry unbind`: the end of a name. */
import { command } from "../../lib/cli/command.ts";
import { print } from "../../lib/cli/output.ts";
import { openRegistry } from "./options.ts";

/** See the head of this file. */
export const unbind = command({
  name: "unbind",
  about: "unbind a name, and print the revision of the change",
  examples: [["dsm registry unbind printer", "it is bound to nothing any more"]],
  args: { name: { kind: "string", about: "the name" } },
  async run({ name }, _options, shared) {
    await using registry = openRegistry(shared);
    const revision = await registry.unbind(name);
    print(shared.json ? JSON.stringify([{ name, revision }]) : `${revision}`);
    return 0;
  },
});
