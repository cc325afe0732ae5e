/** The examples run as they stand, against a cluster of this test's own. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { assertEquals, assertMatch } from "@std/assert";
import { dsmCommand, Program, runCommand, TestCluster } from "../support/processes.ts";

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

Deno.test("examples/tcp_echo.ts says back short and long texts, to many at a time", async () => {
  await using server = new Program(example("tcp_echo.ts", "server", "0"));
  const [, port = ""] = await server.saysOut(/^ready tcp_echo 127\.0\.0\.1:(\d+)$/m);
  const long = "dsm ".repeat(30_000); // more than a read takes, and than two socket buffers need to
  const texts = ["hello", "", long, "Grüße"];
  const answers = await Promise.all(
    texts.map((text) => runCommand(example("tcp_echo.ts", "client", text, "127.0.0.1", port))),
  );
  assertEquals(answers.map(({ stdout }) => stdout), texts.map((text) => `${text}\n`));
  const nobody = await runCommand(example("tcp_echo.ts", "client", "hello", "127.0.0.1", "1"));
  assertEquals([nobody.code, nobody.stderr.split("\n").length], [1, 2], nobody.stderr);
});

Deno.test("examples/udp_echo.ts asks again when no answer comes, and takes no other question's answer", async () => {
  await using server = new Program(example("udp_echo.ts", "server", "0"));
  const [, port = ""] = await server.saysOut(/^ready udp_echo 127\.0\.0\.1:(\d+)$/m);
  const answer = await runCommand(example("udp_echo.ts", "client", "Grüße", "127.0.0.1", port));
  assertEquals([answer.code, answer.stdout, answer.stderr], [0, "Grüße\n", ""]);

  const unreliable = createSocket("udp4");
  try {
    let count = 0;
    unreliable.on("message", (datagram, { port, address }) => {
      if (++count === 1) return; // lost
      const other = Uint8Array.from(datagram, (byte, i) => i < 4 ? byte ^ 0xff : byte);
      for (const each of [other, datagram.subarray(0, 2), datagram]) unreliable.send(each, port, address);
    });
    unreliable.bind(0, "127.0.0.1");
    await once(unreliable, "listening");
    const asked = await runCommand(
      example("udp_echo.ts", "client", "hello", "127.0.0.1", `${unreliable.address().port}`),
    );
    assertEquals([asked.stdout, asked.stderr, count], ["hello\n", "no answer to try 1 of 5\n", 2]);
  } finally {
    unreliable.close();
  }
});

const TYPED_RECEIVE = `
send             5a  2b  9c  2d
receive -4       5a [2b] 9c  2d
receive -10      5a  9c [2d]
receive 0       [5a] 9c
send             9c  7e  9f  3g
receive 3        9c  7e  9f [3g]
receive, not 9   9c [7e] 9f
receive 4        9c  9f    none: it would wait
receive 9       [9c] 9f
receive 9       [9f]
`;

Deno.test("examples/typed_receive.ts draws the same on the kernel's queues and on a registry's", async () => {
  await using registry = new Program(dsmCommand("registry", "0"));
  const [, address = ""] = await registry.saysOut(/^ready registry (\S+)/m);
  for (const args of [[], ["tcp"]]) {
    const drawn = await runCommand(example("typed_receive.ts", ...args), { env: { DSM_REGISTRY: address } });
    assertEquals(drawn.stdout.replace(/ +$/gm, "").trim(), TYPED_RECEIVE.trim(), drawn.stderr);
  }
});
