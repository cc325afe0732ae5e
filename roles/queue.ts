/** `dsm queue`: messages from and for scripts. */
import { command } from "../lib/cli/command.ts";
import { recv } from "./queue/recv.ts";
import { send } from "./queue/send.ts";

/** See the head of this file. */
export const queue = command({
  name: "queue",
  about: "send a message to a queue, receive one from it",
  details:
    `Queues are the registry's, or with --host this host's kernel's, where C programs meet them with msgsnd and msgrcv. They
are made by dsm ipcmk -Q, shown by dsm ipcs -q, removed by dsm ipcrm -Q.`,
  examples: [
    ["dsm queue send 7 --type 2 'go on' --create", "a message of type 2, to a queue that is made if need be"],
    ["dsm queue recv 7 --type 2 --wait 5s", "take it out again, or wait for it"],
  ],
  subcommands: [send, recv],
});
