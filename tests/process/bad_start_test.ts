/** Servers that cannot start, or lose what they serve: a clear line, the right exit status, nothing damaged or left. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { createSet, removeSet, setSize } from "../../lib/sys/semaphores.ts";
import { createSegment, findSegment, removeSegment, SharedMemory } from "../../lib/sys/shared_memory.ts";
import {
  dsm,
  have,
  Keys,
  ready,
  runCommand,
  startDsm,
  TempDir,
  TestCluster,
  TestServer,
  testWhere,
  writeConfig,
} from "../support/processes.ts";
import type { Program } from "../support/processes.ts";

const SMALL = ["--size", "64KiB"];

/** `dsm server` that is expected to fail. */
async function refused(args: readonly string[], status: number, says: RegExp): Promise<void> {
  const { code, stdout, stderr } = await dsm(["server", ...args]);
  assertMatch(stderr, says);
  assertMatch(stderr, /^dsm: /);
  assertEquals([code, stdout], [status, ""]);
  assertEquals(stderr.trim().split("\n").length, 1, stderr);
}

for (const transport of ["epoll", "deno"]) {
  Deno.test(`a port that is taken: ${transport}`, async () => {
    using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
    using keys = new Keys();
    const { port } = listener.addr;
    await refused(
      [`${port}`, `${keys.shm}`, `${keys.sem}`, ...SMALL, "--transport", transport],
      1,
      new RegExp(`cannot listen on 127\\.0\\.0\\.1:${port}: EADDRINUSE; .*another port`),
    );
    assertEquals(keys.leftovers(), []);
  });
}

Deno.test("a config server whose port is taken", async () => {
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  await using dir = new TempDir();
  await writeConfig(dir.file("config.txt"), ["127.0.0.1:1"]);
  const { code, stderr } = await dsm(["config", dir.file("config.txt"), "--port", `${listener.addr.port}`]);
  assertEquals(code, 1);
  assertMatch(stderr, /^dsm: .*EADDRINUSE/);
});

Deno.test("a key held by somebody else's segment: it is refused and not touched", async () => {
  using keys = new Keys();
  const id = createSegment(keys.shm, 65536, 0o600) ?? 0;
  using memory = SharedMemory.attach(id);
  memory.bytes.fill(0x55);
  await refused(
    ["0", `${keys.shm}`, `${keys.sem}`, ...SMALL],
    1,
    new RegExp(`${keys.shm} is not a dsm region.*ipcrm -M ${keys.shm}`),
  );
  assert(memory.bytes.every((byte) => byte === 0x55));
  assertEquals(keys.leftovers(), [`shared memory key ${keys.shm}`]);
});

Deno.test("a tiny segment under the key is refused too", async () => {
  using keys = new Keys();
  createSegment(keys.shm, 1, 0o600);
  await refused(["0", `${keys.shm}`, `${keys.sem}`, ...SMALL], 1, /is not a dsm region/);
});

Deno.test("a semaphore key held by somebody else's set: no segment is left", async () => {
  using keys = new Keys();
  const id = createSet(keys.sem, 3, 0o600) ?? 0;
  await refused(
    ["0", `${keys.shm}`, `${keys.sem}`, ...SMALL],
    1,
    new RegExp(`semaphore key ${keys.sem} .*ipcrm -S ${keys.sem}`),
  );
  assertEquals(keys.leftovers(), [`semaphore key ${keys.sem}`]);
  assertEquals(setSize(id), 3);
});

Deno.test("a region whose semaphore key is another's is not taken over, and keeps its bytes", async () => {
  await using server = await TestServer.start(SMALL);
  server.keys.withRegion((region) => region.data.fill(3));
  await server.program.kill();
  using others = new Keys();
  createSet(others.sem, 3, 0o600);
  await refused(["0", `${server.keys.shm}`, `${others.sem}`, ...SMALL], 1, new RegExp(`semaphore key ${others.sem}`));
  assertEquals((await server.restart()).fields["start"], "taken-over");
  assertEquals(server.keys.withRegion((region) => region.data.every((byte) => byte === 3)), true);
});

