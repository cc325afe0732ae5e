/** What every command shares: help, mistakes, streams, JSON, colours, logs, exit statuses. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { PROGRAM } from "../../roles/table.ts";
import {
  dsm,
  dsmCommand,
  have,
  ready,
  runCommand,
  startDsm,
  TempDir,
  TestCluster,
  testWhere,
  writeConfig,
} from "../support/processes.ts";

const COMMANDS = PROGRAM.commands.flatMap((command) => [
  [command.name],
  ...command.subcommands.map((each) => [command.name, each.name]),
]);

Deno.test("--help of every command begins with examples that name it, on stdout", async () => {
  const asked = [[], ...COMMANDS];
  // a few at a time: each is a process
  for (let at = 0; at < asked.length; at += 6) {
    await Promise.all(
      asked.slice(at, at + 6).map(async (path) => {
        const { code, stdout, stderr } = await dsm([...path, "--help"]);
        assertEquals([code, stderr], [0, ""], path.join(" "));
        const name = path.join(" ");
        const [head = "", examples = ""] = stdout.split(/^Examples:$/m);
        // the program says in one line what it is; a command begins with its examples
        assert(head.trim().split("\n").length <= 1 && (path.length === 0 || head === ""), stdout);
        assert(examples.split(/^Usage/m)[0]?.includes(`dsm ${name}`), `the examples of ${name} name it`);
        for (const option of ["--help", "--json", "--config"]) {
          assert(stdout.includes(option) || path.length === 0, `${name}: ${option}`);
        }
      }),
    );
  }
});

Deno.test("--version says name and version, nothing else", async () => {
  const { version } = JSON.parse(await Deno.readTextFile(new URL("../../deno.json", import.meta.url)));
  for (const args of [["--version"], ["server", "--version"], ["client", "read", "--version"]]) {
    const { code, stdout, stderr } = await dsm(args);
    assertEquals([code, stdout, stderr], [0, `dsm ${version}\n`, ""]);
  }
});

Deno.test("mistakes: exit status 2, one line on stderr, and what was meant", async () => {
  const cases: [string[], RegExp][] = [
    [["sever"], /no command sever; did you mean server\? \(see dsm --help\)/],
    [["cleint", "read", "0", "5"], /did you mean client/],
    [["xyzzy"], /no command xyzzy/],
    [["client", "raed", "0", "5"], /raed.*did you mean read|raed/],
    [["server", "--blocksize", "4"], /--block-?size/],
    [["client", "read", "0", "5", "--timout", "1s"], /--timeout/],
    [["client", "read", "0", "5", "--timeout", "soon"], /--timeout.*soon/],
    [["client", "read", "0", "5", "--config", "nowhere"], /--config.*nowhere/],
    [["--log-level", "loud", "config"], /--log-level.*debug/],
    [["completions", "tcsh"], /bash, zsh, fish, not tcsh/],
  ];
  await Promise.all(cases.map(async ([args, says]) => {
    const { code, stdout, stderr } = await dsm(args);
    assertMatch(stderr, says);
    assertEquals([code, stdout], [2, ""], stderr);
    assertEquals(stderr.trim().split("\n").length, 1, stderr);
    assertMatch(stderr, /^dsm: .*--help\)\n$/);
  }));
});

Deno.test("no command: the help on stderr, exit status 2", async () => {
  const { code, stdout, stderr } = await dsm([]);
  assertEquals([code, stdout], [2, ""]);
  assertMatch(stderr, /dsm up/);
});

Deno.test("results go to stdout, speech to stderr: a daemon's stdout is its readiness line", async () => {
  await using cluster = await TestCluster.start({ servers: 2 });
  await cluster.client(["write", "0", "x"]);
  assertEquals(cluster.config.stdout.split("\n").length, 2);
  assertMatch(cluster.config.stderr, /INFO config: /);
  for (const server of cluster.servers) {
    await server.program.stop();
    assertMatch(server.program.stdout, /^ready server [^\n]*\n$/);
    assertMatch(server.program.stderr, /INFO server: stopping/);
  }
});

Deno.test("--json is one array of flat objects with names in camelCase", async () => {
  await using cluster = await TestCluster.start({ servers: 2 });
  const env = { DSM_CONFIG: cluster.address };
  const asked = [
    ["client", "info"],
    ["client", "read", "0", "5"],
    ["client", "write", "0", "x"],
    ["client", "fill", "0", "5", "x"],
    ["status"],
    ["blocks"],
    ["ipcs"],
    ["ipcs", "-l"],
    ["ipcs", "-u"],
    ["ipcmk", "-M", "4KiB"],
  ].filter(([name]) => PROGRAM.commands.some((command) => command.name === name));
  await Promise.all(asked.map(async (args) => {
    const { code, stdout, stderr } = await dsm([...args, "--json"], { env });
    assertEquals([code, stderr], [0, ""], args.join(" "));
    assertEquals(stdout.trimEnd().split("\n").length, 1);
    const rows = JSON.parse(stdout);
    assert(Array.isArray(rows), args.join(" "));
    for (const row of rows) {
      for (const [name, value] of Object.entries(row)) {
        assertMatch(name, /^[a-z][a-zA-Z0-9]*$/);
        assert(value === null || typeof value !== "object", `${args.join(" ")}: ${name}`);
      }
    }
  }));
});

Deno.test("--log-format json: every line of the log is an object with time, level, role, message", async () => {
  await using dir = new TempDir();
  await writeConfig(dir.file("config.txt"), ["127.0.0.1:1"]);
  await using config = startDsm(["config", dir.file("config.txt"), "--port", "0", "--log-format", "json"]);
  await ready(config);
  config.signal("SIGHUP");
  await config.saysErr(/nothing new/);
  await config.stop();
  for (const line of config.stderr.trim().split("\n")) {
    const record = JSON.parse(line);
    assertEquals(Object.keys(record).sort(), ["level", "message", "role", "time"]);
    assertEquals([record.level, record.role], ["info", "config"]);
    assertMatch(record.time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  }
});

Deno.test("--log-level error keeps the rest to itself", async () => {
  await using dir = new TempDir();
  await writeConfig(dir.file("config.txt"), ["127.0.0.1:1"]);
  await using config = startDsm(["config", dir.file("config.txt"), "--port", "0", "--log-level", "error"]);
  await ready(config);
  assertEquals((await config.stop()).code, 0);
  assertEquals(config.stderr, "");
});

Deno.test("DSM_CONFIG and --config name the config server; the option wins", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  const asked = ["client", "read", "0", "1", "--hex"];
  assertEquals((await dsm(asked, { env: { DSM_CONFIG: cluster.address } })).stdout, "00\n");
  assertEquals(
    (await dsm([...asked, "--config", cluster.address], { env: { DSM_CONFIG: "127.0.0.1:1" } })).stdout,
    "00\n",
  );
  const bad = await dsm(asked, { env: { DSM_CONFIG: "nonsense" } });
  assertEquals(bad.code, 2);
  assertMatch(bad.stderr, /DSM_CONFIG/);
});

Deno.test("an error has a stack with --debug only", async () => {
  const args = ["config", "/nowhere/config.txt", "--port", "0"];
  const plain = await dsm(args);
  const debug = await dsm([...args, "--debug"]);
  assertEquals([plain.code, debug.code], [1, 1]);
  assert(!/^\s+at /m.test(plain.stderr), plain.stderr);
  assertMatch(debug.stderr, /^\s+at /m);
});

testWhere(have("script"), "no script here", "colours at a terminal, none with NO_COLOR, none in a pipe", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  const escape = String.fromCharCode(27);
  const asked = ["blocks", "--config", cluster.address];
  const quoted = dsmCommand(...asked).map((word) => `'${word}'`).join(" ");
  const atTerminal = async (prefix: string): Promise<string> => {
    const { stdout } = await runCommand(["script", "-qec", `env ${prefix} ${quoted}`, "/dev/null"]);
    assertMatch(stdout, /16 blocks/);
    return stdout;
  };
  assert((await atTerminal("-u NO_COLOR TERM=xterm")).includes(`${escape}[`), "colours at a terminal");
  assert(!(await atTerminal("NO_COLOR=1 TERM=xterm")).includes(`${escape}[`), "none with NO_COLOR");
  assert(!(await atTerminal("-u NO_COLOR TERM=dumb")).includes(`${escape}[`), "none at a terminal that has none");
  assert(!(await dsm(asked)).stdout.includes(`${escape}[`), "none in a pipe");
});

Deno.test("a reader that leaves early ends the command quietly", async () => {
  await using cluster = await TestCluster.start({ servers: 1, args: ["--size", "8MiB"] });
  const quoted = dsmCommand("client", "read", "0", "8388608", "--raw", "--config", cluster.address).map((word) =>
    `'${word}'`
  ).join(" ");
  const { code, stdout, stderr } = await runCommand([
    "bash",
    "-c",
    `${quoted} | head -c 10 | od -An -c; echo "\${PIPESTATUS[0]}"`,
  ]);
  assertEquals([code, stderr], [0, ""]);
  assertMatch(stdout, /\n(0|141)\n$/);
});

for (const shell of ["bash", "zsh", "fish"]) {
  Deno.test(`completions for ${shell} know every command`, async () => {
    const { code, stdout } = await dsm(["completions", shell]);
    assertEquals(code, 0);
    for (const command of PROGRAM.commands) assert(stdout.includes(command.name), command.name);
    if (have(shell)) assertEquals((await runCommand([shell, "-n"], { stdin: stdout })).code, 0);
  });
}

testWhere(have("bash"), "no bash here", "bash completes commands, options and values", async () => {
  const { stdout: script } = await dsm(["completions", "bash"]);
  const complete = async (...words: string[]): Promise<string[]> => {
    const program = `${script}
      COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length - 1}
      COMP_LINE="\${COMP_WORDS[*]}"; COMP_POINT=\${#COMP_LINE}
      "$(complete -p dsm | sed -E 's/.*-F ([^ ]+).*/\\1/')" dsm '${words.at(-1)}' '${words.at(-2)}'
      printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = await runCommand(["bash", "-s"], { stdin: program });
    assertEquals(stderr, "");
    return stdout.split("\n").map((word) => word.trim()).filter(Boolean);
  };
  assert((await complete("dsm", "ser")).includes("server"));
  assert((await complete("dsm", "server", "--bl")).includes("--block-size"));
  assert((await complete("dsm", "client", "re")).includes("read"));
});
