/** `dsm registry query`: what a name is bound to. */
import { command } from "../../lib/cli/command.ts";
import { print, say } from "../../lib/cli/output.ts";
import { EXIT_NOTHING_CAME } from "../../lib/cli/run.ts";
import { nameRow, openRegistry } from "./options.ts";

const EXIT_UNBOUND = 1;

/** See the head of this file. */
export const query = command({
  name: "query",
  about: "print what a name is bound to",
  details: "Exit status 1 when it is not bound; with --wait, 3 when it was not bound in time.",
  examples: [
    ["dsm registry query printer", "its endpoint"],
    ["dsm registry query printer --wait 5s", "as soon as it is there"],
    ["dsm registry query printer --json", "also since when, and by whom"],
  ],
  args: { name: { kind: "string", about: "the name" } },
  options: { wait: { kind: "time", about: "how long to wait until it is bound", optional: true } },
  async run({ name }, { wait }, shared) {
    await using registry = openRegistry(shared);
    const bound = await registry.query(name, { waitMs: wait ?? 0 });
    if (bound) {
      print(shared.json ? JSON.stringify([nameRow(bound)]) : bound.value);
      return 0;
    }
    if (shared.json) print("[]");
    say(`dsm: ${name} is not bound; dsm registry list shows what is`);
    return wait === undefined ? EXIT_UNBOUND : EXIT_NOTHING_CAME;
  },
});