Deno.test("mistakes on the server's command line: exit status 2, nothing made", async (t) => {
  const cases: Record<string, { args: string[]; says: RegExp }> = {
    "a port that is none": { args: ["seven"], says: /port.*seven/ },
    "a port out of range": { args: ["70000"], says: /port.*70000/ },
    "a key that is none": { args: ["0", "abc"], says: /key.*abc/ },
    "a size that is none": { args: ["0", "0", "0", "--size", "lots"], says: /--size.*lots/ },
    "a size of 0": { args: ["0", "0", "0", "--size", "0"], says: /size.*0/ },
    "a size between blocks": { args: ["0", "0", "0", "--size", "5000"], says: /multiple of the block size.*5000/ },
    "a block size of 0": { args: ["0", "0", "0", "--block-size", "0"], says: /block size/ },
    "too many blocks": { args: ["0", "0", "0", "--size", "1GiB", "--block-size", "1"], says: /16777216/ },
    "an impossible mode": { args: ["0", "0", "0", "--mode", "9"], says: /--mode.*octal/ },
    "an impossible fill": { args: ["0", "0", "0", "--fill", "ab"], says: /--fill.*ab/ },
    "a transport that is none": { args: ["0", "0", "0", "--transport", "epol"], says: /--transport.*epoll/ },
    "an unknown option": { args: ["0", "0", "0", "--sise", "1"], says: /--sise.*--size/ },
    "one argument too many": { args: ["0", "0", "0", "0"], says: /0/ },
    "an address beyond this host": {
      args: ["0", "0", "0", "--host", "0.0.0.0"],
      says: /0\.0\.0\.0.*dsm secret new FILE.*--allow-unauthenticated/,
    },
  };
  for (const [what, { args, says }] of Object.entries(cases)) {
    await t.step(what, () => refused(args, 2, says));
  }
});

Deno.test("more memory than there is: said by name, exit status 1, nothing made", async () => {
  using keys = new Keys();
  await refused(
    ["0", `${keys.shm}`, `${keys.sem}`, "--size", "16TiB", "--block-size", "1MiB"],
    1,
    /16TiB|MemAvailable|SHMALL/,
  );
  assertEquals(keys.leftovers(), []);
});

Deno.test("with a secret it listens beyond this host", async () => {
  await using dir = new TempDir();
  const secret = dir.file("secret");
  assertEquals((await dsm(["secret", "new", secret])).code, 0);
  await using server = await TestServer.start([...SMALL, "--host", "0.0.0.0", "--secret", secret]);
  assertEquals(server.ready.host, "0.0.0.0");
});

// ---- two at once

/** A port that was free a moment ago. */
function freePort(): number {
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  return listener.addr.port;
}

for (const ports of ["the same port", "different ports"]) {
  Deno.test(`two servers started at once on the same keys and ${ports}: exactly one serves`, async () => {
    for (let round = 0; round < 4; round++) {
      using keys = new Keys();
      const port = ports === "the same port" ? freePort() : 0;
      const start = (): Program => startDsm(["server", `${port}`, `${keys.shm}`, `${keys.sem}`, ...SMALL]);
      await using one = start();
      await using two = start();
      const loser = await Promise.race([one.exited.then(() => one), two.exited.then(() => two)]);
      const winner = loser === one ? two : one;
      assertEquals((await ready(winner)).fields["start"], "fresh");
      assertEquals(await loser.end(), { code: 1, signal: null });
      assertEquals(loser.stdout, "");
      assertMatch(
        loser.stderr,
        port === 0
          ? new RegExp(`^dsm: already running \\(pid ${winner.pid}\\)`)
          : /^dsm: (cannot listen on .*EADDRINUSE|already running)/,
      );
      const liveness = keys.liveness() ?? 0;
      assertEquals(await winner.stop(), { code: 0, signal: null });
      assertEquals(keys.leftovers(), []);
      assertEquals(setSize(liveness), undefined);
    }
  });
}

