/** main.ts: exit statuses, where messages go, and a reader that goes away. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { invokedName, selfCommand } from "../../lib/cli/executable.ts";

const SELF = selfCommand();

/** Runs dsm from source. */
async function dsm(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await new Deno.Command(SELF.command, {
    args: [...SELF.args, ...args],
    stdin: "null",
    env: { NO_COLOR: "1" },
  }).output();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

Deno.test("main: help goes to stdout with 0, a mistake to stderr with 2", async () => {
  const help = await dsm("help");
  assertEquals([help.code, help.stderr], [0, ""]);
  assertStringIncludes(help.stdout, "Usage: dsm COMMAND");
  assertEquals(await dsm("completions", "bsh"), {
    code: 2,
    stdout: "",
    stderr: "dsm: SHELL must be one of bash, zsh, fish, not bsh; did you mean bash? (see dsm completions --help)\n",
  });
});

Deno.test("main: no command at all shows the help where it is not taken for a result", async () => {
  const { code, stdout, stderr } = await dsm();
  assertEquals([code, stdout], [2, ""]);
  assertStringIncludes(stderr, "Usage: dsm COMMAND");
});

Deno.test("main: a reader that went away ends it quietly", async () => {
  const script = `"$@" completions bash | true; echo "\${PIPESTATUS[0]}"`;
  const { stdout, stderr } = await new Deno.Command("bash", {
    args: ["-c", script, "bash", SELF.command, ...SELF.args],
  }).output();
  assertEquals([stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)), ["0\n", ""]);
});

Deno.test("main: a program that runs from source starts another dsm from source", async () => {
  assertEquals(invokedName(), undefined);
  const { stdout } = await new Deno.Command(SELF.command, { args: [...SELF.args, "--version"], cwd: "/" }).output();
  assertEquals(new TextDecoder().decode(stdout), `dsm ${config.version}\n`);
});
