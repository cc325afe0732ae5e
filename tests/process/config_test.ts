/** The config server: its file, its greeting, its watch over the servers, its reload. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { connect, SystemError } from "../../mod.ts";
import { dsm, ready, startDsm, TempDir, TestCluster, TestServer, writeConfig } from "../support/processes.ts";
import { until, within } from "../support/until.ts";

interface InfoRow {
  readonly server: string;
  readonly base: number;
  readonly size: number;
  readonly alive: boolean;
  readonly note: string;
}

/** What `dsm client info --json` says. */
async function info(cluster: TestCluster): Promise<InfoRow[]> {
  const { code, stdout, stderr } = await cluster.client(["info", "--json"]);
  assertEquals(code, 0, stderr);
  return (JSON.parse(stdout) as InfoRow[]).map(({ server, base, size, alive, note }) => ({
    server,
    base,
    size,
    alive,
    note,
  }));
}

Deno.test("appending a server and SIGHUP grow the space for a client that is connected already", async () => {
  await using cluster = await TestCluster.start({ servers: 2 });
  await using space = await connect({ config: cluster.address });
  const before = space.size;
  assertEquals(before, 2 * 65536);
  await using added = await TestServer.start(["--size", "32KiB"]);
  await assertRejects(() => space.write(before, new Uint8Array([1])), SystemError, "EINVAL");
  await writeConfig(cluster.configFile, [...cluster.servers, added].map((server) => server.address));
  cluster.config.signal("SIGHUP");
  await cluster.config.saysErr(/config read again: 1 more server/);
  // the client that was there all along: a write over the old end
  await until("the space to grow", async () => {
    await space.refresh();
    return space.size === before + 32768;
  });
  await space.write(before - 3, new TextEncoder().encode("across"));
  assertEquals(new TextDecoder().decode(await space.read(before - 3, 6)), "across");
});

Deno.test("a client finds out by itself that the space has grown", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  await using space = await connect({ config: cluster.address });
  await using added = await TestServer.start(["--size", "64KiB"]);
  await writeConfig(cluster.configFile, [cluster.server(0).address, added.address]);
  cluster.config.signal("SIGHUP");
  await cluster.config.saysErr(new RegExp(`${added.address} answers`));
  assertEquals(space.size, 65536);
  await space.write(65536, new TextEncoder().encode("new"));
  assertEquals(space.size, 131072);
});

const REFUSED: Record<string, (addresses: string[]) => string[]> = {
  "moving servers": ([a = "", b = ""]) => [b, a],
  "removing a server": ([a = ""]) => [a],
  "inserting a server": ([a = "", b = ""]) => [a, "127.0.0.1:1", b],
};

for (const [what, change] of Object.entries(REFUSED)) {
  Deno.test(`${what} is refused with a line, and everything stays as it was`, async () => {
    await using cluster = await TestCluster.start({ servers: 2 });
    const before = await info(cluster);
    await writeConfig(cluster.configFile, change(cluster.servers.map((server) => server.address)));
    cluster.config.signal("SIGHUP");
    await cluster.config.saysErr(/ERROR config: config not read again: .*config\.txt: refused: .*only append/);
    assertEquals(await info(cluster), before);
  });
}

Deno.test("a broken file on SIGHUP is refused with its line, and a mended one is taken", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  const [address] = cluster.servers.map((server) => server.address);
  await Deno.writeTextFile(cluster.configFile, `2\n${address}\n127.0.0.1:notaport\n`);
  cluster.config.signal("SIGHUP");
  await cluster.config.saysErr(/config not read again: .*config\.txt:3: /);
  await Deno.remove(cluster.configFile);
  cluster.config.signal("SIGHUP");
  await cluster.config.saysErr(/config not read again: .*no such file/);
  await writeConfig(cluster.configFile, [address ?? ""]);
  cluster.config.signal("SIGHUP");
  await cluster.config.saysErr(/nothing new/);
  assertEquals((await info(cluster)).length, 1);
});

for (const signal of ["SIGSTOP", "SIGKILL"] as const) {
  Deno.test(`${signal}: a server is known not to answer within 2 s, and to answer again afterwards`, async () => {
    await using cluster = await TestCluster.start({ servers: 2, args: ["--size", "64KiB", "--block-size", "4KiB"] });
    await using space = await connect({ config: cluster.address, attach: false });
    const server = cluster.server(1);
    const isAlive = async (): Promise<boolean> => {
      await space.refresh();
      return space.places[1]?.isAlive ?? false;
    };
    assert(await isAlive());
    const from = performance.now();
    server.program.signal(signal);
    await until("the server to be missed", async () => !await isAlive(), 10_000);
    const missedMs = performance.now() - from;
    assert(missedMs <= 2_000, `missed after ${Math.round(missedMs)} ms`);
    assertEquals(space.places[0]?.isAlive, true);
    assertMatch(space.places[1]?.reason ?? "", new RegExp(server.address));
    await cluster.config.saysErr(new RegExp(`${server.address} does not answer`));
    if (signal === "SIGSTOP") server.program.signal("SIGCONT");
    else {
      await server.program.end();
      await server.restart();
    }
    await until("the server to answer again", isAlive, 5_000);
  });
}

