/** `dsm config`: the config server. */
import { command } from "../lib/cli/command.ts";
import { readiness, untilStopped } from "../lib/cli/daemon.ts";
import { startLog } from "../lib/cli/logging.ts";
import { ConfigServer } from "../lib/node/config/config_server.ts";
import { requireLoopback } from "../lib/node/common/loopback.ts";

/** See the head of this file. */
export const config = command({
  name: "config",
  about: "tell everybody which servers make the space",
  details:
    `The first line of FILE is the number of servers, then one host:port a line; # begins a comment. The file is read again
on SIGHUP: servers may be appended, which grows the space; what would move bytes is refused.`,
  examples: [
    ["dsm config", "the servers of ./config.txt, on port 9740"],
    ["dsm config cluster.txt --port 0", "another file, a port of the kernel's choice"],
    ["kill -HUP PID", "read the file again, after a server was appended"],
  ],
  args: { file: { kind: "string", about: "the servers, in the order of the space", default: "config.txt" } },
  options: {
    port: { kind: "port", about: "where to listen; 0: the kernel chooses", default: 9740 },
    host: { kind: "string", about: "the address to listen on", default: "127.0.0.1" },
    insecure: { kind: "boolean", about: "listen beyond this host although nobody is asked who they are" },
  },
  async run({ file }, options, shared) {
    requireLoopback(options.host, options.insecure);
    const log = startLog("config", shared);
    // listening for signals comes first: whoever has read the readiness line may stop us at once
    const stopped = untilStopped();
    const server = await ConfigServer.start({ file, host: options.host, port: options.port }, log);
    const reload = (): void => void server.reload();
    Deno.addSignalListener("SIGHUP", reload);
    readiness("config", { host: server.host, port: server.port }, { file, servers: server.space.places.length });
    log("info", `stopping: ${await stopped}`);
    Deno.removeSignalListener("SIGHUP", reload);
    await server.stop();
    return 0;
  },
});
