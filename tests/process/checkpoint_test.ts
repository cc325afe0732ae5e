/** Checkpoints of a whole cluster: what is in them, who may die meanwhile, and that nobody waits. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { connect } from "../../mod.ts";
import { DsmError } from "../../lib/base/errors.ts";
import { parseEndpoint } from "../../lib/base/units.ts";
import { isComplete, listCheckpoints, openCheckpoint } from "../../lib/checkpoint/store.ts";
import { verify } from "../../lib/checkpoint/verify.ts";
import { FooterWord } from "../../lib/memory/layout.ts";
import { Channel } from "../../lib/net/channel.ts";
import { LoggedCluster, PHASES, spaceOf, startLogger } from "../support/loggers.ts";
import { dsm, Program, ROOT, startDsm, TempDir } from "../support/processes.ts";
import { until } from "../support/until.ts";

const text = (string: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(string);

/** What of a picture is left armed in the servers' footers: nothing, once whoever took it is done or gone. */
function armed({ cluster }: LoggedCluster): number[] {
  return cluster.servers.map(({ keys }) => keys.withRegion((region) => region.word(FooterWord.copying)) ?? -1);
}

Deno.test("up takes a checkpoint at start, and take another one with what was written; both are sound", async () => {
  await using dir = new TempDir();
  const env = { XDG_STATE_HOME: dir.path, NO_COLOR: "1" };
  const args = [
    "up",
    "--local",
    "3",
    "--port",
    "0",
    "--base-port",
    "0",
    "--size",
    "64KiB",
    "--keep",
    "2",
    "--dir",
    "here",
  ];
  await using up = startDsm(args, { cwd: dir.path, env });
  const [, config = ""] = await up.saysOut(/^ready up (\S+) servers=3/m);
  await up.saysErr(/\[logger:\d+\] .* checkpoint \d+ complete in .*: 3 servers, 192KiB looked at, 0B changed: /);
  const run = (...words: string[]) => dsm(words, { cwd: dir.path, env: { ...env, DSM_CONFIG: config } });
  for (const word of ["first", "second", "third"]) {
    await run("client", "write", "65530", `across ${word}`);
    const { code, stdout, stderr } = await run("checkpoint", "take");
    assertEquals([code, stderr], [0, ""]);
    assertMatch(stdout, /^\/.*\/here\/\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ-\d+\n$/);
    const space = await spaceOf(await openCheckpoint(stdout.trimEnd()));
    assertEquals(space.slice(65530, 65530 + 7 + word.length), text(`across ${word}`));
  }
  assertEquals((await run("checkpoint", "verify", "latest", "--dir", "here")).code, 0);
  const kept = await until("the oldest to be pruned", async () => {
    const listed = await listCheckpoints(dir.file("here"));
    return listed.length === 2 && listed;
  });
  assertEquals(kept.every(isComplete), true);
  assertEquals((await up.stop()).code, 0);
});

Deno.test("a logger of up that is killed is told of, and the command told starts it again", async () => {
  await using dir = new TempDir();
  const env = { XDG_STATE_HOME: dir.path, NO_COLOR: "1" };
  const args = ["up", "--local", "2", "--port", "0", "--base-port", "0", "--size", "64KiB"];
  await using up = startDsm(args, { cwd: dir.path, env });
  const [, config = ""] = await up.saysOut(/^ready up (\S+)/m);
  const take = () => dsm(["checkpoint", "take"], { cwd: dir.path, env: { DSM_CONFIG: config } });
  await up.saysErr(/checkpoint 2 complete/);
  const { children } = JSON.parse(await Deno.readTextFile(dir.file(`dsm/up-${parseEndpoint(config).port}.json`)));
  const loggers = children.filter(({ name }: { name: string }) => name.startsWith("logger:"));
  assertEquals(loggers.length, 2);
  Deno.kill(loggers[1].pid, "SIGKILL");
  const [, command = ""] = await up.saysErr(/killed by SIGKILL; start it again: dsm (logger 0 .*)/);
  const failed = await take();
  assertEquals([failed.code, failed.stdout], [1, ""]);
  assertMatch(
    failed.stderr,
    /no logger answers at 127\.0\.0\.1:\d+ for server 127\.0\.0\.1:\d+; start it there: dsm logger 0 /,
  );
  await using again = startDsm(command.split(" "));
  await again.saysOut(/^ready logger/m);
  assertEquals((await take()).code, 0);
});

