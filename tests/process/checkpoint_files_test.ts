/** Checkpoints as their users meet them: the commands, real clusters, full disks, killed writers. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { pause } from "../../lib/base/clock.ts";
import { SystemError } from "../../lib/base/errors.ts";
import { isComplete, listCheckpoints } from "../../lib/checkpoint/store.ts";
import type { Checkpoint } from "../../lib/checkpoint/store.ts";
import { verify } from "../../lib/checkpoint/verify.ts";
import { flipBit, requestOf, spaceOf, sparseMemory, writeFull, writeIncremental } from "../support/checkpoints.ts";
import type { Memory } from "../support/checkpoints.ts";
import { Draft } from "../../lib/checkpoint/draft.ts";
import {
  dsm,
  dsmCommand,
  have,
  Program,
  ROOT,
  runCommand,
  TempDir,
  TestCluster,
  testWhere,
} from "../support/processes.ts";
import type { Ran } from "../support/processes.ts";
import { startLogger } from "../support/loggers.ts";
import { mayMount, small, withMount } from "../support/mounts.ts";
import { until } from "../support/until.ts";
import { parseEndpoint } from "../../lib/base/units.ts";
import { NO_CREDENTIALS } from "../../lib/net/credentials.ts";
import { IPC_CREAT } from "../../lib/ipc/common/flags.ts";
import { principal, tableOf } from "../unit/ipc/segments/tables.ts";
import { suspendCheckpoints } from "../../lib/node/logger/suspend_checkpoints.ts";
import { seededTest } from "../support/seeded.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

/** Runs `dsm checkpoint …` on the checkpoints of `dir`. */
function checkpoint(dir: TempDir, args: readonly string[], config?: string): Promise<Ran> {
  return dsm(["checkpoint", ...args, "--dir", dir.path], config === undefined ? {} : { env: { DSM_CONFIG: config } });
}

/** The whole space of a cluster. */
async function spaceIn(cluster: TestCluster, size: number): Promise<Memory> {
  const { code, bytes, stderr } = await cluster.client(["read", "0", `${size}`, "--raw"]);
  assertEquals(code, 0, stderr);
  return bytes;
}

// ---- the commands

