/** README.md is true: what it prints is what is printed, and what it tells to type works. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { connect } from "../../mod.ts";
import { have, ROOT, runCommand, TempDir, TestCluster, TestServer, testWhere } from "../support/processes.ts";

const README = Deno.readTextFileSync(`${ROOT}README.md`);

/** The fenced block of that language that has `mark` in it. */
function block(language: string, mark: string): string {
  const blocks = [...README.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)];
  const found = blocks.find(([, tag, text]) => tag === language && text?.includes(mark));
  assert(found?.[2] !== undefined, `README.md has a block of ${language || "no language"} with ${mark}`);
  return found[2];
}

/** A text without what differs from run to run: a temporary name, numbers, and the blanks that depend on their width. */
function shape(text: string): string {
  return text.replace(/dsm-demo-\w+/g, "dsm-demo-N").replace(/\d+/g, "N").replace(/[ \t]+/g, " ").replace(/ $/gm, "")
    .trim();
}

Deno.test("README.md shows what the demo prints", async () => {
  const { code, stdout, stderr } = await runCommand([Deno.execPath(), "run", "-A", "tools/demo.ts"], {
    env: { NO_COLOR: "1" },
  });
  assertEquals(code, 0, stderr);
  assertEquals(shape(block("", "dsm up --local 3 --port 0")), shape(stdout));
});

Deno.test("README.md's two commands stand on lines of their own", () => {
  for (const task of ["demo", "test"]) assertMatch(README, new RegExp(`^ {4}npx -y deno@2\\.9\\.6 task ${task}$`, "m"));
});

Deno.test("README.md's example of message queues runs, and leaves no queue", async () => {
  await using dir = new TempDir();
  const source = block("ts", "hostQueues").replace('"./mod.ts"', JSON.stringify(`file://${ROOT}mod.ts`));
  await Deno.writeTextFile(
    dir.file("readme.ts"),
    `${source}\nconsole.log(await queue.status().catch(({ code }) => code));`,
  );
  const command = [Deno.execPath(), "run", "--check", "--config", `${ROOT}deno.json`, "-A", dir.file("readme.ts")];
  const { stdout, stderr } = await runCommand(command);
  assertEquals(stdout, "hello\nEINVAL\n", stderr);
});

Deno.test("README.md's example of the library runs, and prints what it says", async () => {
  await using cluster = await TestCluster.start();
  await using dir = new TempDir();
  const source = block("ts", "connect").replace('"./mod.ts"', JSON.stringify(`file://${ROOT}mod.ts`));
  await Deno.writeTextFile(dir.file("readme.ts"), source);
  const command = [Deno.execPath(), "run", "--check", "--config", `${ROOT}deno.json`, "-A", dir.file("readme.ts")];
  const { code, stdout, stderr } = await runCommand(command, { env: { DSM_CONFIG: cluster.address } });
  assertEquals(code, 0, stderr);
  assertEquals(stdout, "hello\n100\n0 65536 memory\n65536 65536 memory\n131072 65536 memory\n");
});

testWhere(have("cc"), "no cc", "README.md's C program shares block 0 with everybody else", async () => {
  await using server = await TestServer.start(["--size", "64KiB"]);
  server.keys.withRegion((region) => region.data.set(new TextEncoder().encode("hello")));
  await using dir = new TempDir();
  await Deno.writeTextFile(dir.file("peek.c"), block("c", "semop"));
  const compiled = await runCommand(["cc", "-Wall", "-Werror", "-o", dir.file("peek"), dir.file("peek.c")]);
  assertEquals(compiled.code, 0, compiled.stderr);
  const peek = [dir.file("peek"), `${server.keys.shm}`, `${server.keys.sem}`];
  assertEquals((await runCommand(peek)).stdout, "hello\n");
  assertEquals((await runCommand(peek)).stdout, "Jello\n");
});

Deno.test("README.md's session with the ancestor's region comes out as it says", async () => {
  await using cluster = await TestCluster.start({
    servers: 1,
    args: ["--size", "10", "--block-size", "2", "--fill", "-"],
  });
  const [, input = "", answer = ""] = /printf '([^']*)' \| \.\/client\n {4}(.*)\n/.exec(README) ?? [];
  const { stdout } = await cluster.client([], { stdin: input.replaceAll("\\n", "\n") });
  assertEquals(stdout, `${answer}\n`);
  await using library = await connect({ config: cluster.address });
  assertEquals(new TextDecoder().decode(await library.read(0, 10)), answer);
});