Deno.test("take without a global logger says how one is started", async () => {
  await using logged = await LoggedCluster.start({ servers: 2 });
  const { code, stdout, stderr } = await dsm(["checkpoint", "take", "--config", logged.cluster.address]);
  assertEquals([code, stdout], [1, ""]);
  assertMatch(stderr, /start one there: dsm logger 1 PORT SHMKEY SEMKEY/);
});

Deno.test("only what has changed is gathered, and what the master died on is not lost to the next", async () => {
  await using logged = await LoggedCluster.start({ servers: 2, args: ["--size", "4MiB"] });
  await using client = await connect({ config: logged.cluster.address, attach: false });
  const size = 2 * 4 * 2 ** 20;
  const written = new Uint8Array(size);
  const write = async (offset: number, bytes: Uint8Array): Promise<void> => {
    await client.write(offset, bytes);
    written.set(bytes, offset);
  };
  await using master = logged.master();
  await write(0, new Uint8Array(size / 2 + 100_000).fill(1));
  const first = await master.take();
  assertEquals(first.changedSize, size / 2 + Math.ceil(100_000 / 4096) * 4096);
  await write(5_000_000, text("a few"));
  await write(1_000_000, text("bytes"));
  assertEquals((await master.take()).changedSize, 2 * 4096);
  assertEquals((await master.take()).changedSize, 0);
  await write(1_000_000, new Uint8Array(5));
  const last = await master.take();
  assertEquals(last.changedSize, 4096);
  assertEquals(await spaceOf(await openCheckpoint(last.directory)), written);
  // another master in another directory knows no picture, and gets all that is not zero
  await using other = logged.master({ directory: logged.cluster.dir.file("other") });
  const all = await other.take();
  assertEquals(all.changedSize, first.changedSize + 4096 - (5_000_000 < size / 2 + 100_000 ? 4096 : 0));
  assertEquals(await spaceOf(await openCheckpoint(all.directory)), written);
});

Deno.test("with --text there is a line per byte, and --keep prunes", async () => {
  await using logged = await LoggedCluster.start({
    servers: 2,
    args: ["--size", "10", "--block-size", "2", "--fill", "-"],
  });
  const { cluster } = logged;
  await cluster.client(["write", "8", "text"]);
  await logged.logger(0).stop();
  const directory = cluster.dir.file("texts");
  await using _master = await startLogger(cluster, 0, true, "--text", "--keep", "1", "--dir", directory);
  const take = () => dsm(["checkpoint", "take", "--config", cluster.address]);
  assertEquals([(await take()).code, (await take()).code], [0, 0]);
  const names = [...Deno.readDirSync(directory)].map(({ name }) => name).filter((name) => name.endsWith(".txt"));
  assertMatch(names[0] ?? "", /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.txt$/);
  const expected = [..."--------text--------"].map((char, i) => `${i}: ${char}\n`).join("");
  assertEquals(await Deno.readTextFile(`${directory}/${names[0]}`), expected);
  assertEquals((await listCheckpoints(directory)).length, 1);
});

Deno.test("a missing local logger fails the whole checkpoint by name, and the next one after its start succeeds", async () => {
  await using logged = await LoggedCluster.start();
  await using master = logged.master();
  await logged.logger(1).kill();
  const { port } = logged.cluster.server(1);
  const { message } = await master.fails();
  assertEquals(
    message,
    `no logger answers at 127.0.0.1:${port + 1} for server 127.0.0.1:${port}; start it there: ` +
      `dsm logger 0 ${port + 1} SHMKEY SEMKEY`,
  );
  assertEquals(master.lines, [`error: no checkpoint: ${message}`]);
  await logged.restartLogger(1);
  await master.take();
});

