/** `--restore` of `dsm server` and `dsm up`: memory that begins with a checkpoint. */
import { assertEquals, assertMatch } from "@std/assert";
import { freePortPair } from "../../lib/launch/free_ports.ts";
import { LoggedCluster } from "../support/loggers.ts";
import { dsm, Keys, ready, startDsm, TempDir, TestServer } from "../support/processes.ts";

/** A checkpoint of three servers of 64 KiB in `dir`, with a word across the first two and one at the very end. */
async function makeCheckpoint(dir: string): Promise<string[]> {
  await using logged = await LoggedCluster.start();
  await logged.cluster.client(["write", "65533", "across"]);
  await logged.cluster.client(["write", "196605", "end"]);
  await using master = logged.master({ directory: dir });
  await master.take();
  return logged.cluster.servers.map(({ address }) => address);
}

Deno.test("a server takes the image of its own address, or the one it is told, and its bytes are there", async () => {
  await using dir = new TempDir();
  const [, second = ""] = await makeCheckpoint(dir.path);
  const from = ["--size", "64KiB", "--restore", "latest", "--dir", dir.path];
  const firstBytes = (server: TestServer): string | undefined => {
    return server.keys.withRegion(({ data }) => new TextDecoder().decode(data.slice(0, 3)));
  };
  await using own = await TestServer.start([...from, "--fill", "x"], Number(second.split(":")[1]));
  assertEquals([own.ready.fields["start"], firstBytes(own)], ["restored", "oss"]);
  assertEquals(own.keys.withRegion(({ data }) => data[100]), 0);
  await using told = await TestServer.start([...from, "--image", "1"]);
  assertEquals([told.ready.fields["start"], firstBytes(told)], ["restored", "oss"]);
  const none = await dsm(["server", `${freePortPair("127.0.0.1")}`, "0", "0", ...from]);
  assertEquals([none.code, none.stdout], [1, ""]);
  assertMatch(none.stderr, /has no image of 127\.0\.0\.1:\d+; give one of 0 .*1 .*2 .* by --image/);
});

Deno.test("bytes that a dead server left are not overwritten; an image that is damaged or too large is refused", async () => {
  await using dir = new TempDir();
  await makeCheckpoint(dir.path);
  using keys = new Keys();
  const start = (...args: string[]): string[] => ["server", "0", `${keys.shm}`, `${keys.sem}`, ...args];
  const restored = (size: string, image: string): string[] => {
    return start("--size", size, "--restore", "latest", "--dir", dir.path, "--image", image);
  };
  {
    await using server = startDsm(start("--size", "64KiB", "--fill", "7"));
    await ready(server);
    await server.kill();
  }
  const refused = await dsm(restored("64KiB", "0"));
  assertEquals([refused.code, refused.stdout], [1, ""]);
  assertMatch(refused.stderr, new RegExp(`would overwrite them: .*ipcrm -M ${keys.shm}`));
  assertEquals(keys.withRegion(({ data }) => data.every((byte) => byte === 7)), true);
  keys[Symbol.dispose]();
  const large = await dsm(restored("4KiB", "0"));
  assertMatch(large.stderr, /does not fit: its last byte in use is at 65535; start with --size 64KiB/);
  assertEquals([large.code, keys.leftovers()], [1, []]);
  const [name = ""] = [...Deno.readDirSync(dir.path)].map((entry) => entry.name).filter((each) =>
    !each.startsWith(".")
  );
  using file = await Deno.open(`${dir.path}/${name}/server-2.img`, { write: true });
  await file.write(new Uint8Array([1]));
  const damaged = await dsm(restored("64KiB", "2"));
  assertMatch(damaged.stderr, /is damaged: .*server-2\.img.*bytes 0 to 65536/);
  assertEquals([damaged.code, keys.leftovers()], [1, []]);
});

for (const [count, size] of [[1, "192KiB"], [2, "128KiB"], [5, "64KiB"]] as const) {
  Deno.test(`up begins ${count} servers of ${size} with a checkpoint of three of 64KiB`, async () => {
    await using dir = new TempDir();
    await makeCheckpoint(dir.file("checkpoints"));
    const env = { XDG_STATE_HOME: dir.path, NO_COLOR: "1" };
    const args = [
      "up",
      "--local",
      `${count}`,
      "--port",
      "0",
      "--base-port",
      "0",
      "--size",
      size,
      "--restore",
      "latest",
    ];
    await using up = startDsm(args, { cwd: dir.path, env });
    const { host, port } = await ready(up);
    assertMatch(up.stderr, /^restored checkpoints\/.*: 192KiB in use$/m);
    const client = (...words: string[]) => dsm(["client", ...words, "--config", `${host}:${port}`]);
    assertEquals((await client("read", "65533", "65539")).stdout, "across\n");
    assertEquals((await client("read", "196605", "196608")).stdout, "end\n");
    assertEquals((await up.stop()).code, 0);
  });
}

Deno.test("up refuses to restore over memory that is there, and leaves it; a checkpoint that does not fit ends it", async () => {
  await using dir = new TempDir();
  await makeCheckpoint(dir.file("checkpoints"));
  await using server = await TestServer.start(["--size", "64KiB", "--fill", "7"], freePortPair("127.0.0.1"));
  const { keys, port } = server;
  await server.program.kill();
  await Deno.writeTextFile(dir.file("config.txt"), `1\n127.0.0.1:${port} shm=${keys.shm} sem=${keys.sem} size=64KiB\n`);
  const options = { cwd: dir.path, env: { XDG_STATE_HOME: dir.path } };
  const refused = await dsm(["up", "--port", "0", "--restore", "latest"], options);
  assertEquals([refused.code, refused.stdout], [1, ""]);
  assertMatch(refused.stderr, new RegExp(`ipcrm -M ${keys.shm}`));
  assertEquals(keys.withRegion(({ data }) => data.every((byte) => byte === 7)), true);
  keys[Symbol.dispose]();
  const small = await dsm(["up", "--port", "0", "--restore", "latest"], options);
  assertEquals([small.code, small.stdout], [1, ""]);
  assertMatch(small.stderr, /does not fit/);
  assertEquals(keys.leftovers(), []);
});
