/** `dsm queue send`: one message. */
import { TimeoutError } from "../../lib/base/errors.ts";
import { command } from "../../lib/cli/command.ts";
import { print, say } from "../../lib/cli/output.ts";
import { EXIT_NOTHING_CAME } from "../../lib/cli/run.ts";
import { openQueues } from "../ipc/open_queues.ts";
import { KEY, openQueue, WHICH } from "./options.ts";

/** See the head of this file. */
export const send = command({
  name: "send",
  about: "send a message",
  details:
    `It is in the registry's state when this command ends. A full queue is waited for, for ever or with --wait for so long: then
nothing was sent, and the exit status is 3.`,
  examples: [
    ["dsm queue send 7 hello", "a message of type 1"],
    ["dsm queue send 0x4d6 --type 2 'go on'", "of type 2"],
    ["dsm queue send 7 hello --wait 0s", "only if there is room"],
  ],
  args: { key: KEY, text: { kind: "string", about: "the message, sent as UTF-8" } },
  options: {
    type: { kind: "integer", about: "its type", default: 1, min: 1 },
    wait: { kind: "time", about: "how long to wait for room [default: for ever]", optional: true },
    ...WHICH,
  },
  async run({ key, text }, { type, wait, create, host }, shared) {
    await using open = openQueues(host, shared);
    const queue = await openQueue(open.queues, key, create);
    const waiting = wait === undefined || wait === 0 ? {} : { timeoutMs: wait };
    const isSent = await queue.send(type, text, { wait: wait !== 0, ...waiting }).catch((error) => {
      if (error instanceof TimeoutError && error.outcome === "no") return false;
      throw error;
    });
    if (isSent) {
      if (shared.json) print(JSON.stringify([{ id: queue.id, type, size: new TextEncoder().encode(text).length }]));
      return 0;
    }
    say(`dsm: queue ${queue.id} had no room in time; receive from it, or wait longer`);
    return EXIT_NOTHING_CAME;
  },
});
