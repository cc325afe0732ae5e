/** The table of segments in checkpoints of real clusters: what is carried, what restoring brings back, who may die meanwhile. */
import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { connect, IPC_CREAT, IPC_PRIVATE, IPC_RMID, SystemError } from "../../mod.ts";
import type { Cluster, SegmentStatus } from "../../mod.ts";
import { parseEndpoint } from "../../lib/base/units.ts";
import { openCheckpoint } from "../../lib/checkpoint/store.ts";
import { EMPTY_TABLE } from "../../lib/ipc/segments/segment_rows.ts";
import type { TableRows } from "../../lib/ipc/segments/segment_rows.ts";
import { HeldTable } from "../../lib/node/logger/held_table.ts";
import { LoggedCluster } from "../support/loggers.ts";
import { dsm, ready, startDsm, TempDir, TestServer, writeConfig } from "../support/processes.ts";
import type { Ran, TestCluster } from "../support/processes.ts";
import { until } from "../support/until.ts";

const KEY = 0x7ab1e;
const KiB = 1024;
const encode = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

async function codeOf(call: () => Promise<unknown>): Promise<string> {
  return (await assertRejects(call, SystemError)).code;
}

/** What a checkpoint carries of segments: all but who has them attached. */
function carried(segments: readonly SegmentStatus[]): unknown[] {
  return segments.map(({ nattch: _, ...segment }) => segment);
}

/** The same of the rows of a manifest. */
function carriedRows({ segments }: TableRows): unknown[] {
  return segments.map(({ base, rangeSize, lockerUid: _, state: __, ...segment }) => {
    return { ...segment, range: { base, size: rangeSize } };
  });
}

function restoreInto(cluster: TestCluster, dir: string, ...options: string[]): Promise<Ran> {
  return dsm(["checkpoint", "restore", "latest", "--yes", "--dir", dir, "--config", cluster.address, ...options]);
}

/** A checkpoint of three servers of 64 KiB with two segments and one that is marked, and what the table was. */
async function makeCheckpoint(dir: string): Promise<SegmentStatus[]> {
  await using logged = await LoggedCluster.start();
  await using space = await connect({ config: logged.cluster.address });
  await using master = logged.master({ directory: dir });
  await space.shmget(KEY + 9, 1, IPC_CREAT | 0o600);
  await space.shmctl(0, IPC_RMID); // so that ids do not begin at 0
  await using wide = await space.segments.create({ key: KEY, size: 100 * KiB, mode: 0o640 });
  await wide.write(65_530, encode("across"));
  const small = await space.segments.create({ size: 10 });
  await small.write(0, encode("small"));
  await using marked = await space.segments.create({ key: KEY + 1, size: 1 });
  await space.shmctl(marked.id, IPC_RMID);
  await space.shmdt(small);
  await master.take();
  return (await space.segments.list()).filter(({ id }) => id !== marked.id);
}

/** Whether the segments of `makeCheckpoint` are there, under their ids and with their bytes. */
async function assertRestored(space: Cluster, listed: readonly SegmentStatus[]): Promise<void> {
  const now = await space.segments.list();
  assertEquals(carried(now), carried(listed));
  assertEquals(now.map(({ nattch }) => nattch), [0, 0]);
  await using wide = await space.segments.open(KEY);
  assertEquals(decode(await wide.read(65_530, 6)), "across");
  await using small = await space.shmat(listed[1]?.id ?? -1);
  assertEquals(decode(await small.read(0, 10)), "small\0\0\0\0\0");
  assertEquals(await codeOf(() => space.segments.open(KEY + 1)), "ENOENT");
  // ids go on after those that there were, the one of the marked one included
  assertEquals(await space.shmget(IPC_PRIVATE, 1, 0o600), 4);
}

Deno.test("a checkpoint carries the table; restored into the running cluster ids, keys, owners and bytes are as they were", async () => {
  await using logged = await LoggedCluster.start();
  const { cluster } = logged;
  await using space = await connect({ config: cluster.address });
  await using master = logged.master();
  await using kept = await space.segments.create({ key: KEY, size: 100 * KiB, mode: 0o604 });
  await kept.write(0, encode("as it was"));
  const gone = await space.shmget(KEY + 1, 1, IPC_CREAT | 0o600);
  const { directory } = await master.take();
  const then = await space.segments.list();
  const { table } = (await openCheckpoint(directory)).manifest;
  assertEquals(carriedRows(table), carried(then));
  assertEquals([table.sequence, table.lastIndex], [0, gone]);

  await space.shmctl(gone, IPC_RMID);
  await using later = await space.segments.create({ key: KEY + 2, size: 64 * KiB });
  await later.write(0, new Uint8Array(64 * KiB).fill(9));
  await kept.write(0, encode("another"));

  const { code, stderr, stdout } = await restoreInto(cluster, master.logger.directory, "--json");
  assertEquals(code, 0, stderr);
  assertMatch(stderr, /, 2 segments\n$/);
  assertEquals(JSON.parse(stdout)[0].segmentCount, 2);
  await cluster.config.saysErr(/127\.0\.0\.1:\d+ has restored the table: 2 segments; 1 session\(s\) ended/);
  await until("the client to hear of it", () => !kept.isAttached && !later.isAttached);
  const now = await space.segments.list();
  assertEquals(carried(now), carried(then));
  assertEquals(now.map(({ nattch }) => nattch), [0, 0]);
  assertEquals(await codeOf(() => later.write(0, new Uint8Array(1))), "EINVAL");
  await using again = await space.segments.open(KEY);
  assertEquals(decode(await again.read(0, 9)), "as it was");
  assertEquals(await codeOf(() => space.segments.open(KEY + 2)), "ENOENT");
  assertNotEquals(await space.shmget(IPC_PRIVATE, 1, 0o600), later.id, "an id told since is nobody else's");

  await cluster.config.kill();
  await cluster.restartConfig();
  assertEquals((await space.segments.list()).slice(0, 2).map(({ id, key }) => [id, key]), [[kept.id, KEY], [
    gone,
    KEY + 1,
  ]]);
});

