import { assertEquals, assertRejects } from "@std/assert";
import { UsageError } from "../../../lib/base/errors.ts";
import { runProgram } from "../../../lib/cli/run.ts";
import type { Shared } from "../../../lib/cli/shared.ts";
import { makeProgram, type Ran } from "./declarations.ts";

/** What the command line `argv` runs, and the options every command receives. */
async function run(
  argv: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Ran & { shared: Shared }> {
  const { program, ran } = makeProgram();
  const prepared: Shared[] = [];
  const status = await runProgram(program, argv, {
    env: (name) => environment[name],
    prepare: (shared) => void prepared.push(shared),
  });
  const [last, shared] = [ran[0], prepared[0]];
  if (status !== 0 || last === undefined || shared === undefined) throw new Error(`nothing ran: ${argv.join(" ")}`);
  return { ...last, shared };
}

/** Every command line on the left must be refused with the message on the right. */
async function assertRefused(cases: Readonly<Record<string, string>>): Promise<void> {
  for (const [line, message] of Object.entries(cases)) {
    const error = await assertRejects(() => run(line.split(" ")), UsageError);
    assertEquals(error.message, message, line);
  }
}

const SERVER = {
  blockSize: 4096,
  hold: undefined,
  transport: "auto",
  fill: undefined,
  detach: false,
  attach: true,
};

const EXEC = { verbose: false, lock: [], mode: 0o640 };

Deno.test("parse: defaults where nothing is given", async () => {
  const { args, options, shared } = await run(["server"]);
  assertEquals(args, { port: 9734, shmkey: 1238 });
  assertEquals(options, SERVER);
  assertEquals(shared, {
    config: { host: "127.0.0.1", port: 9740 },
    registry: { host: "127.0.0.1", port: 9750 },
    secret: undefined,
    tlsCa: undefined,
    json: false,
    debug: false,
    logLevel: "info",
    logFormat: "text",
  });
});

Deno.test("parse: options before, between and after positional arguments, in every spelling", async () => {
  const line = [
    "--hold",
    "250ms",
    "server",
    "-d",
    "1",
    "--block-size=8KiB",
    "0x10",
    "--no-attach",
    "-f",
    "-",
    "--json",
  ];
  const { args, options, shared } = await run(line.slice(2).concat(line.slice(0, 2)));
  assertEquals(args, { port: 1, shmkey: 16 });
  assertEquals(options, { ...SERVER, blockSize: 8192, hold: 250, fill: "-", detach: true, attach: false });
  assertEquals(shared.json, true);
});

Deno.test("parse: letters alone, together, and with their value attached", async () => {
  assertEquals(
    await run(["server", "-dfx"]).catch((error) => error.message),
    "-f needs a value: write it apart from -d (see dsm server --help)",
  );
  assertEquals((await run(["server", "-fx"])).options, { ...SERVER, fill: "x" });
  assertEquals((await run(["server", "-f=x"])).options, { ...SERVER, fill: "x" });
  assertEquals((await run(["exec", "-vv", "m"])).options, { ...EXEC, verbose: true });
});

Deno.test("parse: a shared option may come before the command", async () => {
  const { name, shared } = await run(["--config", "[::1]:5", "--debug", "client", "--json", "read", "0", "4"]);
  assertEquals(name, "client read");
  assertEquals([shared.config, shared.debug, shared.json], [{ host: "::1", port: 5 }, true, true]);
});

Deno.test("parse: flags win over the environment, the environment over the default, the last flag over the first", async () => {
  const environment = { DSM_CONFIG: "a:1", DSM_REGISTRY: "b:2" };
  const { shared } = await run(["config", "--config=x:1", "--config=c:3"], environment);
  assertEquals([shared.config, shared.registry], [{ host: "c", port: 3 }, { host: "b", port: 2 }]);
  assertEquals((await run(["config"], { DSM_CONFIG: "" })).shared.config.port, 9740);
  await assertRejects(() => run(["config"], { DSM_CONFIG: "x" }), UsageError, "DSM_CONFIG must be HOST:PORT");
});

Deno.test("parse: an option that may be given many times is a list, in the order typed", async () => {
  const { options } = await run(["exec", "-l", "0x10", "--lock=2", "-l1", "--lock", "2", "m", "prog", "-l", "9"]);
  assertEquals(options, { ...EXEC, lock: [16, 2, 1, 2] });
  assertEquals((await run(["exec", "m"])).options, EXEC);
  await assertRefused({
    "exec -l 1 -l x m": "--lock must be a 32-bit key such as 1238 or 0x4d6, not x (see dsm exec --help)",
  });
});

Deno.test("parse: permissions are octal, with or without a 0 before them", async () => {
  assertEquals((await run(["exec", "--mode", "0600", "m"])).options, { ...EXEC, mode: 0o600 });
  assertEquals((await run(["exec", "--mode=777", "m"])).options, { ...EXEC, mode: 0o777 });
  await assertRefused({
    "exec --mode 0800 m": "--mode must be three octal digits such as 0644, not 0800 (see dsm exec --help)",
    "exec --mode 04755 m": "--mode must be three octal digits such as 0644, not 04755 (see dsm exec --help)",
  });
});

Deno.test("parse: the role config and the option --config do not meet", async () => {
  const { name, shared } = await run(["--config", "h:1", "config"]);
  assertEquals([name, shared.config], ["config", { host: "h", port: 1 }]);
});

Deno.test("parse: a negative number is a value", async () => {
  await assertRefused({
    "client read -5 10": "START must be 0 or more, not -5 (see dsm client read --help)",
    "client read 5 -.5": "END must be a whole number, not -.5 (see dsm client read --help)",
    "server --block-size -1":
      "--block-size must be a whole number of bytes such as 4096, 4KiB, 64MiB or 10MB, not -1 (see dsm server --help)",
  });
});

Deno.test("parse: -- ends the options", async () => {
  await assertRefused({
    "client read -- --json 10": "START must be a whole number, not --json (see dsm client read --help)",
  });
  assertEquals((await run(["exec", "--", "-m", "prog"])).args, { machines: "-m", program: ["prog"] });
});

Deno.test("parse: a rest is left as it was typed", async () => {
  const { args, options } = await run(["exec", "-v", "m", "prog", "-v", "--x=1", "--", "y", "--help"]);
  assertEquals(args, { machines: "m", program: ["prog", "-v", "--x=1", "--", "y", "--help"] });
  assertEquals(options, { ...EXEC, verbose: true });
  assertEquals((await run(["exec", "m"])).args, { machines: "m", program: [] });
});

Deno.test("parse: a command with subcommands runs itself when none is named", async () => {
  assertEquals((await run(["client", "--history"])).options, { history: true });
  assertEquals((await run(["checkpoint", "take"])).name, "checkpoint take");
});

Deno.test("parse: mistakes are named, with the help that tells more", async () => {
  await assertRefused({
    "sever": "no command sever; did you mean server? (see dsm --help)",
    "xyzzy": "no command xyzzy (see dsm --help)",
    "--jsn": "no option --jsn; did you mean --json? (see dsm --help)",
    "client raed 1 2": "no subcommand raed; did you mean read? (see dsm client --help)",
    "client read": "START is missing (see dsm client read --help)",
    "client read 1": "END is missing (see dsm client read --help)",
    "client read 1 2 3": "unexpected argument 3 (see dsm client read --help)",
    "client --histry": "no option --histry; did you mean --history? (see dsm client --help)",
    "server --transport": "--transport needs a value (see dsm server --help)",
    "server --hold --json": "--hold needs a value (see dsm server --help)",
    "server --transport eppol":
      "--transport must be one of auto, epoll, deno, not eppol; did you mean epoll? (see dsm server --help)",
    "server --detach=yes": "--detach takes no value (see dsm server --help)",
    "server --no-detach": "no option --no-detach; did you mean --no-attach? (see dsm server --help)",
    "server -x": "no option -x (see dsm server --help)",
    "server 70000": "PORT must be a port, 0 to 65535, not 70000 (see dsm server --help)",
    "server --block-size 2MiB": "--block-size must be 1B or more and at most 1MiB, not 2MiB (see dsm server --help)",
    "server --log-level loud": "--log-level must be one of debug, info, warn, error, not loud (see dsm server --help)",
    "server  ": 'PORT must be a port, 0 to 65535, not "" (see dsm server --help)',
  });
});

Deno.test("parse: an error of the command itself points to its help, a failure of another kind does not", async () => {
  const { program } = makeProgram();
  const failing = (error: Error) => ({
    ...program,
    commands: program.commands.map((each) => ({ ...each, run: () => Promise.reject(error) })),
  });
  const env = () => undefined;
  const usage = await assertRejects(() => runProgram(failing(new UsageError("no")), ["server"], { env }), UsageError);
  assertEquals(usage.message, "no (see dsm server --help)");
  const other = new RangeError("other");
  assertEquals(await assertRejects(() => runProgram(failing(other), ["server"], { env })), other);
});