Deno.test("list, show, verify, diff, export, prune: what they print, and their exit statuses", async () => {
  await using dir = new TempDir();
  const before = [new Uint8Array(64 * KIB).fill(1), new Uint8Array(20).fill(2)];
  const after = before.map((memory) => memory.slice()) as [Memory, Memory];
  after[0].set([9, 9], 5000);
  const table = tableOf([{ size: 64 * KIB, blockSize: 4096 }]);
  const [ada, make] = [principal(1000, 100), (key: number) => {
    table.commit(table.shmget(principal(1000, 100), key, 5000, IPC_CREAT | 0o640, 1_700_000_000).id);
  }];
  [7, 8].forEach(make);
  const first = await writeFull(dir.path, { epoch: 1, memories: before, table: table.toPicture() });
  table.remove(ada, 0);
  table.set(ada, 1, { uid: 1001, gid: 100, mode: 0o600 }, 1_700_000_001);
  make(9);
  const picture = table.toPicture();
  const second = await writeIncremental(dir.path, { epoch: 2, memories: after, table: picture }, first, before);

  const list = await checkpoint(dir, ["list"]);
  assertEquals([list.code, list.stderr], [0, ""]);
  assertMatch(list.stdout, new RegExp(`^NAME.*\n${second.name}.*complete\n${first.name}.*complete\n$`));
  const [row] = JSON.parse((await checkpoint(dir, ["list", "--json"])).stdout);
  assertEquals([row.name, row.epoch, row.size, row.changedSize], [second.name, 2, 64 * KIB + 20, 4096]);
  assertEquals(row.segments, 2);
  assertMatch(row.time, /^2026-.*Z$/);

  const show = await checkpoint(dir, ["show"]);
  assertMatch(show.stdout, new RegExp(`epoch 2.*dsm.*\n.*built on ${first.name}\n`));
  assertMatch(show.stdout, /server-1\.img +10\.0\.0\.2:9734 .*hardlink/);
  assertMatch(show.stdout, /of 2 servers, 2 segments, built on/);
  assertEquals(JSON.parse((await checkpoint(dir, ["show", first.name, "--json"])).stdout).length, 2);
  const segments = await checkpoint(dir, ["show", first.name, "--segments"]);
  assertMatch(
    segments.stdout,
    /^ID +KEY +BASE +SIZE .*\n +0 +0x00000007 +0 +5000 +1000 +100 +0640\n +1 +0x00000008 +8192 /,
  );
  const [shown] = JSON.parse((await checkpoint(dir, ["show", first.name, "--segments", "--json"])).stdout);
  assertEquals([shown.id, shown.key, shown.perms, shown.ctime], [0, 7, "0640", "2023-11-14T22:13:20.000Z"]);

  const sound = await checkpoint(dir, ["verify"]);
  assertEquals([sound.code, sound.stdout], [0, ""]);
  assertMatch(sound.stderr, /is sound/);

  const diff = await checkpoint(dir, ["diff", first.name, "latest", "--json"]);
  assertEquals([diff.code, diff.stdout], [0, '[{"start":5000,"end":5002,"size":2}]\n']);
  assertMatch((await checkpoint(dir, ["diff", first.name, first.name])).stderr, /have the same bytes/);
  const changed = await checkpoint(dir, ["diff", first.name, "latest", "--segments", "--json"]);
  assertEquals(JSON.parse(changed.stdout).map(({ change, id, uid }: Record<string, unknown>) => [change, id, uid]), [
    ["removed", 0, 1000],
    ["changed", 1, 1001],
    ["added", 2, 1000],
  ]);
  assertMatch((await checkpoint(dir, ["diff", "latest", "latest", "--segments"])).stderr, /have the same segments/);

  assertEquals((await checkpoint(dir, ["export", "latest"])).bytes, spaceOf(after));
  assertEquals((await checkpoint(dir, ["export", first.name, dir.file("out")])).code, 0);
  assertEquals(await Deno.readFile(dir.file("out")), spaceOf(before));
  const { stdout: text } = await checkpoint(dir, ["export", "latest", "--text"]);
  assertEquals(text.slice(0, 10), "0: \x011: \x01".replaceAll("\x01", "\x01\n"));

  await flipBit(`${first.path}/server-0.img`, 8 * 4000);
  const damaged = await checkpoint(dir, ["verify", first.name]);
  assertEquals(damaged.code, 1);
  assertMatch(damaged.stdout, /10\.0\.0\.1:9734 +server-0\.img +0 +65536 /);
  const [finding] = JSON.parse((await checkpoint(dir, ["verify", first.name, "--json"])).stdout);
  assertEquals([finding.server, finding.file, finding.start, finding.end], ["10.0.0.1:9734", "server-0.img", 0, 65536]);

  const prune = await checkpoint(dir, ["prune", "--keep", "1", "--json"]);
  assertEquals(JSON.parse(prune.stdout).map(({ name }: Checkpoint) => name), [first.name]);
  assertEquals((await listCheckpoints(dir.path)).map(({ name }) => name), [second.name]);
});

Deno.test("mistakes: 2 for usage, 1 for what is not there, and what to do", async () => {
  await using dir = new TempDir();
  await writeFull(dir.path, { epoch: 1, memories: [new Uint8Array(4096)] });
  const cases: [string[], number, RegExp][] = [
    [["prune"], 2, /--keep/],
    [["prune", "--keep", "0"], 2, /--keep must be 1 or more/],
    [["diff", "latest"], 2, /after/i],
    [
      ["restore", "latest"],
      2,
      /overwrites the whole space of 127\.0\.0\.1:1 and its segments; .*confirm it with --yes/,
    ],
    [["restore"], 2, /name/i],
    [["show", "a/b"], 2, /is a path/],
    [["show", "none"], 1, /no checkpoint none in .*dsm checkpoint list/],
    [["restore", "latest", "--yes"], 1, /config server 127\.0\.0\.1:1 does not answer/],
  ];
  await Promise.all(cases.map(async ([args, status, says]) => {
    const { code, stdout, stderr } = await checkpoint(dir, args, "127.0.0.1:1");
    assertMatch(stderr, says);
    assertEquals([code, stdout, stderr.trim().split("\n").length], [status, "", 1], stderr);
  }));
  await using empty = new TempDir();
  const { code, stderr } = await checkpoint(empty, ["list"]);
  assertEquals(code, 0);
  assertMatch(stderr, /there is no checkpoint in .*--dir/);
});

