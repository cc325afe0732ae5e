/** How the daemons start, say that they are ready, and stop. */
import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { semaphoreValues } from "../../lib/sys/semaphores.ts";
import { setSize } from "../../lib/sys/semaphores.ts";
import { Keys, ready, startDsm, TempDir, TestServer, writeConfig } from "../support/processes.ts";

Deno.test("a server says in one line where it listens and what it offers", async () => {
  await using server = await TestServer.start(["--size", "40KiB", "--block-size", "2KiB"]);
  const { keys } = server;
  assertMatch(
    server.program.stdout,
    new RegExp(
      `^ready server 127\\.0\\.0\\.1:\\d+ shmkey=${keys.shm} semkey=${keys.sem} size=40960 block=2048 start=fresh( \\S+)*\\n$`,
    ),
  );
  assertNotEquals(server.port, 0);
});

Deno.test("a config server says where it listens", async () => {
  await using dir = new TempDir();
  await writeConfig(dir.file("config.txt"), ["127.0.0.1:1", "127.0.0.1:2"]);
  await using config = startDsm(["config", "config.txt", "--port", "0"], { cwd: dir.path });
  const { line, port } = await ready(config);
  assertEquals(line, `ready config 127.0.0.1:${port} file=config.txt servers=2`);
  assertNotEquals(port, 0);
  assertEquals(config.stdout, `${line}\n`);
});

const STOPS: Record<string, (server: TestServer) => Promise<void> | void> = {
  SIGTERM: ({ program }) => program.signal("SIGTERM"),
  SIGINT: ({ program }) => program.signal("SIGINT"),
  "a line on standard input": ({ program }) => program.write("\n"),
};

for (const transport of ["epoll", "deno"]) {
  for (const [how, stop] of Object.entries(STOPS)) {
    Deno.test(`${how} stops a server on the ${transport} transport in order, and its IPC objects are gone`, async () => {
      await using server = await TestServer.start(["--size", "64KiB", "--transport", transport]);
      const liveness = server.keys.liveness() ?? 0;
      assertEquals(setSize(liveness), 2);
      await stop(server);
      assertEquals(await server.program.end(), { code: 0, signal: null });
      assertEquals(server.keys.leftovers(), []);
      assertEquals(setSize(liveness), undefined);
      assertMatch(server.program.stderr, /stopping/);
    });
  }
}

Deno.test("the end of standard input stops neither server nor config server", async () => {
  await using server = await TestServer.start(["--size", "64KiB"]);
  await using dir = new TempDir();
  await writeConfig(dir.file("config.txt"), [server.address]);
  await using config = startDsm(["config", dir.file("config.txt"), "--port", "0"]);
  await server.program.closeInput();
  await config.closeInput();
  await ready(config);
  // both still do their work: the one answers the other's questions
  await config.saysErr(/ answers: /);
  assertEquals(await config.stop(), { code: 0, signal: null });
  assertEquals(await server.program.stop(), { code: 0, signal: null });
});

for (const how of ["SIGTERM", "SIGINT", "line"] as const) {
  Deno.test(`a config server stops on ${how}`, async () => {
    await using dir = new TempDir();
    await writeConfig(dir.file("config.txt"), ["127.0.0.1:1"]);
    await using config = startDsm(["config", dir.file("config.txt"), "--port", "0"]);
    await ready(config);
    if (how === "line") await config.write("stop, please\n");
    else config.signal(how);
    assertEquals(await config.end(), { code: 0, signal: null });
  });
}

Deno.test("a server stopped with --keep leaves its objects, and the next one takes them over", async () => {
  await using server = await TestServer.start(["--size", "64KiB", "--keep"]);
  server.keys.withRegion((region) => region.data.fill(7));
  assertEquals(await server.program.stop(), { code: 0, signal: null });
  assertEquals(server.keys.leftovers().length, 2);
  assertEquals((await server.restart()).fields["start"], "taken-over");
  assertEquals(server.keys.withRegion((region) => region.data.every((byte) => byte === 7)), true);
  assertEquals(
    server.keys.withRegion((region) =>
      semaphoreValues(region.guards.id, region.guards.count)?.every((one) => one === 1)
    ),
    true,
  );
});

Deno.test("a server with private keys (0) leaves nothing either", async () => {
  await using server = startDsm(["server", "0", "0", "0", "--size", "64KiB"]);
  const { fields } = await ready(server);
  assertEquals([fields["shmkey"], fields["semkey"]], ["0", "0"]);
  const mine = (): number =>
    Deno.readTextFileSync("/proc/sysvipc/shm").split("\n").filter((row) =>
      row.trim().split(/\s+/)[4] === `${server.pid}`
    )
      .length;
  assertEquals(mine(), 1);
  await server.stop();
  assertEquals(mine(), 0);
});

Deno.test("a stopping server whose block is kept by somebody says so and goes all the same", async () => {
  await using server = await TestServer.start(["--size", "64KiB"]);
  using keys = server.keys;
  await keys.withRegion(async (region) => {
    const plan = region.guards.plan();
    plan.addBlocks(3, 3);
    assertEquals(region.guards.tryTake(plan), "done");
    server.program.signal("SIGTERM");
    assertEquals(await server.program.end(), { code: 0, signal: null });
    await server.program.saysErr(/kept a block/);
  });
  assertEquals(keys.leftovers(), []);
});

Deno.test("a config server is restarted on its port while the servers serve on", async () => {
  await using server = await TestServer.start(["--size", "64KiB"]);
  await using dir = new TempDir();
  await writeConfig(dir.file("config.txt"), [server.address]);
  await using first = startDsm(["config", dir.file("config.txt"), "--port", "0"]);
  const { port } = await ready(first);
  await first.saysErr(/ answers: /);
  await first.kill();
  await using second = startDsm(["config", "config.txt", "--port", `${port}`, "--state", "config.sqlite"], {
    cwd: dir.path,
  });
  assertEquals((await ready(second)).port, port);
  await second.saysErr(/ answers: /);
});

Deno.test("keys of one test are not those of another", () => {
  using one = new Keys();
  using two = new Keys();
  assertNotEquals([one.shm, one.sem], [two.shm, two.sem]);
});