Deno.test("up --restore brings the table back with the bytes, of however many servers", async () => {
  await using dir = new TempDir();
  const listed = await makeCheckpoint(dir.file("checkpoints"));
  const options = ["--port", "0", "--base-port", "0", "--size", "192KiB", "--restore", "latest", "--no-logger"];
  await using up = startDsm(["up", "--local", "1", ...options], { cwd: dir.path, env: { XDG_STATE_HOME: dir.path } });
  const { host, port } = await ready(up);
  assertMatch(up.stderr, /^restored checkpoints\/.* in use, 2 segments$/m);
  {
    await using space = await connect({ config: `${host}:${port}` });
    await assertRestored(space, listed);
  }
  assertEquals((await up.stop()).code, 0);
});

Deno.test("server by server, a config server begins with the table; one that has a table of its own refuses", async () => {
  await using dir = new TempDir();
  const listed = await makeCheckpoint(dir.file("checkpoints"));
  const from = ["--restore", "latest", "--dir", dir.file("checkpoints")];
  const servers: TestServer[] = [];
  try {
    for (const image of [0, 1, 2]) {
      servers.push(await TestServer.start(["--size", "64KiB", ...from, "--image", `${image}`]));
    }
    await writeConfig(dir.file("config.txt"), servers.map(({ address }) => address));
    const args = ["config", dir.file("config.txt"), "--port", "0", "--state", dir.file("state.sqlite")];
    await using config = startDsm([...args, ...from]);
    const { host, port } = await ready(config);
    await config.saysErr(/restored 2 segments of /);
    await using space = await connect({ config: `${host}:${port}` });
    await assertRestored(space, listed);
    await config.stop();
    const refused = await dsm([...args, ...from]);
    assertEquals([refused.code, refused.stdout], [1, ""]);
    assertMatch(refused.stderr, /has a table of 3 segments, .*start without --restore to go on with it, or .*--state/);
    await using again = startDsm([...args.with(3, `${port}`)]);
    await ready(again);
    assertEquals((await space.segments.list()).length, 3);
  } finally {
    await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
  }
});

Deno.test("a segment that does not fit the space is refused before anything is written, by the config server too", async () => {
  await using dir = new TempDir();
  await makeCheckpoint(dir.path);
  await using logged = await LoggedCluster.start({ servers: 1 });
  const { cluster } = logged;
  await cluster.client(["write", "0", "here"]);
  const { code, stderr } = await restoreInto(cluster, dir.path);
  assertEquals(code, 1);
  assertMatch(stderr, /does not fit/);
  assertEquals((await cluster.client(["read", "0", "4"])).stdout, "here\n");

  await using held = await HeldTable.hold(parseEndpoint(cluster.address));
  const { table } =
    (await openCheckpoint(`${dir.path}/${Deno.readDirSync(dir.path).find(isCheckpoint)?.name}`)).manifest;
  const error = await assertRejects(() => held.replace(table), SystemError);
  assertEquals(error.code, "ENOMEM");
  assertMatch(error.message, /restore segment \d+ at 0, 102400 bytes.*the space has 65536/);
});

function isCheckpoint({ name }: Deno.DirEntry): boolean {
  return !name.startsWith(".") && !name.startsWith("epoch");
}

Deno.test("while somebody holds the table calls wait, one who waits too long is told, and a second holder is refused", async () => {
  await using logged = await LoggedCluster.start({ servers: 1 });
  const config = parseEndpoint(logged.cluster.address);
  await using space = await connect({ config: logged.cluster.address });
  {
    await using _held = await HeldTable.hold(config);
    assertEquals(await codeOf(() => HeldTable.hold(config)), "EBUSY");
    assertEquals(await codeOf(() => space.shmget(KEY, 1, IPC_CREAT | 0o600)), "EAGAIN");
  }
  await using held = await until("the first hold to end with its connection", () => {
    return HeldTable.hold(config).catch((error) => error.code === "EBUSY" ? undefined : Promise.reject(error));
  });
  const waiting = space.shmget(KEY, 1, IPC_CREAT | 0o600).then((id) => ({ id, atMs: performance.now() }));
  await using other = await connect({ config: logged.cluster.address }); // whatever else is asked is answered
  assertEquals(other.size, 64 * KiB);
  const replacedMs = performance.now();
  await held.replace(EMPTY_TABLE);
  const { id, atMs } = await waiting;
  assertEquals(id, 0);
  assert(atMs >= replacedMs, "it was answered while the table was held");
});