Deno.test("two servers at once on a dead server's region: one takes it over with its bytes", async () => {
  await using server = await TestServer.start(SMALL);
  server.keys.withRegion((region) => region.data.fill(5));
  await server.program.kill();
  const start = (): Program => startDsm(["server", "0", `${server.keys.shm}`, `${server.keys.sem}`, ...SMALL]);
  await using one = start();
  await using two = start();
  const loser = await Promise.race([one.exited.then(() => one), two.exited.then(() => two)]);
  const winner = loser === one ? two : one;
  assertEquals((await ready(winner)).fields["start"], "taken-over");
  assertMatch(loser.stderr, /already running/);
  assertEquals(server.keys.withRegion((region) => region.data.every((byte) => byte === 5)), true);
  await winner.stop();
});

// ---- what is removed under a running server

for (const transport of ["epoll", "deno"]) {
  testWhere(
    have("ipcrm"),
    "no ipcrm here",
    `ipcrm -M under a running server (${transport}): it says so, exits 1, leaves nothing`,
    async () => {
      await using server = await TestServer.start([...SMALL, "--transport", transport]);
      const liveness = server.keys.liveness() ?? 0;
      assertEquals((await runCommand(["ipcrm", "-M", `${server.keys.shm}`])).code, 0);
      assertEquals(await server.program.end(), { code: 1, signal: null });
      assertMatch(
        server.program.stderr,
        new RegExp(
          `dsm: server ${server.address} stopped serving: its shared memory was removed \\(ipcrm.*; its bytes are gone`,
        ),
      );
      assertEquals(server.keys.leftovers(), []);
      assertEquals(setSize(liveness), undefined);
      assertEquals((await server.restart()).fields["start"], "fresh");
    },
  );

  testWhere(
    have("ipcrm"),
    "no ipcrm here",
    `ipcrm -S under a running server (${transport}): it says so, exits 1, and the next one has the bytes`,
    async () => {
      await using server = await TestServer.start([...SMALL, "--transport", transport]);
      server.keys.withRegion((region) => region.data.fill(6));
      assertEquals((await runCommand(["ipcrm", "-S", `${server.keys.sem}`])).code, 0);
      assertEquals(await server.program.end(), { code: 1, signal: null });
      assertMatch(
        server.program.stderr,
        new RegExp(
          `dsm: server ${server.address} stopped serving: its semaphore set was removed \\(ipcrm.*; its bytes are still`,
        ),
      );
      assertEquals((await server.restart()).fields["start"], "taken-over");
      assertEquals(server.keys.withRegion((region) => region.data.every((byte) => byte === 6)), true);
      await server.program.stop();
      assertEquals(server.keys.leftovers(), []);
    },
  );
}

Deno.test("a semaphore set removed between two servers is made anew, and the bytes are there", async () => {
  await using server = await TestServer.start(SMALL);
  server.keys.withRegion((region) => region.data.fill(8));
  await server.program.kill();
  server.keys.withRegion((region) => removeSet(region.guards.id));
  assertEquals((await server.restart()).fields["start"], "taken-over");
  assertEquals(server.keys.withRegion((region) => region.data.every((byte) => byte === 8)), true);
  // and with the liveness set gone too
  await server.program.kill();
  removeSet(server.keys.liveness() ?? 0);
  assertEquals((await server.restart()).fields["start"], "taken-over");
  await server.program.stop();
  assertEquals(server.keys.leftovers(), []);
});

Deno.test("a segment removed between two servers: the next one is fresh, in spite of the old set", async () => {
  await using server = await TestServer.start(SMALL);
  await server.program.kill();
  removeSet(server.keys.liveness() ?? 0); // whose segment nobody can find it by afterwards
  removeSegment(findSegment(server.keys.shm) ?? 0);
  const { code, stderr } = await dsm([
    "server",
    `${server.port}`,
    `${server.keys.shm}`,
    `${server.keys.sem}`,
    ...SMALL,
  ]);
  // the set may be anybody's: it is named, with the way to remove it
  assertEquals(code, 1);
  assertMatch(stderr, new RegExp(`ipcrm -S ${server.keys.sem}`));
});

