/** Segments over real processes: the calls, what ends with a client, what a killed config server loses (nothing). */
import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import {
  connect,
  IPC_CREAT,
  IPC_EXCL,
  IPC_PRIVATE,
  IPC_RMID,
  IPC_SET,
  IPC_STAT,
  SHM_DEST,
  SHM_RDONLY,
} from "../../mod.ts";
import { DsmError, SystemError } from "../../mod.ts";
import type { Cluster, SegmentStatus } from "../../mod.ts";
import { dsm, Program, ROOT, TestCluster, testWhere, works } from "../support/processes.ts";
import { CuttingProxy } from "../support/cutting_proxy.ts";
import { concat, converse, frame, hello, writeAll } from "../support/frames.ts";
import { until } from "../support/until.ts";

const KEY = 0x5e6;
const KiB = 1024;
const encode = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

async function codeOf(call: () => Promise<unknown>): Promise<string> {
  return (await assertRejects(call, SystemError)).code;
}

async function statusOf(cluster: Cluster, id: number): Promise<SegmentStatus | undefined> {
  return (await cluster.segments.list()).find((each) => each.id === id);
}

/** A client in a process of its own that has `ids` attached. */
async function attachElsewhere(cluster: TestCluster, ...ids: number[]): Promise<Program> {
  const script = `${ROOT}tests/process/programs/attach_segment.ts`;
  const client = new Program([Deno.execPath(), "run", "-A", script, cluster.address, ...ids.map(String)]);
  await client.saysOut(/attached/);
  return client;
}

Deno.test("two clients share a segment over three servers; what is told of it is true", async () => {
  await using cluster = await TestCluster.start({ servers: 3 });
  await using one = await connect({ config: cluster.address });
  await using two = await connect({ config: cluster.address, attach: false });
  await one.fill(0, one.size, 0xee);
  const size = 150 * KiB;
  const id = await one.shmget(KEY, size, IPC_CREAT | 0o640);
  assertEquals(await two.shmget(KEY, 0, 0), id);
  await using own = await one.shmat(id);
  await using other = await two.shmat(id, SHM_RDONLY);
  assertEquals([own.size, own.isWritable, other.isWritable], [size, true, false]);
  assert((await own.read(0, size)).every((byte) => byte === 0), "a new segment is zeroed");
  assertEquals((await one.read(own.base + 152 * KiB, 1))[0], 0xee, "and what is beyond it is not");

  await own.write(64 * KiB - 3, encode("across"));
  assertEquals(decode(await other.read(64 * KiB - 3, 6)), "across");
  assertEquals(await own.fetchAdd(8, 5), 0);
  assertEquals(await own.compareExchange(8, 5, 9), 5);
  assertEquals((await other.read(8, 1))[0], 9);
  await own.fill(size - 4, 4, 7);
  assertEquals(await other.read(size - 4, 4), new Uint8Array([7, 7, 7, 7]));

  const { status } = await one.shmctl(id, IPC_STAT);
  assertEquals([status?.key, status?.size, status?.mode, status?.nattch], [KEY, size, 0o640, 2]);
  assertEquals([status?.cpid, status?.lpid, status?.uid], [Deno.pid, Deno.pid, Deno.uid()]);
  assertEquals(await one.segments.list(), [status]);
});

Deno.test("an attachment refuses what is beyond it, writing where it may only read, and everything once it is over", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  await using space = await connect({ config: cluster.address });
  const attached = await space.segments.create({ key: KEY, size: 100 });
  const readOnly = await space.segments.open(KEY, { isReadOnly: true });
  for (const [offset, size] of [[0, 101], [100, 1], [-1, 1], [0.5, 1], [0, -1]] as const) {
    assertEquals(await codeOf(() => attached.read(offset, size)), "EINVAL", `${offset}, ${size}`);
  }
  assertEquals(await codeOf(() => attached.write(97, new Uint8Array(4))), "EINVAL");
  assertEquals(await codeOf(() => attached.fetchAdd(96, 1n)), "EINVAL");
  assertEquals((await attached.read(100, 0)).length, 0);
  for (
    const write of [
      () => readOnly.write(0, new Uint8Array(1)),
      () => readOnly.fill(0, 1, 1),
      () => readOnly.fetchAdd(0, 1),
      () => readOnly.compareExchange(0, 0, 1),
    ]
  ) assertEquals(await codeOf(write), "EACCES");
  await space.shmdt(readOnly);
  assertEquals(await codeOf(() => readOnly.read(0, 1)), "EINVAL");
  assertEquals(await codeOf(() => space.shmdt(readOnly)), "EINVAL");
  assertEquals((await statusOf(space, attached.id))?.nattch, 1);
  await attached[Symbol.asyncDispose]();
  await attached[Symbol.asyncDispose]();
  assertEquals((await statusOf(space, attached.id))?.nattch, 0);
});