// ---- restore

for (const [servers, size] of [[1, 1 * MIB], [2, 512 * KIB], [5, 256 * KIB]] as const) {
  seededTest(`restore onto ${servers} of 3 servers' checkpoint: the same space byte for byte`, async (random) => {
    await using dir = new TempDir();
    // odd sizes, holes, and nothing in the last part
    const memories = [sparseMemory(random, 300 * KIB), sparseMemory(random, 20), sparseMemory(random, 512 * KIB)];
    const space = spaceOf(memories);
    await writeFull(dir.path, { epoch: 1, memories: [...memories, new Uint8Array(8 * MIB)] });
    await using cluster = await TestCluster.start({ servers, args: ["--size", `${size}`, "--fill", "255"] });
    const { code, stderr } = await checkpoint(dir, ["restore", "latest", "--yes"], cluster.address);
    assertEquals(code, 0, stderr);
    const restored = await spaceIn(cluster, servers * size);
    assert(restored.every((byte, at) => byte === (space[at] ?? 0)), "the space is another one");
  });
}

Deno.test("restore writes nothing when the checkpoint is damaged; --previous takes the one before and says so", async () => {
  await using dir = new TempDir();
  await using cluster = await TestCluster.start({ servers: 2, args: ["--size", "64KiB", "--fill", "7"] });
  const older = [new Uint8Array(64 * KIB).fill(1), new Uint8Array(64 * KIB).fill(2)];
  const { name } = await writeFull(dir.path, { epoch: 1, memories: older });
  const newest = await writeFull(dir.path, {
    epoch: 2,
    memories: older.map((memory) => memory.map((byte) => byte + 2)),
  });
  await flipBit(`${newest.path}/server-1.img`, 8 * 60_000);

  const refused = await checkpoint(dir, ["restore", "latest", "--yes"], cluster.address);
  assertEquals(refused.code, 1);
  assertMatch(refused.stderr, /server-1\.img \(server 10\.0\.0\.2:9734\), bytes 0 to 65536: .*--previous/);
  assertEquals((await spaceIn(cluster, 128 * KIB)).every((byte) => byte === 7), true);

  const args = ["restore", "latest", "--yes", "--previous", "--json"];
  const fallen = await checkpoint(dir, args, cluster.address);
  assertEquals(fallen.code, 0, fallen.stderr);
  assertMatch(fallen.stderr, new RegExp(`${newest.name} is damaged: .*; trying the one before\n`));
  assertEquals(JSON.parse(fallen.stdout)[0].name, name);
  assertEquals(await spaceIn(cluster, 128 * KIB), spaceOf(older));
});

Deno.test("restore refuses a space that is too small, and a cluster of which a server is down", async () => {
  await using dir = new TempDir();
  await using cluster = await TestCluster.start({ servers: 2, args: ["--size", "64KiB", "--fill", "7"] });
  const memory = new Uint8Array(256 * KIB);
  memory[128 * KIB] = 1;
  await writeFull(dir.path, { epoch: 1, memories: [memory] });
  const large = await checkpoint(dir, ["restore", "latest", "--yes"], cluster.address);
  assertEquals(large.code, 1);
  assertMatch(large.stderr, /does not fit: its last byte in use is at 131072, and the space has 131072 bytes/);

  memory[128 * KIB] = 0;
  await writeFull(dir.path, { epoch: 2, memories: [memory] });
  await cluster.server(1).program.kill();
  const partial = await checkpoint(dir, ["restore", "latest", "--yes"], cluster.address);
  assertEquals(partial.code, 1);
  assertMatch(partial.stderr, new RegExp(`nothing was restored: ${cluster.server(1).address} .*would mix two times`));
  await cluster.server(1).restart();
  assertEquals((await spaceIn(cluster, 128 * KIB)).every((byte) => byte === 7), true);
});

