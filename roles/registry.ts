/** `dsm registry`: the registry, and what one asks of it. */
import { command } from "../lib/cli/command.ts";
import { readiness, untilStopped } from "../lib/cli/daemon.ts";
import { LISTENER } from "../lib/cli/listener.ts";
import { startLog } from "../lib/cli/logging.ts";
import { say } from "../lib/cli/output.ts";
import { readCredentials } from "../lib/node/common/credentials.ts";
import { listeningFrom } from "../lib/node/common/listening.ts";
import { RegistryServer } from "../lib/node/registry/registry_server.ts";
import { STALL_MS_MAX } from "../lib/net/transport.ts";
import { bind } from "./registry/bind.ts";
import { list } from "./registry/list.ts";
import { part } from "./registry/part.ts";
import { query } from "./registry/query.ts";
import { run } from "./registry/run.ts";
import { unbind } from "./registry/unbind.ts";
import { watch } from "./registry/watch.ts";

const EXIT_LOST = 1;

/** See the head of this file. */
export const registry = command({
  name: "registry",
  about: "keep names and message queues, so that programs find one another",
  details:
    `Without a subcommand it is the registry itself. A name or a number is bound to a host:port or to a queue:KEY, for good or
as a lease that ends with the program that took it; every change has a revision.

What was bound, sent or taken is in --state before anybody is told so, by default registry-PORT.sqlite in
$XDG_STATE_HOME/dsm or ~/.local/state/dsm: a registry that is killed (kill -9) loses nothing it has said, and one that is
started again in its place within 10 s finds its clients again. When the host loses its power, the latest moments may be
forgotten. With --port 0 and without --state all ends with the process.`,
  examples: [
    ["dsm registry", "on port 9750"],
    ["dsm registry 9850 --state ./names.sqlite", "another one"],
    ["dsm registry bind printer 10.0.0.7:9100", "a name for an endpoint"],
    ["dsm registry query printer --wait 5s", "where it is, as soon as it is there"],
    ["dsm registry watch", "every change, as it happens"],
  ],
  args: { port: { kind: "port", about: "where to listen; 0: the kernel chooses", default: 9750 } },
  options: {
    host: { kind: "string", about: "the address to listen on", default: "127.0.0.1" },
    state: { kind: "string", about: "the file for names and queues [default: see above]", optional: true },
    transport: {
      kind: "string",
      about: "how connections are served",
      choices: ["auto", "epoll", "deno"],
      default: "auto",
    },
    stall: {
      kind: "time",
      about: "close a client that does not take its replies for that long",
      default: STALL_MS_MAX,
    },
    ...LISTENER,
  },
  subcommands: [bind, query, list, watch, unbind, run, part],
  async run({ port }, options, shared) {
    const listening = listeningFrom(options, readCredentials(shared));
    const { host, state, transport, stall } = options;
    const log = startLog("registry", shared);
    const lost = new AbortController();
    // listening for signals comes first: whoever has read the readiness line may stop us at once
    const stopped = untilStopped({ signal: lost.signal });
    const server = await RegistryServer.start({ host, port, state, transport, stallMsMax: stall, ...listening }, log);
    readiness("registry", { host: server.host, port: server.port }, {
      names: server.kept.nameCount,
      queues: server.kept.queueCount,
      transport: server.transport,
    });
    server.lost.then((reason) => lost.abort(reason));
    const reason = await stopped;
    await server.stop();
    if (lost.signal.aborted) {
      say(`dsm: registry ${server.host}:${server.port} stopped serving: ${reason}; start it again`);
      return EXIT_LOST;
    }
    log("info", `stopping: ${reason}`);
    return 0;
  },
});