Deno.test("a server that comes back with another size is not let in, and why is said", async () => {
  await using cluster = await TestCluster.start({ servers: 2 });
  const server = cluster.server(0);
  await server.program.stop();
  await cluster.config.saysErr(new RegExp(`${server.address} does not answer`));
  await using other = startDsm(["server", `${server.port}`, "0", "0", "--size", "128KiB"]);
  await ready(other);
  const row = await until("the reason", async () => {
    return (await info(cluster)).find((each) => /instead of/.test(each.note));
  });
  assertEquals([row.alive, row.size], [false, 65536]);
  assertMatch(row.note, /128KiB instead of 64KiB.*--size 64KiB/);
  assertEquals((await info(cluster))[1]?.base, 65536);
});

Deno.test("a client connected before the config server was restarted goes on", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  await using space = await connect({ config: cluster.address });
  await space.write(0, new TextEncoder().encode("before"));
  await cluster.config.kill();
  assertEquals(new TextDecoder().decode(await space.read(0, 6)), "before");
  await cluster.restartConfig();
  await until("the layout to be known again", async () => {
    await space.refresh();
    return space.size === 65536;
  });
});

// ---- the greeting

async function readAll(connection: Deno.Conn): Promise<Uint8Array<ArrayBuffer>> {
  return await within("the end of the greeting", new Response(connection.readable).bytes(), 5_000);
}

Deno.test("the classic greeting is exact, and a client that stays silent is let go", async () => {
  await using dir = new TempDir();
  await Deno.writeTextFile(
    dir.file("config.txt"),
    "3 # three of them\n\n127.0.0.1:9734 shm=1 size=1MiB\nlocalhost:9736\n10.1.2.3:9738\n",
  );
  await using config = startDsm(["config", dir.file("config.txt"), "--port", "0"]);
  const { port } = await ready(config);
  const connection = await Deno.connect({ port });
  const bytes = await readAll(connection);
  const list = "127.0.0.1:9734;127.0.0.1:9736;10.1.2.3:9738;";
  const expected = new Uint8Array(8 + list.length);
  new DataView(expected.buffer).setUint32(0, 3);
  new DataView(expected.buffer).setUint32(4, list.length);
  expected.set(new TextEncoder().encode(list), 8);
  assertEquals(bytes, expected);
});

Deno.test("many silent clients are all let go", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  const greetings = await Promise.all(
    Array.from({ length: 50 }, async () => await readAll(await Deno.connect({ port: cluster.port }))),
  );
  assertEquals(new Set(greetings.map((bytes) => bytes.toHex())).size, 1);
});

Deno.test("a server without an IPv4 address makes the classic list empty, and natives see it all the same", async () => {
  await using dir = new TempDir();
  await Deno.writeTextFile(dir.file("config.txt"), "2\n127.0.0.1:9734\n[::1]:9736\n");
  await using config = startDsm(["config", dir.file("config.txt"), "--port", "0"]);
  const { port } = await ready(config);
  assertEquals(await readAll(await Deno.connect({ port })), new Uint8Array(8));
  const { code, stdout } = await dsm(["client", "info", "--json", "--config", `127.0.0.1:${port}`]);
  assertEquals(code, 0);
  assertEquals(JSON.parse(stdout).map((row: InfoRow) => row.server), ["127.0.0.1:9734", "[::1]:9736"]);
});

// ---- files that are wrong

const BAD_FILES: Record<string, { text: string; says: RegExp }> = {
  "an empty file": { text: "", says: /config\.txt: it is empty/ },
  "no count": { text: "127.0.0.1:9734\n", says: /config\.txt:1: .*number of servers/ },
  "a count that is too high": { text: "3\n127.0.0.1:1\n127.0.0.1:2\n", says: /config\.txt:1: .*promises 3.*names 2/ },
  "a count that is too low": {
    text: "# hi\n1\n127.0.0.1:1\n127.0.0.1:2\n",
    says: /config\.txt:2: .*promises 1.*names 2/,
  },
  "a line that is no address": { text: "1\n\nnonsense\n", says: /config\.txt:3: / },
  "a port out of range": { text: "1\n127.0.0.1:70000\n", says: /config\.txt:2: .*70000/ },
  "port 0": { text: "1\n127.0.0.1:0\n", says: /config\.txt:2: / },
  "an unknown extra": { text: "1\n127.0.0.1:1 shmm=3\n", says: /config\.txt:2: shmm=3 is not known.*shm=/ },
  "a bad extra": { text: "1\n127.0.0.1:1 size=big\n", says: /config\.txt:2: .*big/ },
  "the same server twice": { text: "2\n127.0.0.1:1\n127.0.0.1:1\n", says: /config\.txt:3: .*twice/ },
  "a count of 0": { text: "0\n", says: /config\.txt:1: / },
};

Deno.test("every mistake in config.txt is named with file and line, exit status 1", async (t) => {
  for (const [what, { text, says }] of Object.entries(BAD_FILES)) {
    await t.step(what, async () => {
      await using dir = new TempDir();
      await Deno.writeTextFile(dir.file("config.txt"), text);
      const { code, stdout, stderr } = await dsm(["config", "config.txt", "--port", "0"], { cwd: dir.path });
      assertMatch(stderr, says);
      assertEquals([code, stdout], [1, ""]);
      assertEquals(stderr.trim().split("\n").length, 1, stderr);
    });
  }
});

Deno.test("a config.txt that is missing is named, exit status 1", async () => {
  await using dir = new TempDir();
  const { code, stdout, stderr } = await dsm(["config", "--port", "0"], { cwd: dir.path });
  assertEquals([code, stdout], [1, ""]);
  assertMatch(stderr, /^dsm: config\.txt: there is no such file/);
  const folder = await dsm(["config", dir.path, "--port", "0"]);
  assertEquals(folder.code, 1);
  assertMatch(folder.stderr, /^dsm: .*directory/);
});
