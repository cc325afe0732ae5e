/** `dsm registry watch`: every change of a name, as it happens. */
import { command } from "../../lib/cli/command.ts";
import { untilStopped } from "../../lib/cli/daemon.ts";
import { print } from "../../lib/cli/output.ts";
import { nameRow, openRegistry } from "./options.ts";

/** See the head of this file. */
export const watch = command({
  name: "watch",
  about: "print every change of a name as it happens, until Ctrl-C",
  details:
    `One line each: revision, bound or unbound, name, value; with --json one array with one object a line. No change is left
out, whatever becomes of the connection. A revision that is too long ago is an error (ESTALE): begin with list.`,
  examples: [
    ["dsm registry watch", "from now on"],
    ["dsm registry watch --since 0", "from the beginning, as long as that is remembered"],
  ],
  options: { since: { kind: "integer", about: "the revision after which to begin", optional: true } },
  async run(_args, { since }, shared) {
    await using registry = openRegistry(shared);
    const over = new AbortController();
    untilStopped({ signal: over.signal }).then(() => over.abort());
    try {
      const from = since === undefined ? {} : { since };
      for await (const { kind, ...bound } of registry.watch({ ...from, signal: over.signal })) {
        const { revision, name, value } = bound;
        const row = { ...nameRow(bound), kind };
        print(shared.json ? JSON.stringify([row]) : `${revision} ${kind} ${name} ${value}`);
      }
    } catch (error) {
      if (!over.signal.aborted) throw error;
    } finally {
      over.abort();
    }
    return 0;
  },
});