for (const phase of PHASES) {
  Deno.test(`a local logger killed at ${phase}: that checkpoint fails or was done with it, the next one succeeds`, async () => {
    await using logged = await LoggedCluster.start();
    await using client = await connect({ config: logged.cluster.address, attach: false });
    await client.write(65_536, text("second"));
    let isFirst = true;
    await using master = logged.master({
      onPhase: async (now) => {
        if (now !== phase || !isFirst) return;
        isFirst = false;
        await logged.logger(1).kill();
      },
    });
    const startMs = performance.now();
    const outcome = await master.logger.take().catch((error) => error);
    // with its connection the checkpoint is over: nobody waits for an answer that cannot come
    if (phase !== "survey" && phase !== "prepare") assert(performance.now() - startMs < 4_000);
    if (phase === "complete") assertEquals(await verify(outcome.directory), []);
    else {
      assert(outcome instanceof DsmError, `${outcome}`);
      assertMatch(outcome.message, new RegExp(`127\\.0\\.0\\.1:${logged.cluster.server(1).port}`));
      assertEquals(await listCheckpoints(master.logger.directory), []);
    }
    await client.write(65_536, text("SECOND"));
    await until("every server to be rid of it", () => armed(logged).every((epoch) => epoch === 0));
    await logged.restartLogger(1);
    const { directory } = await master.take();
    const space = await spaceOf(await openCheckpoint(directory));
    assertEquals(space.slice(65_536, 65_542), text("SECOND"));
  });

  Deno.test(`a server killed at ${phase}: its checkpoint is void or complete, and the next one is of the server that took over`, async () => {
    await using logged = await LoggedCluster.start();
    const server = logged.cluster.server(2);
    let isFirst = true;
    await using master = logged.master({
      onPhase: async (now) => {
        if (now !== phase || !isFirst) return;
        isFirst = false;
        await server.program.kill();
      },
    });
    const outcome = await master.logger.take().catch((error) => error);
    if (outcome instanceof DsmError) assertMatch(outcome.message, new RegExp(`127\\.0\\.0\\.1:${server.port}`));
    else assertEquals([phase, await verify(outcome.directory)], ["complete", []]);
    assertEquals((await server.restart()).fields["start"], "taken-over");
    await until("a checkpoint", () => master.take().then(() => true, () => false));
  });

  Deno.test(`a master killed at ${phase} leaves nothing that is in a new one's way`, async () => {
    await using logged = await LoggedCluster.start();
    await using dying = startMaster(logged, phase);
    await dying.saysOut(new RegExp(`^at ${phase}$`, "m"));
    await using client = await connect({ config: logged.cluster.address, attach: false });
    await client.write(0, text("nobody waits"));
    await dying.kill();
    await until("every server to be rid of it", () => armed(logged).every((epoch) => epoch === 0));
    await using master = logged.master();
    const { directory } = await master.take();
    assertEquals((await spaceOf(await openCheckpoint(directory))).slice(0, 12), text("nobody waits"));
    const left = [...Deno.readDirSync(master.logger.directory)].map(({ name }) => name).sort();
    assertEquals(left, [".epoch", directory.slice(directory.lastIndexOf("/") + 1)]);
  });
}

Deno.test("a server stopped in the middle of a picture: its logger lets go of the memory, and lives", async () => {
  await using logged = await LoggedCluster.start({ servers: 1 });
  const server = logged.cluster.server(0);
  let isFirst = true;
  await using master = logged.master({
    onPhase: async (phase) => {
      if (phase !== "gather" || !isFirst) return;
      isFirst = false;
      await server.program.stop();
      await logged.logger(0).saysErr(/is gone: .*waiting for it to come back/);
    },
  });
  await master.fails();
  assertEquals((await server.restart()).fields["start"], "fresh");
  await until("a checkpoint", () => master.take().then(() => true, () => false));
  assertEquals(logged.logger(0).hasExited, false);
});

function startMaster({ cluster }: LoggedCluster, phase: string): Program {
  const program = `${ROOT}tests/process/programs/master.ts`;
  const args = [cluster.address, cluster.dir.file("checkpoints"), phase];
  return new Program([Deno.execPath(), "run", "-A", "--no-check", program, ...args]);
}

Deno.test("two masters at once: each of their checkpoints is complete and sound, or refused by name", async () => {
  await using logged = await LoggedCluster.start();
  const directories = ["one", "two"].map((name) => logged.cluster.dir.file(name));
  const counts = await Promise.all(directories.map(async (directory) => {
    await using master = logged.master({ directory });
    let count = 0;
    await until("five checkpoints", async () => {
      const taken = await master.logger.take().catch((error: unknown) => error);
      if (!(taken instanceof DsmError)) count++;
      else assertMatch(taken.code, /^(EBUSY|ESTALE|ECANCELED)$/, taken.message);
      return count === 5;
    }, 30_000);
    return count;
  }));
  assertEquals(counts, [5, 5]);
  for (const directory of directories) {
    for (const { path } of await listCheckpoints(directory)) assertEquals(await verify(path), []);
  }
});