Deno.test("shmget, shmat and shmctl refuse as Linux does", async () => {
  await using cluster = await TestCluster.start({
    servers: 1,
    configArgs: ["--raw", "4KiB", "--shmmax", "32KiB", "--shmmni", "3", "--shmall", "12"],
  });
  await using space = await connect({ config: cluster.address });
  const refused: [string, () => Promise<unknown>][] = [
    ["ENOENT", () => space.shmget(KEY, 4096, 0o600)],
    ["EINVAL", () => space.shmget(KEY, 0, IPC_CREAT)],
    ["EINVAL", () => space.shmget(KEY, -1, IPC_CREAT)],
    ["EINVAL", () => space.shmget(KEY, 32 * KiB + 1, IPC_CREAT)],
    ["EINVAL", () => space.shmat(5)],
    ["EINVAL", () => space.shmat(-1)],
    ["EINVAL", () => space.shmctl(0, IPC_STAT)],
    ["EINVAL", () => space.shmctl(0, 99)],
    ["EFAULT", () => space.shmctl(0, IPC_SET)],
  ];
  for (const [code, call] of refused) assertEquals(await codeOf(call), code);
  const id = await space.shmget(KEY, 4096, IPC_CREAT | 0o600);
  assertEquals(await codeOf(() => space.shmget(KEY, 4096, IPC_CREAT | IPC_EXCL)), "EEXIST");
  assertEquals(await codeOf(() => space.shmget(KEY, 4097, 0)), "EINVAL");
  assertEquals((await statusOf(space, id))?.range.base, 4 * KiB, "above the low-water mark");
  await space.shmctl(id, IPC_SET, { uid: 7, gid: 8, mode: 0o604 });
  const status = await statusOf(space, id);
  assertEquals([status?.uid, status?.gid, status?.mode, status?.cuid], [7, 8, 0o604, Deno.uid()]);
  // SHMALL is 12 pages, of which one is taken; SHMMNI 3
  assertEquals(await codeOf(() => Promise.all([1, 2].map(() => space.shmget(IPC_PRIVATE, 24 * KiB, 0o600)))), "ENOSPC");
  await space.shmget(IPC_PRIVATE, 1, 0o600);
  assertEquals(await codeOf(() => space.shmget(IPC_PRIVATE, 1, 0o600)), "ENOSPC");
});

Deno.test("a space that is full is ENOMEM with a hint, and what is removed can be had again", async () => {
  await using cluster = await TestCluster.start({ servers: 2 });
  await using space = await connect({ config: cluster.address });
  const id = await space.shmget(KEY, 100 * KiB, IPC_CREAT | 0o600);
  const error = await assertRejects(() => space.shmget(IPC_PRIVATE, 64 * KiB, 0o600), SystemError);
  assertEquals([error.code, error.call], ["ENOMEM", "shmget"]);
  assertMatch(error.message, /28672 bytes free.*dsm ipcrm/);
  await space.shmctl(id, IPC_RMID);
  assertNotEquals(await space.shmget(IPC_PRIVATE, 128 * KiB, 0o600), id);
});

