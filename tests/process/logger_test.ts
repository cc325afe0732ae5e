/** `dsm logger`: how it finds its server, what it says when it cannot, and what an original global logger gets from it. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { SystemError } from "../../lib/base/errors.ts";
import { freePortPair } from "../../lib/launch/free_ports.ts";
import { LocalLogger } from "../../lib/node/logger/local_logger.ts";
import { HeldBlock } from "../support/holder.ts";
import { LoggedCluster, loggerArgs } from "../support/loggers.ts";
import {
  compiled,
  dsm,
  have,
  Keys,
  ready,
  runCommand,
  startDsm,
  TestCluster,
  TestServer,
  testWhere,
} from "../support/processes.ts";
import { until } from "../support/until.ts";

const ONE_SERVER = { servers: 1, withLoggerPorts: true };

Deno.test("a logger says where it is and what it is, and each way to stop it leaves the server as it was", async () => {
  await using cluster = await TestCluster.start(ONE_SERVER);
  const { keys, port } = cluster.server(0);
  for (const how of ["SIGTERM", "SIGINT", "line"] as const) {
    await using logger = startDsm(loggerArgs(cluster, 0, false), { cwd: cluster.dir.path });
    const line = `ready logger 127.0.0.1:${port + 1} master=0 shmkey=${keys.shm} semkey=${keys.sem}`;
    assertEquals((await ready(logger)).line, line);
    if (how === "line") await logger.write("q\n");
    else logger.signal(how);
    assertEquals(await logger.end(), { code: 0, signal: null });
  }
  await using master = startDsm(loggerArgs(cluster, 0, true), { cwd: cluster.dir.path });
  const { fields } = await ready(master);
  assertEquals([fields["master"], fields["dir"]], ["1", `${await Deno.realPath(cluster.dir.path)}/checkpoints`]);
  assertEquals((await cluster.client(["write", "0", "still there"])).code, 0);
});

Deno.test("keys of another server are refused, whichever of the two it is; zeros are not checked", async () => {
  await using cluster = await TestCluster.start(ONE_SERVER);
  const { keys, port } = cluster.server(0);
  using none = new Keys();
  for (const [shm, sem] of [[none.shm, keys.sem], [keys.shm, none.sem], [none.shm, none.sem]]) {
    const { code, stdout, stderr } = await dsm(["logger", "0", `${port + 1}`, `${shm}`, `${sem}`]);
    assertEquals([code, stdout], [1, ""]);
    assertMatch(stderr, new RegExp(`keys ${shm} and ${sem} are not those of the server on 127\\.0\\.0\\.1:${port} `));
  }
  await using logger = startDsm(["logger", "0", `${port + 1}`, "0", "0"]);
  await ready(logger);
});

Deno.test("a second logger of one server is refused: the port is taken, or on another address the server has one", async () => {
  const port = freePortPair("127.0.0.1");
  await using server = await TestServer.start([
    "--size",
    "64KiB",
    "--host",
    "0.0.0.0",
    "--allow-unauthenticated",
    "classic",
  ], port);
  const args = ["logger", "0", `${port + 1}`, `${server.keys.shm}`, `${server.keys.sem}`];
  await using first = startDsm(args);
  await ready(first);
  const taken = await dsm(args);
  assertEquals([taken.code, taken.stdout], [1, ""]);
  assertMatch(taken.stderr, new RegExp(`cannot listen on 127\\.0\\.0\\.1:${port + 1}: EADDRINUSE`));
  const second = await dsm([...args, "--host", "127.0.0.2"]);
  assertEquals([second.code, second.stdout], [1, ""]);
  assertMatch(second.stderr, new RegExp(`already running \\(pid ${first.pid}\\)`));
  await first.kill();
  // a killed one's place is free at once
  await using again = startDsm([...args, "--host", "127.0.0.2"]);
  await ready(again);
});

Deno.test("a logger without a server waits, says so once, and gives up with the command that starts it", async () => {
  const port = freePortPair("127.0.0.1");
  const lines: string[] = [];
  const request = {
    host: "127.0.0.1",
    port: port + 1,
    shmkey: 7,
    semkey: 8,
    waitMsMax: 1_200,
    masterSilentMsMax: 30_000,
  };
  const error = await assertRejects(
    () => LocalLogger.start(request, (_, line) => lines.push(line), new AbortController().signal),
    SystemError,
    `start it: dsm server ${port} 7 8`,
  );
  assertEquals(error.code, "ENOENT");
  assertEquals(lines, [`waiting for the server on 127.0.0.1:${port}, at most 1.2 s`]);
});

Deno.test("a logger started before its server attaches when it comes", async () => {
  const port = freePortPair("127.0.0.1");
  using keys = new Keys();
  await using logger = startDsm(["logger", "0", `${port + 1}`, `${keys.shm}`, `${keys.sem}`]);
  await logger.saysErr(/waiting for the server on /);
  await using server = startDsm(["server", `${port}`, `${keys.shm}`, `${keys.sem}`, "--size", "64KiB"]);
  await ready(server);
  await ready(logger);
});

Deno.test("when its server stops, a logger lets go of the memory, and attaches what comes in its place", async () => {
  await using logged = await LoggedCluster.start({ servers: 1 });
  const { cluster } = logged;
  await using master = logged.master();
  await master.take();
  assertEquals(await cluster.server(0).program.stop(), { code: 0, signal: null });
  await logged.logger(0).saysErr(/is gone: .*waiting for it to come back/);
  assertEquals(cluster.server(0).keys.leftovers(), []);
  assertMatch((await master.fails()).message, /server 127\.0\.0\.1:\d+ does not answer|can take no picture/);
  assertEquals((await cluster.server(0).restart()).fields["start"], "fresh");
  await logged.logger(0).saysErr(/is back: attached again/);
  await until("the config server to see it", async () => (await cluster.client(["write", "5", "anew"])).code === 0);
  const { changedSize } = await master.take();
  assertEquals(changedSize, 4096);
});

Deno.test("arguments that cannot be are refused with the usage", async () => {
  for (const args of [["2"], ["1", "0"], ["1", "1"], ["x"], [], ["1", "--keep", "0"], ["1", "--period", "0"]]) {
    const { code, stdout } = await dsm(["logger", ...args]);
    assertEquals([args, code, stdout], [args, 2, ""]);
  }
});

testWhere(have("cc"), "no C compiler here", "an original global logger gathers from our local loggers", async () => {
  await using logged = await LoggedCluster.start({
    servers: 2,
    args: ["--size", "10", "--block-size", "2", "--fill", "-"],
  });
  const { cluster } = logged;
  assertEquals((await cluster.client(["write", "7", "client"])).code, 0);
  const ports = cluster.servers.flatMap(({ port }) => ["127.0.0.1", `${port + 1}`]);
  const classic = () => runCommand([compiled("classic_logger"), "10", ...ports]);
  const expected = [..."-------client-------"].map((char, i) => `${i}: ${char}\n`).join("");
  assertEquals((await classic()).stdout, expected);
  // a block that somebody holds is waited for
  using held = new HeldBlock(cluster.server(1).keys, 4);
  const gathering = classic();
  await until("it to wait", () => held.waiters > 0);
  held.release();
  assertEquals((await gathering).stdout, expected);
});

Deno.test("a raw answer comes as fast as it is taken, several to one connection, whole regions each", async () => {
  const size = 24 * 1024 * 1024;
  await using logged = await LoggedCluster.start({ servers: 1, args: ["--size", "24MiB"] });
  const server = logged.cluster.server(0);
  server.keys.withRegion(({ data }) => {
    for (let at = 0; at < size; at += 4096) data[at] = at / 4096 % 251;
  });
  using connection = await Deno.connect({ hostname: "127.0.0.1", port: server.port + 1 });
  await connection.write(new Uint8Array(8)); // two indices
  const memoryOf = (pid: number): number => {
    const [, kib] = /^VmRSS:\s+(\d+)/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`)) ?? [];
    return Number(kib) * 1024;
  };
  const before = memoryOf(logged.logger(0).pid);
  const received = new Uint8Array(2 * size);
  for (let at = 0; at < received.length;) {
    const count = await connection.read(received.subarray(at));
    assert(count !== null, "it closed early");
    at += count;
  }
  // its own copies, not the region's pages, which it maps
  assert(memoryOf(logged.logger(0).pid) - before < size + 16 * 1024 * 1024);
  for (let at = 0; at < received.length; at += 4096) assertEquals(received[at], at % size / 4096 % 251);
});