testWhere(
  have("python3"),
  "no python3 for a terminal",
  "restore asks at a terminal, and only yes is a yes",
  async () => {
    await using dir = new TempDir();
    await using cluster = await TestCluster.start({ servers: 1, args: ["--size", "64KiB", "--fill", "7"] });
    await writeFull(dir.path, { epoch: 1, memories: [new Uint8Array(4096).fill(1)] });
    const restore = dsmCommand("checkpoint", "restore", "latest", "--dir", dir.path, "--config", cluster.address);
    const answer = async (text: string): Promise<[string, number | undefined]> => {
      const { stdout } = await runCommand(["python3", `${ROOT}tests/process/programs/terminal.py`, ...restore], {
        stdin: JSON.stringify([["expect", "[y/N]"], ["send", text]]),
      });
      return [/^ended: \d+$/m.exec(stdout)?.[0] ?? stdout, (await spaceIn(cluster, 1))[0]];
    };
    assertEquals(await answer("\n"), ["ended: 1", 7]);
    assertEquals(await answer("no\n"), ["ended: 1", 7]);
    assertEquals(await answer("yes\n"), ["ended: 0", 1]);
  },
);

Deno.test("while somebody restores, no checkpoint is taken; afterwards they are again", async () => {
  await using dir = new TempDir();
  await using cluster = await TestCluster.start({ servers: 1, withLoggerPorts: true });
  await using _ = await startLogger(cluster, 0, true, "--dir", dir.path);
  const take = (): Promise<Ran> => dsm(["checkpoint", "take", "--config", cluster.address]);
  {
    await using _ = await suspendCheckpoints(parseEndpoint(cluster.address), NO_CREDENTIALS);
    const { code, stderr } = await take();
    assertEquals(code, 1);
    assertMatch(stderr, /has asked for no checkpoint to be taken, as a restore does/);
  }
  const taken = await until("the master to hear of the end", async () => {
    const ran = await take();
    return ran.code === 0 && ran;
  });
  await cluster.client(["fill", "0", "65536", "9"]);
  const restored = await checkpoint(
    dir,
    ["restore", taken.stdout.trim().split("/").at(-1) ?? "", "-y"],
    cluster.address,
  );
  assertEquals(restored.code, 0, restored.stderr);
  assert((await spaceIn(cluster, 65536)).every((byte) => byte === 0));
  assertEquals((await take()).code, 0);
});

// ---- what goes wrong while one is written

testWhere(
  mayMount,
  "may not mount",
  "a full disk: an error that says what to do, no leftovers, and the older one",
  async () => {
    await withMount(small("1m"), async (dir) => {
      const memories = [new Uint8Array(256 * KIB).fill(1), new Uint8Array(4096).fill(2)];
      const first = await writeFull(dir.path, { epoch: 1, memories });
      const large = [new Uint8Array(2 * MIB).fill(1), new Uint8Array(4096)];
      const error = await assertRejects(() => writeFull(dir.path, { epoch: 2, memories: large }), SystemError);
      assertEquals(error.code, "ENOSPC");
      assertMatch(error.message, /cannot write .*server-0\.img: ENOSPC; .*dsm checkpoint prune --keep N/);
      // what is refused after a write was taken is thrown in the end
      const request = requestOf({ epoch: 2, memories: large });
      await using draft = await Draft.begin(dir.path, request);
      for (const server of large.keys()) await draft.startImage(server, false);
      await draft.write(0, 0, large[0] as Memory);
      await assertRejects(() => draft.complete(request.servers), SystemError, "server-0.img: ENOSPC");
      // the copy of a changed image does not fit either
      await Deno.writeFile(dir.file("ballast"), new Uint8Array(600 * KIB));
      const after = [(memories[0] as Memory).slice().fill(9, 0, 1), memories[1] as Memory];
      const incremental = writeIncremental(dir.path, { epoch: 3, memories: after }, first, memories);
      assertEquals((await assertRejects(() => incremental, SystemError)).code, "ENOSPC");
      const names = (await Array.fromAsync(Deno.readDir(dir.path), ({ name }) => name)).sort();
      assertEquals(names, [first.name, "ballast"].sort());
      assertEquals(await verify(first.path), []);
    });
  },
);