Deno.test("RMID while attached: no key, SHM_DEST, still readable, and gone with the last detach", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  await using space = await connect({ config: cluster.address });
  const attached = await space.segments.create({ key: KEY, size: 100 });
  await attached.write(0, encode("still here"));
  await space.shmctl(attached.id, IPC_RMID);
  const status = await statusOf(space, attached.id);
  assertEquals([status?.key, (status?.mode ?? 0) & SHM_DEST], [IPC_PRIVATE, SHM_DEST]);
  assertEquals(await codeOf(() => space.segments.open(KEY)), "ENOENT");
  assertEquals(decode(await attached.read(0, 10)), "still here");
  await space.shmdt(attached);
  assertEquals(await space.segments.list(), []);
});

Deno.test("kill -9 of an attached client: nattch falls within a second, and what was marked goes", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  await using space = await connect({ config: cluster.address });
  const kept = await space.shmget(KEY, 100, IPC_CREAT | 0o600);
  const marked = await space.shmget(IPC_PRIVATE, 100, 0o600);
  await using client = await attachElsewhere(cluster, kept, kept, marked);
  await space.shmctl(marked, IPC_RMID);
  assertEquals((await statusOf(space, kept))?.nattch, 2);
  assertEquals((await statusOf(space, marked))?.nattch, 1);
  client.signal("SIGKILL");
  await until("nattch to fall", async () => (await statusOf(space, kept))?.nattch === 0, 1_000);
  assertEquals((await statusOf(space, kept))?.lpid, client.pid);
  assertEquals(await statusOf(space, marked), undefined);
});

Deno.test("a config server that is killed and restarted has lost nothing, and who was attached still is", async () => {
  await using cluster = await TestCluster.start({ servers: 3 });
  await using space = await connect({ config: cluster.address });
  const attached = await space.segments.create({ key: KEY, size: 100 * KiB, mode: 0o644 });
  await attached.write(70_000, encode("kept"));
  const marked = await space.segments.create({ size: 1 });
  await space.shmctl(marked.id, IPC_RMID);
  const before = await space.segments.list();
  assertEquals(before.map(({ nattch }) => nattch), [1, 1]);

  for (const end of ["kill", "stop"] as const) {
    await cluster.config[end]();
    await cluster.restartConfig();
    assertEquals(await space.segments.list(), before, end);
    assertEquals(decode(await attached.read(70_000, 4)), "kept");
  }
  await space.shmdt(marked);
  await space.shmdt(attached);
  assertEquals((await space.segments.list()).map(({ nattch }) => nattch), [0]);
});

Deno.test("a client that died while the config server was down is detached once its time is over", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  await using space = await connect({ config: cluster.address });
  const id = await space.shmget(KEY, 100, IPC_CREAT | 0o600);
  await using client = await attachElsewhere(cluster, id);
  await cluster.config.kill();
  await client.kill();
  await cluster.restartConfig();
  assertEquals((await statusOf(space, id))?.nattch, 1);
  await until("it to be detached", async () => (await statusOf(space, id))?.nattch === 0, 15_000);
});

Deno.test("a config server killed in the middle of 1,000 creates: table and space agree afterwards", async () => {
  await using cluster = await TestCluster.start({ servers: 2, args: ["--size", "2MiB"] });
  await using space = await connect({ config: cluster.address });
  const told: number[] = [];
  const creates = Array.from({ length: 1_000 }, async (_, i) => {
    try {
      told.push(await space.shmget(1 + i, 4096, IPC_CREAT | 0o600));
    } catch (error) {
      if (!(error instanceof DsmError)) throw error; // killed under it: nobody knows
    }
  });
  await until("some to be made", () => told.length >= 400);
  await cluster.config.kill();
  await cluster.restartConfig();
  await Promise.all(creates);

  const listed = await space.segments.list();
  const missing = told.filter((id) => !listed.some((each) => each.id === id));
  assertEquals(missing, [], "every id that was told is in the table");
  // what is left of the space can be had, to the last block, once what was pending has gone
  const full = 2 * 512;
  let count = listed.length;
  await until("all of the space", async () => {
    try {
      await space.shmget(IPC_PRIVATE, 4096, 0o600);
      count++;
    } catch (error) {
      if (!(error instanceof SystemError) || error.code !== "ENOMEM") throw error;
    }
    return count === full;
  }, 30_000);
  const all = (await space.segments.list()).map(({ range }) => range.base).sort((a, b) => a - b);
  assertEquals(all, Array.from({ length: full }, (_, i) => i * 4096), "and no two have the same block");
});

