/** `dsm registry run`: the exercise, as it was set: a registry, servers and clients that find one another through it. */
import { UsageError } from "../../lib/base/errors.ts";
import { command } from "../../lib/cli/command.ts";
import { selfCommand } from "../../lib/cli/executable.ts";
import { untilStopped } from "../../lib/cli/daemon.ts";
import { print, say } from "../../lib/cli/output.ts";
import { styleFor } from "../../lib/cli/style.ts";
import type { Look } from "../../lib/cli/style.ts";
import { CARRIERS, openCarrier } from "../exercise/carrier.ts";
import { Exercise } from "../exercise/exercise.ts";
import type { Command } from "../exercise/exercise.ts";

/** More processes than that are no exercise any more. */
const COUNT_MAX = 100;
/** The tags of the parts, in columns of that width. */
const TAG_WIDTH = 11;
const LOOKS: Readonly<Record<string, Look>> = { registry: "yellow", server: "green", client: "cyan" };

/** See the head of this file. */
export const run = command({
  name: "run",
  about: "run the registry exercise: servers that bind, clients that query, selective receive",
  details:
    `The registry makes two mailboxes. Every server makes a queue of its own and binds it under its number; every client picks
a server at random, asks the registry for its queue, and receives the answer by the server's number as the message's
type. Then it sends its messages, each with an integer from 0 to 10, which the server keeps as its resource. When all
clients have ended, the registry is told to exit, and tells the servers.

Messages are those of C: BIND 1 and QUERY 2 with {int id_server; int id_queue}, SERVICE 3 with {int value}, EXIT 4. A
program of yours can be the servers or the clients. It is started with the words
  server NUMBER REQUESTS RESULTS
  client NUMBER REQUESTS RESULTS SERVERS MESSAGES INTERVAL_MS
where REQUESTS and RESULTS are the ids of the registry's mailboxes. No queue is left behind, however it ends.`,
  examples: [
    ["dsm registry run", "2 servers, 3 clients, 3 messages each, one a second, over the kernel's queues"],
    ["dsm registry run --over tcp --interval 100ms", "the same over the network, and faster"],
    ["dsm registry run --server-program ./my_server", "with servers of your own"],
  ],
  options: {
    servers: { kind: "integer", about: "how many servers", default: 2, min: 1, max: COUNT_MAX },
    clients: { kind: "integer", about: "how many clients", default: 3, min: 1, max: COUNT_MAX },
    messages: { kind: "integer", about: "how many messages each client sends", default: 3 },
    interval: { kind: "time", about: "the time between two of them", default: 1000 },
    over: { kind: "string", about: "what carries the messages", choices: CARRIERS, default: "kernel" },
    serverProgram: { kind: "string", about: "a program to be each server, on the kernel's queues", optional: true },
    clientProgram: { kind: "string", about: "a program to be each client, on the kernel's queues", optional: true },
  },
  async run(_, options, { json }) {
    const { over, serverProgram, clientProgram } = options;
    if (over === "tcp" && (serverProgram ?? clientProgram) !== undefined) {
      throw new UsageError("--server-program and --client-program are for the kernel's queues: --over kernel");
    }
    const style = styleFor(Deno.stdout);
    const tell = (name: string, line: string): void => {
      const look = LOOKS[name.split(" ", 1)[0] ?? ""] ?? "dim";
      if (json) say(`${name}: ${line}`);
      else print(`${style[look](name.padEnd(TAG_WIDTH))} ${line}`);
    };
    const stopping = new AbortController();
    const finished = new AbortController();
    const stopped = untilStopped({ signal: finished.signal }).then((reason) => stopping.abort(reason));
    const self = selfCommand();
    const own: Command = { command: self.command, args: [...self.args, "registry", "part", "--over", over] };
    const programOf = (file: string | undefined): Command => file === undefined ? own : { command: file, args: [] };
    const exercise = new Exercise({
      servers: options.servers,
      clients: options.clients,
      messages: options.messages,
      intervalMs: options.interval,
      registry: own,
      server: programOf(serverProgram),
      client: programOf(clientProgram),
      openCarrier,
      onLine: tell,
    });
    const { resources, failures } = await exercise.run(stopping.signal);
    finished.abort();
    await stopped;
    if (json) print(JSON.stringify(resources.map((resource, i) => ({ server: i + 1, resource: resource ?? null }))));
    else resources.forEach((resource, i) => print(`server ${i + 1} ended with resource ${resource ?? "unknown"}`));
    failures.forEach((failure) => say(`dsm: ${failure}`));
    return failures.length === 0 && !resources.includes(undefined) ? 0 : 1;
  },
});