// ---- who cannot be reached

Deno.test("a config server that is not there: named, with what to do, exit status 1, soon", async () => {
  const port = freePort();
  await Promise.all([["read", "0", "5"], ["write", "0", "x"], ["info"], []].map(async (args) => {
    const from = performance.now();
    const { code, stdout, stderr } = await dsm(["client", ...args], { env: { DSM_CONFIG: `127.0.0.1:${port}` } });
    assertEquals([code, stdout], [1, ""], stderr);
    assertMatch(
      stderr,
      new RegExp(`^dsm: the config server 127\\.0\\.0\\.1:${port} does not answer.*dsm up.*--config`),
    );
    assert(performance.now() - from < 8_000);
  }));
});

Deno.test("something else on the config server's port is named as such", async () => {
  await using server = await TestServer.start(SMALL);
  const { code, stderr } = await dsm(["client", "read", "0", "5", "--config", server.address]);
  assertEquals(code, 1);
  assertMatch(stderr, new RegExp(`^dsm: .*${server.address}.*config`));
});

Deno.test("a server that is not there: its own range fails and names it, the others' go on", async () => {
  await using cluster = await TestCluster.start({ servers: 3 });
  const gone = cluster.server(1);
  await gone.program.kill();
  const { code, stdout, stderr } = await cluster.client(["read", "65536", "65546", "--timeout", "1s"]);
  assertEquals([code, stdout], [1, ""]);
  assertMatch(stderr, new RegExp(`^dsm: ${gone.address} cannot be reached: .*dsm status`));
  for (const at of [0, 2 * 65536]) {
    assertEquals((await cluster.client(["write", `${at}`, "fine"])).code, 0);
    assertEquals((await cluster.client(["read", `${at}`, `${at + 4}`])).stdout, "fine\n");
  }
});

Deno.test("ranges that are none: out of the space 1, mistakes 2, each with a line", async (t) => {
  await using cluster = await TestCluster.start({ servers: 2 });
  const end = 2 * 65536;
  const cases: [string[], number, RegExp][] = [
    [["read", "0", `${end + 1}`], 1, /cannot read 131073 bytes at 0: EINVAL; the space has 131072 bytes/],
    [["read", `${end}`, `${end + 1}`], 1, /EINVAL/],
    [["write", `${end - 2}`, "abc"], 1, /cannot write 3 bytes at 131070: EINVAL/],
    [["fill", "0", `${end + 1}`, "0"], 1, /EINVAL/],
    [["read", "9007199254740991", "9007199254740991"], 1, /EINVAL/],
    [["read", "10", "5"], 2, /start \(10\) is after the end \(5\)/],
    [["read", "-1", "5"], 2, /-1/],
    [["read", "0", "-5"], 2, /-5/],
    [["read", "x", "5"], 2, /whole number, not x/],
    [["read", "0", "1.5"], 2, /whole number, not 1\.5/],
    [["read", "0", "99999999999999999999"], 2, /whole number/],
    [["read", "0"], 2, /end/i],
    [["write", "0"], 2, /text/i],
    [["fill", "0", "5", "256"], 2, /from 0 to 255/],
    [["fill", "0", "5", "xy"], 2, /from 0 to 255/],
  ];
  for (const [args, status, says] of cases) {
    await t.step(args.join(" "), async () => {
      const { code, stdout, stderr } = await cluster.client(args);
      assertMatch(stderr, says);
      assertEquals([code, stdout], [status, ""]);
      assertEquals(stderr.trim().split("\n").length, 1, stderr);
    });
  }
  const { code, stdout } = await cluster.client(["read", `${end}`, `${end}`]);
  assertEquals([code, stdout], [0, "\n"]);
});
