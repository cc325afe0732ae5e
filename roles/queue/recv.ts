/** `dsm queue recv`: one message. */
import { TimeoutError } from "../../lib/base/errors.ts";
import { command } from "../../lib/cli/command.ts";
import { print, say } from "../../lib/cli/output.ts";
import { EXIT_NOTHING_CAME } from "../../lib/cli/run.ts";
import { openQueues } from "../ipc/open_queues.ts";
import { KEY, openQueue, WHICH } from "./options.ts";

/** See the head of this file. */
export const recv = command({
  name: "recv",
  about: "receive a message, and print its text",
  details:
    `It is printed, then acknowledged: if this command dies in between, another receiver gets it. Exit status 3 when none came.
With --type 0 any message will do, the oldest first; with N the oldest of type N; with -N the one of the least type up to N.
Bytes that are not UTF-8 are shown as U+FFFD.`,
  examples: [
    ["dsm queue recv 7", "the oldest message, if there is one"],
    ["dsm queue recv 7 --type 2 --wait 5s", "one of type 2, waiting for it"],
    ["dsm queue recv 7 --type=-10 --json", "the most urgent up to 10, with its type"],
  ],
  args: { key: KEY },
  options: {
    type: { kind: "integer", about: "which", default: 0, min: -Number.MAX_SAFE_INTEGER },
    wait: { kind: "time", about: "how long to wait for one", default: 0 },
    ...WHICH,
  },
  async run({ key }, { type, wait, create, host }, shared) {
    await using open = openQueues(host, shared);
    const queue = await openQueue(open.queues, key, create);
    const asked = { type, acknowledge: "later" } as const;
    const received = wait === 0
      ? queue.receive({ ...asked, wait: false })
      : queue.receive({ ...asked, timeoutMs: wait });
    const message = await received.catch((error) => {
      if (error instanceof TimeoutError && error.outcome === "no") return undefined;
      throw error;
    });
    if (!message) {
      if (shared.json) print("[]");
      say(`dsm: no such message in queue ${queue.id}`);
      return EXIT_NOTHING_CAME;
    }
    print(shared.json ? JSON.stringify([{ type: message.type, text: message.text }]) : message.text);
    await message.acknowledge();
    return 0;
  },
});