testWhere(
  mayMount && have("mkfs.ext4"),
  "may not mount, or no mkfs.ext4",
  "a disk that turns out to be full when it is synced: nothing is taken for complete, and the older one stays",
  async () => {
    // a file system that believes in 64 MiB, on a store that has 12: what does not fit is missed only when it is written out
    await withMount(
      small("12m"),
      async (store) => {
        await withMount(onDisk(store.file("disk"), true), async (dir) => {
          const first = await writeFull(dir.path, { epoch: 1, memories: [new Uint8Array(64 * KIB).fill(1)] });
          const large = [new Uint8Array(24 * MIB).fill(2)];
          const error = await assertRejects(() => writeFull(dir.path, { epoch: 2, memories: large }), SystemError);
          assertMatch(error.message, /cannot write .*server-0\.img: (ENOSPC|EIO); /);
          assertEquals((await listCheckpoints(dir.path)).map(({ name }) => name), [first.name]);
          assertEquals(await verify(first.path), []);
        });
      },
    );
  },
);

testWhere(
  mayMount && have("mkfs.ext4") && have("python3"),
  "may not mount, or no mkfs.ext4 or python3",
  "a disk that fails: EIO is said, and what was complete is there when it is back",
  async () => {
    await using store = new TempDir();
    const memories = [new Uint8Array(4 * MIB).fill(1)];
    let name = "";
    await withMount(onDisk(store.file("disk"), true), async (dir) => {
      name = (await writeFull(dir.path, { epoch: 1, memories })).name;
      const request = requestOf({ epoch: 2, memories });
      await using draft = await Draft.begin(dir.path, request);
      await draft.startImage(0, false);
      await draft.write(0, 0, new Uint8Array(MIB).fill(2));
      await failDisk(dir.path);
      const error = await assertRejects(() => draft.complete(request.servers), SystemError);
      assertEquals(error.code, "EIO");
      assertMatch(error.message, /cannot write .*server-0\.img: EIO; /);
    });
    await withMount(onDisk(store.file("disk"), false), async (dir) => {
      const listed = await listCheckpoints(dir.path);
      assertEquals(listed.map((each) => [each.name, isComplete(each)]), [[name, true]]);
      assertEquals(await verify(`${dir.path}/${name}`), []);
    });
  },
);

/** An ext4 of 64 MiB in `file`, mounted; made first if it `isNew`. */
function onDisk(file: string, isNew: boolean): (path: string) => string[][] {
  const make = [["truncate", "-s", "64M", file], ["mkfs.ext4", "-q", file]];
  return (path) => [...isNew ? make : [], ["mount", "-o", "loop", file, `${path}/mounted`]];
}

/** From now on everything that would reach the disk under `path` fails: EXT4_IOC_SHUTDOWN, without a last sync. */
async function failDisk(path: string): Promise<void> {
  const program = "import fcntl, os, struct, sys\n" +
    "fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";
  const { success, stderr } = await new Deno.Command("python3", { args: ["-c", program, path] }).output();
  assert(success, new TextDecoder().decode(stderr));
}

/** A file system in a file, mounted. */
const inFile = (make: string) => (path: string): string[][] => [
  ["truncate", "-s", "320M", `${path}/image`],
  [make, ...make === "mkfs.xfs" ? ["-q", "-m", "reflink=1"] : ["-q"], `${path}/image`],
  ["mount", "-o", "loop", `${path}/image`, `${path}/mounted`],
];

