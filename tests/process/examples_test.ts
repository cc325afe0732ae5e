/** The examples run as they stand, against a cluster of this test's own. */
import { assertEquals, assertMatch } from "@std/assert";
import { Program, runCommand, TestCluster } from "../support/processes.ts";

const example = (
  file: string,
  ...args: string[]
): string[] => [Deno.execPath(), "run", "-A", `examples/${file}`, ...args];

Deno.test("examples/counter.ts loses no count", async () => {
  await using cluster = await TestCluster.start();
  const env = { DSM_CONFIG: cluster.address };
  const first = await runCommand(example("counter.ts", "3", "50"), { env });
  assertEquals(first.stdout, "3 processes added 1 50 times each: 0 became 150\n", first.stderr);
  const second = await runCommand(example("counter.ts", "2", "25"), { env });
  assertEquals(second.stdout, "2 processes added 1 25 times each: 150 became 200\n", second.stderr);
});

Deno.test("examples/chat.ts tells everybody what each one says, also after the ring has gone round", async () => {
  await using cluster = await TestCluster.start();
  const env = { DSM_CONFIG: cluster.address };
  await using ada = new Program(example("chat.ts", "ada"), { env });
  await using bob = new Program(example("chat.ts", "bob"), { env });
  await ada.saysErr(/you are ada/);
  await bob.saysErr(/you are bob/);
  await ada.write("hello\n");
  await bob.saysOut(/^ada: hello$/m);
  for (let i = 0; i < 70; i++) await bob.write(`line ${i}\n`);
  await ada.saysOut(/^bob: line 69$/m);
  await ada.closeInput();
  await bob.closeInput();
  assertEquals((await ada.end()).code, 0, ada.stderr);
  assertEquals((await bob.end()).code, 0, bob.stderr);
  assertMatch(ada.stdout, /^ada: hello\n/);
});
