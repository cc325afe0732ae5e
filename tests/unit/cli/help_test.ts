import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { commandHelp, programHelp } from "../../../lib/cli/help.ts";
import { PROGRAM } from "../../../roles/table.ts";
import type { Command } from "../../../lib/cli/command.ts";
import { makeProgram } from "./declarations.ts";

/** The command of the test's program that `path` leads to. */
function find(...path: string[]): Command {
  let commands = makeProgram().program.commands;
  let found: Command | undefined;
  for (const name of path) {
    found = commands.find((each) => each.name === name);
    commands = found?.subcommands ?? [];
  }
  if (found === undefined) throw new Error(`no command ${path.join(" ")}`);
  return found;
}

Deno.test("help: examples first, then what it is, its usage, and all that can be given", () => {
  const lines = commandHelp(["dsm", "server"], find("server")).split("\n");
  assertEquals(lines.slice(0, lines.indexOf("Options of every command:")), [
    "Examples:",
    "  dsm server 9734 1238",
    "      the defaults, spelled out",
    "",
    "dsm server: offer memory",
    "",
    "Usage: dsm server [OPTIONS] [PORT] [SHMKEY]",
    "",
    "The home of one region.",
    "",
    "Arguments:",
    "  PORT    where to listen (default 9734)",
    "  SHMKEY  the key of the memory (default 1238)",
    "",
    "Options:",
    "      --block-size SIZE            bytes in a block (default 4KiB)",
    "      --hold TIME                  how long to hold",
    "      --transport auto|epoll|deno  how to listen (default auto)",
    "  -f, --fill STRING                the first contents",
    "  -d, --detach                     run in the background",
    "      --no-attach                  do not go by memory where it can",
    "",
  ]);
});

Deno.test("help: a rest, subcommands, and a command that is only its subcommands", () => {
  assertStringIncludes(
    commandHelp(["dsm", "exec"], find("exec")),
    "Usage: dsm exec [OPTIONS] <MACHINES> [PROGRAM...]\n",
  );
  assertStringIncludes(
    commandHelp(["dsm", "exec"], find("exec")),
    "  -l, --lock KEY   a key to hold (may be given several times)\n      --mode MODE  permissions (default 0640)\n",
  );
  const client = commandHelp(["dsm", "client"], find("client"));
  assertStringIncludes(client, "Usage: dsm client [OPTIONS]\n       dsm client SUBCOMMAND [ARGUMENTS] [OPTIONS]\n");
  assertStringIncludes(client, "Subcommands:\n  read  read a range\n  fill  fill a range\n");
  assertStringIncludes(
    commandHelp(["dsm", "checkpoint"], find("checkpoint")),
    "Usage: dsm checkpoint SUBCOMMAND [ARGUMENTS] [OPTIONS]\n",
  );
  assertStringIncludes(
    commandHelp(["dsm", "client", "read"], find("client", "read")),
    "Usage: dsm client read <START> <END>\n",
  );
});

Deno.test("help: of the program, every command and the options they share", () => {
  const { program } = makeProgram();
  const text = programHelp(program);
  assert(text.startsWith("dsm 1.2.3: shared memory\n\nExamples:\n  dsm up\n"));
  for (const { name, about } of program.commands) assertStringIncludes(text, `  ${name.padEnd(10)}  ${about}\n`);
  assertStringIncludes(
    text,
    "--config HOST:PORT                 the config server to ask (env DSM_CONFIG, default 127.0.0.1:9740)",
  );
});

Deno.test("help: every role of dsm has examples, and the first is a command line of it", () => {
  const check = (path: readonly string[], command: Command): void => {
    const first = command.examples[0];
    if (first !== undefined) assertStringIncludes(first[0], path.join(" "));
    for (const each of command.subcommands) check([...path, each.name], each);
  };
  for (const each of PROGRAM.commands) {
    assert(each.examples.length > 0, `dsm ${each.name} has no examples`);
    check(["dsm", each.name], each);
  }
});