Deno.test("a master that stops between cut and release: classic clients wait a second at most, others not at all", async () => {
  await using logged = await LoggedCluster.start();
  const { cluster } = logged;
  await using dying = startMaster(logged, "release");
  await dying.saysOut(/^at release$/m);
  await using client = await connect({ config: cluster.address, attach: false });
  await using attached = await connect({ config: cluster.address });
  const startMs = performance.now();
  await client.write(0, text("native"));
  await attached.write(6, text("attached"));
  assert(performance.now() - startMs < 900, "they waited");
  const classic = await Deno.connect({ hostname: "127.0.0.1", port: cluster.server(0).port });
  const request = new Uint8Array([0x72, 0, 0, 0, 0, 0, 0, 0, 14]); // r 0 14
  const answer = new Uint8Array(14);
  try {
    await classic.write(request);
    for (let at = 0; at < answer.length;) at += await classic.read(answer.subarray(at)) ?? answer.length;
  } finally {
    classic.close();
  }
  const waitedMs = performance.now() - startMs;
  assertEquals(answer, text("nativeattached"));
  assert(waitedMs < 2_500, `a classic client waited ${waitedMs} ms`);
  await dying.write("go on\n");
  await dying.saysErr(/error: checkpoint \d+ abandoned: .*void/);
  await using master = logged.master();
  await until("a checkpoint", () => master.take().then(() => true, () => false));
});

Deno.test("while a connection has suspended the master, none is taken; one under way is abandoned", async () => {
  await using logged = await LoggedCluster.start({ servers: 1 });
  await logged.logger(0).stop();
  const { cluster } = logged;
  await using master = await startLogger(cluster, 0, true, "--dir", cluster.dir.file("checkpoints"));
  const take = () => dsm(["checkpoint", "take", "--config", cluster.address]);
  const channel = new Channel("127.0.0.1", cluster.server(0).port + 1, { incarnation: 0, epoch: 0 });
  try {
    await channel.request("suspend", {}, true);
    const refused = await take();
    assertEquals([refused.code, refused.stdout], [1, ""]);
    assertMatch(refused.stderr, /EBUSY: .*has asked for no checkpoint/);
  } finally {
    await channel.close();
  }
  await until("it to be resumed", async () => (await take()).code === 0);
  // a restore is who does so
  const suspensions = (): number => master.stderr.match(/no checkpoint is taken until /g)?.length ?? 0;
  assertEquals(suspensions(), 1);
  const restore = ["checkpoint", "restore", "latest", "--yes", "--dir", cluster.dir.file("checkpoints")];
  assertEquals((await dsm([...restore, "--config", cluster.address])).code, 0);
  await until("the master to say so", () => suspensions() === 2);
  assertEquals((await take()).code, 0);
});

Deno.test("a checkpoint asked for while one has cut is another one; before that it is the same", async () => {
  await using logged = await LoggedCluster.start({ servers: 1 });
  for (const [phase, isSame] of [["prepare", true], ["cut", false]] as const) {
    const { promise: isAt, resolve: arrive } = Promise.withResolvers<void>();
    const { promise: goOn, resolve: letGo } = Promise.withResolvers<void>();
    await using master = logged.master({
      onPhase: async (now) => {
        if (now !== phase) return;
        arrive();
        await goOn;
      },
    });
    const first = master.logger.take();
    await isAt;
    const second = master.logger.take();
    letGo();
    assertEquals((await first).epoch === (await second).epoch, isSame, phase);
  }
});

Deno.test("a previous checkpoint that is gone is not built on: that fails once, the next one is full", async () => {
  await using logged = await LoggedCluster.start({ servers: 1 });
  await using client = await connect({ config: logged.cluster.address, attach: false });
  await client.write(0, text("full"));
  await using master = logged.master();
  const { directory } = await master.take();
  await Deno.remove(`${directory}/server-0.img`);
  assertMatch((await master.fails()).message, /server-0\.img/);
  const full = await master.take();
  assertEquals(full.changedSize, 4096);
});