for (const make of ["mkfs.btrfs", "mkfs.xfs"]) {
  const isThere = mayMount && have(make);
  testWhere(isThere, `no ${make}, or may not mount`, `${make}: what did not change is shared, by reflink`, async () => {
    await withMount(inFile(make), async (dir) => {
      const before = [new Uint8Array(4 * MIB).fill(1), new Uint8Array(4096).fill(2)];
      const first = await writeFull(dir.path, { epoch: 1, memories: before });
      const after = [(before[0] as Memory).slice().fill(9, 0, 1), before[1] as Memory];
      const second = await writeIncremental(dir.path, { epoch: 2, memories: after }, first, before);
      assertEquals(second.manifest.servers.map(({ method }) => method), ["reflink", "hardlink"]);
      for (const { path } of [first, second]) assertEquals(await verify(path), []);
      assertEquals(await Deno.readFile(`${first.path}/server-0.img`), before[0]);
      assertEquals(await Deno.readFile(`${second.path}/server-0.img`), after[0]);
    });
  });
}

/** Writes checkpoints into `dir` until it is killed. */
const WRITER = `${ROOT}tests/process/programs/write_checkpoints.ts`;
const SELF_KILLS = 60;

/** Sees that every checkpoint in `dir` is complete and sound, and that what was `written` last is among them. */
async function assertComplete(dir: TempDir, written: number): Promise<void> {
  const listed = await listCheckpoints(dir.path);
  for (const each of listed) {
    assert(isComplete(each), "reason" in each ? each.reason : "");
    assertEquals(await verify(each.path), []);
  }
  const [newest] = listed.filter(isComplete);
  assert((newest?.manifest.epoch ?? 0) >= written, `${written} was written, ${newest?.manifest.epoch} is there`);
}

/** The last epoch that a writer said it has written. */
function lastWritten({ stdout }: { readonly stdout: string }): number {
  return Number(stdout.trim().split(" ").at(-1) ?? 0);
}

Deno.test("a writer that is killed before any call to the file system leaves complete checkpoints only", async () => {
  const kill = async (calls: number): Promise<void> => {
    await using dir = new TempDir();
    await using writer = new Program([Deno.execPath(), "run", "-A", WRITER, dir.path, `${calls}`]);
    assertEquals((await writer.end()).signal, "SIGKILL", writer.stderr);
    await assertComplete(dir, lastWritten(writer));
    // the next one goes on from there, and cleans up
    const request = requestOf({ epoch: 1_000_000, memories: [new Uint8Array(4096)] });
    await using _ = await Draft.begin(dir.path, request);
    const names = await Array.fromAsync(Deno.readDir(dir.path), ({ name }) => name);
    assertEquals(names.filter((name) => name.startsWith(".")).length, 1, `its own only: ${names.join(" ")}`);
  };
  // a few at a time: each is a process
  for (let calls = 0; calls < SELF_KILLS; calls += 6) {
    await Promise.all(Array.from({ length: 6 }, (_, index) => kill(calls + index)));
  }
});

seededTest("a writer that is killed at any moment leaves complete checkpoints only", async (random) => {
  await using dir = new TempDir();
  for (let times = 0; times < 6; times++) {
    await using writer = new Program([Deno.execPath(), "run", "-A", WRITER, dir.path]);
    await writer.saysOut(/written/);
    await pause(random.below(40)); // any moment will do: what must hold, holds at each
    await writer.kill();
    await assertComplete(dir, lastWritten(writer));
  }
});

Deno.test("without FFI checkpoints are written and verified all the same", async () => {
  await using dir = new TempDir();
  await using writer = new Program([Deno.execPath(), "run", "-A", "--deny-ffi", WRITER, dir.path]);
  await writer.saysOut(/written 3/);
  await writer.kill();
  await assertComplete(dir, 3);
  const [newest] = (await listCheckpoints(dir.path)).filter(isComplete);
  assertEquals(newest?.manifest.servers.map(({ method }) => method), ["copy", "copy", "hardlink"]);
});