Deno.test("what lay on memory that is gone is dropped, with its name in the log", async () => {
  await using cluster = await TestCluster.start({ servers: 2 });
  await using space = await connect({ config: cluster.address });
  const gone = await space.shmget(KEY, 64 * KiB, IPC_CREAT | 0o600);
  const kept = await space.shmget(KEY + 1, 64 * KiB, IPC_CREAT | 0o600);
  await cluster.server(0).program.stop(); // in order: its region goes
  await cluster.server(0).restart();
  await cluster.config.saysErr(/has other memory than before: dropped segment 0 \(key 0x000005e6\)/);
  assertEquals(await statusOf(space, gone), undefined);
  assertEquals((await statusOf(space, kept))?.id, kept);
});

Deno.test("a second config server on the same state is refused", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  const file = cluster.dir.file("config.sqlite");
  assertEquals((Deno.statSync(file).mode ?? 0) & 0o777, 0o600);
  const { code, stderr } = await dsm(["config", cluster.configFile, "--port", "0", "--state", file]);
  assertEquals(code, 1);
  assertMatch(stderr, /^dsm: cannot use the state in .*: EBUSY; another server has it/);
});

Deno.test("a call that comes again in a resumed session is answered once more, not carried out", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  await using space = await connect({ config: cluster.address });
  const first = await converse(cluster.port);
  const call = frame("shmget", 7, { key: IPC_PRIVATE, size: 1n, flags: 0o600, pid: 1 });
  await writeAll(first.connection, call);
  const { header: made } = await first.reader.frame();
  const second = await converse(cluster.port, first.welcome.token.slice());
  assertEquals(second.welcome, { ...first.welcome, resumed: true });
  await writeAll(second.connection, call);
  assertEquals((await second.reader.frame()).header, made);
  assertEquals((await space.segments.list()).length, 1);
  for (const { connection } of [first, second]) connection.close();
});

Deno.test("a connection that is cut ends its session: attachments say so and touch nothing any more", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  await using proxy = new CuttingProxy(cluster.port);
  await using space = await connect({ config: `127.0.0.1:${proxy.port}` });
  const attached = await space.segments.create({ key: KEY, size: 100 });
  proxy.cutAll();
  await until("the client to come back", () => !attached.isAttached);
  const error = await assertRejects(() => attached.write(0, new Uint8Array(1)), SystemError, "not attached any more");
  assertEquals(error.code, "EINVAL");
  assertEquals((await statusOf(space, attached.id))?.nattch, 0);
  await using again = await space.segments.open(KEY);
  await again.write(0, encode("again"));
  await attached[Symbol.asyncDispose]();
  assertEquals((await statusOf(space, again.id))?.nattch, 1);
});

const AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

testWhere(works(...AS_NOBODY, "true"), "setpriv as root", "the uid is the kernel's, whoever asks", async () => {
  await using cluster = await TestCluster.start({ servers: 1, configArgs: ["--open"] });
  await using space = await connect({ config: cluster.address });
  const id = await space.shmget(KEY, 100, IPC_CREAT | 0o600);
  // a shell, because others may not be allowed to read this directory
  const words = concat(
    hello(),
    frame("shmget", 1, { key: KEY + 1, size: 1n, flags: IPC_CREAT | 0o600, pid: 77 }),
    frame("shmat", 2, { id, flags: 0, pid: 77 }),
  );
  const text = [...words].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
  const script = `exec 3<>/dev/tcp/127.0.0.1/${cluster.port}; printf '${text}' >&3; exec cat <&3`;
  await using client = new Program([...AS_NOBODY, "bash", "-c", script]);
  await client.saysOut(/EACCES; segment/);
  const made = (await space.segments.list()).find(({ key }) => key === KEY + 1);
  assertEquals([made?.uid, made?.cuid, made?.cpid], [65534, 65534, 77]);
  assertEquals((await statusOf(space, id))?.nattch, 0);
  client.signal("SIGKILL");
});
