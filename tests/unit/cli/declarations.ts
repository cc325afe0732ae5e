/** A small program whose commands use everything the command layer knows, and that reports what it was run with. */
import { command, type Program } from "../../../lib/cli/command.ts";

/** The values that the last command of the program ran with. */
export interface Ran {
  readonly name: string;
  readonly args: unknown;
  readonly options: unknown;
}

/** The program, and where it leaves what it ran with. */
export function makeProgram(): { program: Program; ran: Ran[] } {
  const ran: Ran[] = [];
  const record = (name: string) => (args: unknown, options: unknown): number => {
    ran.push({ name, args, options });
    return 0;
  };
  const range = {
    start: { kind: "integer", about: "the first address" },
    end: { kind: "integer", about: "the address after the last" },
  } as const;
  const commands = [
    command({
      name: "server",
      about: "offer memory",
      details: "The home of one region.",
      examples: [["dsm server 9734 1238", "the defaults, spelled out"]],
      args: {
        port: { kind: "port", about: "where to listen", default: 9734 },
        shmkey: { kind: "key", about: "the key of the memory", default: 1238 },
      },
      options: {
        blockSize: { kind: "size", about: "bytes in a block", default: 4096, min: 1, max: 1_048_576 },
        hold: { kind: "time", about: "how long to hold", optional: true },
        transport: { kind: "string", about: "how to listen", choices: ["auto", "epoll", "deno"], default: "auto" },
        fill: { kind: "string", about: "the first contents", short: "f", optional: true },
        detach: { kind: "boolean", about: "run in the background", short: "d" },
        attach: { kind: "boolean", about: "go by memory where it can", default: true },
      },
      run: record("server"),
    }),
    command({
      name: "client",
      about: "read and write",
      options: { history: { kind: "boolean", about: "keep a history" } },
      subcommands: [
        command({ name: "read", about: "read a range", args: range, run: record("client read") }),
        command({ name: "fill", about: "fill a range", args: range, run: record("client fill") }),
      ],
      run: record("client"),
    }),
    command({
      name: "exec",
      about: "run a program",
      args: { machines: { kind: "string", about: "the machine file" } },
      rest: { name: "program", about: "the program and its arguments" },
      options: {
        verbose: { kind: "boolean", about: "say more", short: "v" },
        lock: { kind: "key", about: "a key to hold", short: "l", many: true },
        mode: { kind: "mode", about: "permissions", default: 0o640 },
      },
      run: record("exec"),
    }),
    command({
      name: "checkpoint",
      about: "keep pictures",
      subcommands: [command({ name: "take", about: "take one", run: record("checkpoint take") })],
    }),
    command({ name: "config", about: "hand out the layout", run: record("config") }),
  ];
  const examples = [["dsm up", "a cluster"]] as const;
  return { program: { name: "dsm", version: "1.2.3", about: "shared memory", examples, commands }, ran };
}
