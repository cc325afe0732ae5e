/** Every role of dsm, in the order of the help, and the names of older programs that are roles too. */
import config from "../deno.json" with { type: "json" };
import type { Program } from "../lib/cli/command.ts";
import { blocks } from "./blocks.ts";
import { checkpoint } from "./checkpoint.ts";
import { client } from "./client.ts";
import { completionsOf } from "./completions.ts";
import { config as configRole } from "./config.ts";
import { down } from "./down.ts";
import { ipcmk } from "./ipcmk.ts";
import { ipcrm } from "./ipcrm.ts";
import { ipcs } from "./ipcs.ts";
import { logger } from "./logger.ts";
import { queue } from "./queue.ts";
import { registry } from "./registry.ts";
import { secret } from "./secret.ts";
import { server } from "./server.ts";
import { status } from "./status.ts";
import { up } from "./up.ts";

/** dsm and all its commands. */
export const PROGRAM: Program = {
  name: "dsm",
  version: config.version,
  about: "System V shared memory, semaphores and message queues across machines",
  examples: [
    ["dsm up --local 3", "a cluster of three memory servers on this machine; Ctrl-C stops it"],
    ["dsm client write 0 hello", "write five bytes at address 0"],
    ["dsm client read 0 5", "read them back"],
  ],
  commands: [
    up,
    down,
    status,
    blocks,
    client,
    configRole,
    server,
    logger,
    registry,
    queue,
    secret,
    checkpoint,
    ipcs,
    ipcmk,
    ipcrm,
    completionsOf(() => PROGRAM),
  ],
};

/** Under each name of an ancestor: its command line as one of ours. */
const ANCESTORS: ReadonlyMap<string, (argv: readonly string[]) => string[]> = new Map([
  ["config", (argv) => ["config", ...argv]],
  ["server", (argv) => ["server", ...argv]],
  ["logger", (argv) => ["logger", ...argv]],
  ["client", (argv) => ["client", ...argv]],
  ["registry", (argv) => ["registry", ...argv]],
  ["dsmexec", (argv) => ["exec", ...argv]],
  ["distributed_shm_server", (argv) => ["server", "--standalone", ...argv]],
]);

/** The names of older programs under which dsm takes a role. */
export const ANCESTOR_NAMES: readonly string[] = [...ANCESTORS.keys()];

/** `argv` as dsm's own, for a program that was started under `name`; undefined when it runs from source. */
export function argvUnder(name: string | undefined, argv: readonly string[]): readonly string[] {
  return ANCESTORS.get(name ?? "")?.(argv) ?? argv;
}
