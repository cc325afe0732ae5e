/**
 * Checkpoints under load, and what they cost. The loggers run at nice 19; the load is an open loop of 64-byte writes at a
 * fixed rate, in rounds with checkpoints and control rounds without, in turns.
 */
import { Channel } from "../lib/net/channel.ts";
import type { Fields } from "../lib/wire/messages.ts";
import { connect } from "../mod.ts";
import { isInstalled, startDsmConfig, startDsmLogger, startDsmServer, startRedis } from "./harness/peers.ts";
import type { DsmServer, Peer } from "./harness/peers.ts";
import { pinned, placements } from "./harness/pin.ts";
import { numberOf, runForNumbers } from "./harness/processes.ts";
import { announce, type Bench, benchMain } from "./harness/program.ts";
import { pairedRow, type Row, soloRow, type Subject, type Target, type Unit } from "./harness/report.ts";
import { interleave } from "./harness/rounds.ts";

const MIB = 2 ** 20;
const REGION_SIZE = 256 * MIB;
const LARGE_SIZE = 1024 * MIB;
const BLOCK_SIZE = 4096;
const WRITES_PER_SECOND = 10_000;
const RUN_LIMIT_MS = 120_000;
const TAKE_LIMIT_MS = 120_000;
const SAMPLE_MS = 5;
/** How long a round of load lasts. */
const SECONDS_PER_ROUND = 6;
/** How often checkpoints are taken under load. */
interface Pace {
  readonly pace: string;
  readonly periodMs: number;
  readonly hasTarget: boolean;
}

/** How often checkpoints are taken under load: as in use, and without a pause between them. */
const PACES: readonly Pace[] = [
  { pace: "every 2 s", periodMs: 2_000, hasTarget: true },
  { pace: "one after the other", periodMs: 0, hasTarget: false },
];
/** Shares of the region that have changed before an incremental checkpoint. */
const CHANGED_PERCENTS = [0.1, 1, 10, 100];

function subjectOf(name: string, unit: Unit, target?: Target): Subject {
  return { bench: "checkpoint", name, unit, ...target === undefined ? {} : { target } };
}

const atMost = (of: Target["of"], value: number): Target => ({ of, bound: "at most", value });
const atLeast = (of: Target["of"], value: number): Target => ({ of, bound: "at least", value });

/** A server whose region is filled with bytes, its config server, and its logger, which is the master. */
interface Scene extends AsyncDisposable {
  /** Bytes of its region. */
  readonly size: number;
  readonly server: DsmServer;
  readonly config: Peer;
  /** Takes a checkpoint and returns what the master says of it. */
  take(): Promise<Fields<"taken">>;
  /** The same, with nothing to build it on. */
  takeFull(): Promise<Fields<"taken">>;
}

async function setUp(bench: Bench, size: number): Promise<Scene> {
  const placement = placements().at(-1);
  if (placement === undefined) throw new Error("no CPU is allowed");
  const stack = new AsyncDisposableStack();
  const server = stack.use(await startDsmServer(bench.directory, placement.server, `${size}`));
  const config = stack.use(await startDsmConfig(bench.directory, placement.server, [server]));
  await using cluster = await connect({ config: `${config.host}:${config.port}`, attach: true });
  for (let at = 0; at < size; at += MIB) await cluster.write(at, randomBytes(MIB));
  const directory = await Deno.makeTempDir({ dir: bench.directory, prefix: "checkpoints-" });
  const logger = stack.use(await startDsmLogger(server, config, directory));
  const channel = stack.use(new Channel(logger.host, logger.port, { incarnation: 0, epoch: 0 }));
  const take = async (): Promise<Fields<"taken">> => {
    const { header } = await channel.request("take", {}, false, { timeoutMs: TAKE_LIMIT_MS });
    const taken = header.fields as Fields<"taken">;
    await removeOlder(directory, taken.directory);
    return taken;
  };
  const takeFull = async (): Promise<Fields<"taken">> => {
    await removeOlder(directory, "");
    // what is missing is found out by the next one, which fails; the one after it is full
    await channel.request("take", {}, false, { timeoutMs: TAKE_LIMIT_MS }).catch(() => {});
    const taken = await take();
    if (Number(taken.changedSize) < size) throw new Error(`a full checkpoint of ${taken.changedSize} bytes`);
    return taken;
  };
  await take(); // the first one is a full one, and the base of all others
  return { size, server, config, take, takeFull, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

function randomBytes(size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  return bytes;
}

async function removeOlder(directory: string, newest: string): Promise<void> {
  for await (const { name, isDirectory } of Deno.readDir(directory)) {
    const path = `${directory}/${name}`;
    if (isDirectory && path !== newest && !name.startsWith(".")) await Deno.remove(path, { recursive: true });
  }
}

/** One round of load; `meanwhile` is called again and again until it is over. */
async function underLoad(
  load: () => Promise<Record<string, number>>,
  meanwhile?: () => Promise<void>,
): Promise<Record<string, number>> {
  let isOver = false;
  const loading = load().finally(() => isOver = true);
  while (meanwhile && !isOver) await meanwhile();
  return await loading;
}

const maximum = (runs: readonly Record<string, number>[], name: string): number => {
  return Math.max(...runs.map((run) => numberOf(run, name)));
};

/** The pauses that checkpoints bring, on 256 MiB. */
function benchPauses(bench: Bench, scene: Scene): Promise<Row[]> {
  return measurePauses(bench, scene, PACES, async () => {});
}

/** The same on 1 GiB, with nothing of any file in the page cache when a round begins (where root may say so). */
async function benchLarge(bench: Bench): Promise<Row[]> {
  await using scene = await setUp(bench, LARGE_SIZE);
  return await measurePauses(bench, scene, [{ pace: "every 6 s", periodMs: 6_000, hasTarget: true }], dropCaches);
}

async function dropCaches(): Promise<void> {
  try {
    await Deno.writeTextFile("/proc/sys/vm/drop_caches", "1");
  } catch (error) {
    if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
  }
}

async function measurePauses(
  bench: Bench,
  scene: Scene,
  paces: readonly Pace[],
  beforeEach: () => Promise<void>,
): Promise<Row[]> {
  const placement = placements().at(-1);
  if (placement === undefined) return [];
  const { settings, programs } = bench;
  const { server, config } = scene;
  const seconds = settings.quick ? settings.seconds : SECONDS_PER_ROUND;
  const words = [server.port, 4, 256, "write", 64, seconds].map(String);
  const generator = [programs.loadGenerator, "native", server.host, ...words];
  const options = ["--rate", WRITES_PER_SECOND, "--region", scene.size, "--no-check"].map(String);
  const attached = new URL("peers/attached_open_loop.ts", import.meta.url).pathname;
  const attachedWords = [config.host, config.port, scene.size, WRITES_PER_SECOND, seconds].map(String);
  const loads = {
    "over TCP": [...generator, ...options],
    attached: [Deno.execPath(), "run", "-A", "--no-lock", attached, ...attachedWords],
  };
  const rows: Row[] = [];
  for (const [name, command] of Object.entries(loads)) {
    for (const { pace, periodMs, hasTarget } of paces) {
      announce("checkpoint", `writes ${name}, checkpoints ${pace}`);
      const taken: Fields<"taken">[] = [];
      const run = async (): Promise<Record<string, number>> => {
        await beforeEach();
        return await runForNumbers(pinned(placement.load, command), RUN_LIMIT_MS);
      };
      const takeOne = async (): Promise<void> => {
        const nextMs = performance.now() + periodMs;
        taken.push(await scene.take());
        await new Promise((resolve) => setTimeout(resolve, nextMs - performance.now()));
      };
      const { ours, peer } = await interleave(settings.rounds, () => underLoad(run, takeOne), () => underLoad(run));
      const p99 = ours.map((each, i) => numberOf(each, "p99Us") - numberOf(peer[i] as Record<string, number>, "p99Us"));
      const longest = maximum(ours, "maxUs") - maximum(peer, "maxUs");
      const label = `${scene.size / MIB} MiB, write 64 B ${name}, ${WRITES_PER_SECOND}/s, checkpoints ${pace}`;
      const subject = (what: string, unit: Unit, target: Target): Subject => {
        return subjectOf(`${label}: ${what}`, unit, hasTarget ? target : undefined);
      };
      rows.push(
        soloRow(subject("p99 above the control's", "us", atMost("ours", 1000)), p99),
        soloRow(subject("longest above the control's longest", "us", atMost("ours", 5000)), [longest]),
        soloRow(subjectOf(`${label}: control's longest`, "us"), peer.map((each) => numberOf(each, "maxUs"))),
        pairedRow(
          subject("a checkpoint's time, against its best without load", "us", atMost("ratio", 2)),
          await againstBest(scene, taken),
        ),
      );
    }
  }
  return rows;
}

/** The times of checkpoints under load, beside the best of some that find as many blocks changed and nobody at work. */
async function againstBest(
  scene: Scene,
  taken: readonly Fields<"taken">[],
): Promise<{ ours: number[]; peer: number[] }> {
  const { config } = scene;
  await using cluster = await connect({ config: `${config.host}:${config.port}`, attach: true });
  await cluster.read(0, 1);
  const changedSize = taken.reduce((sum, each) => sum + Number(each.changedSize), 0) / taken.length;
  const times = await repeat(5, async () => {
    await changeBlocks(cluster, scene.size, 100 * changedSize / scene.size);
    return Number((await scene.take()).durationMs) * 1000;
  });
  const best = Math.min(...times);
  return { ours: taken.map(({ durationMs }) => Number(durationMs) * 1000), peer: taken.map(() => best) };
}

async function repeat<T>(count: number, run: () => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  for (let i = 0; i < count; i++) results.push(await run());
  return results;
}

/** Bytes of every shared memory segment on this host that have memory behind them. */
function sharedResidentSize(): number {
  const [head = "", ...lines] = Deno.readTextFileSync("/proc/sysvipc/shm").trimEnd().split("\n");
  const column = head.trim().split(/\s+/).indexOf("rss");
  return lines.reduce((sum, line) => sum + Number(line.trim().split(/\s+/)[column]), 0);
}

async function benchMemoryAndChanges(bench: Bench, scene: Scene): Promise<Row[]> {
  const { config } = scene;
  await using cluster = await connect({ config: `${config.host}:${config.port}`, attach: true });
  await cluster.read(0, 1);
  const rows: Row[] = [];
  await scene.take(); // what was written before is nobody's change
  for (const percent of CHANGED_PERCENTS) {
    announce("checkpoint", `${percent} % changed`);
    const results = await repeat(bench.settings.quick ? 1 : 3, async () => {
      const changed = await changeBlocks(cluster, REGION_SIZE, percent);
      const { changedSize, durationMs } = await scene.take();
      return { changed, sent: Number(changedSize), ms: Number(durationMs) };
    });
    const label = `256 MiB, ${percent} % of the blocks changed`;
    rows.push(
      pairedRow(subjectOf(`${label}: bytes sent and written, against those changed`, "B", atMost("ratio", 1.1)), {
        ours: results.map(({ sent }) => sent),
        peer: results.map(({ changed }) => changed),
      }),
      soloRow(subjectOf(`${label}: time`, "us"), results.map(({ ms }) => ms * 1000)),
    );
  }
  announce("checkpoint", "nothing changed; memory while writers go on");
  const idle = await repeat(3, async () => REGION_SIZE / (Number((await scene.take()).durationMs) / 1000));
  rows.push(
    soloRow(subjectOf("256 MiB, nothing changed: looked at, everything included", "B/s", atLeast("ours", 2e9)), idle),
  );
  rows.push(pairedRow(
    subjectOf("extra memory, against the blocks written meanwhile", "B", atMost("ratio", 1)),
    await sampleMemory(scene, cluster),
  ));
  return rows;
}

async function changeBlocks(
  cluster: Awaited<ReturnType<typeof connect>>,
  size: number,
  percent: number,
): Promise<number> {
  const blockCount = size / BLOCK_SIZE;
  const wanted = Math.round(blockCount * percent / 100);
  const blocks = new Set<number>();
  if (percent === 100) { for (let block = 0; block < blockCount; block++) blocks.add(block); }
  while (blocks.size < wanted) blocks.add(Math.floor(Math.random() * blockCount));
  for (const block of blocks) await cluster.write(block * BLOCK_SIZE, crypto.getRandomValues(new Uint8Array(64)));
  return blocks.size * BLOCK_SIZE;
}

/** The most memory that a checkpoint added at any moment, beside the blocks that were written while it ran. */
async function sampleMemory(
  scene: Scene,
  cluster: Awaited<ReturnType<typeof connect>>,
): Promise<{ ours: number[]; peer: number[] }> {
  const pairs = { ours: [] as number[], peer: [] as number[] };
  for (let round = 0; round < 3; round++) {
    const before = sharedResidentSize();
    const blocks = new Set<number>();
    let isOver = false;
    let most = 0;
    const sampler = setInterval(() => most = Math.max(most, sharedResidentSize() - before), SAMPLE_MS);
    const taking = scene.take().finally(() => isOver = true);
    while (!isOver) {
      const block = Math.floor(Math.random() * REGION_SIZE / BLOCK_SIZE);
      blocks.add(block);
      await cluster.write(block * BLOCK_SIZE, crypto.getRandomValues(new Uint8Array(64)));
    }
    await taking;
    clearInterval(sampler);
    pairs.ours.push(most);
    pairs.peer.push(blocks.size * BLOCK_SIZE);
  }
  return pairs;
}

/** Full checkpoints, each by a logger that knows nothing yet, beside dd of as many bytes to the same disk. */
async function benchFull(bench: Bench, scene: Scene): Promise<Row[]> {
  announce("checkpoint", "full, beside dd conv=fsync");
  const full = async (): Promise<number> => REGION_SIZE / (Number((await scene.takeFull()).durationMs) / 1000);
  const subject = subjectOf("256 MiB full, against dd conv=fsync", "B/s", atLeast("ratio", 0.8));
  return [pairedRow(subject, await interleave(bench.settings.rounds, full, () => writeWithDd(bench.directory)))];
}

async function writeWithDd(directory: string): Promise<number> {
  const file = `${directory}/dd`;
  const args = ["if=/dev/urandom", `of=${file}.source`, "bs=1M", `count=${REGION_SIZE / MIB}`];
  if (!await exists(`${file}.source`)) await runQuietly("dd", args);
  const startMs = performance.now();
  await runQuietly("dd", [`if=${file}.source`, `of=${file}`, "bs=1M", "conv=fsync"]);
  const seconds = (performance.now() - startMs) / 1000;
  await Deno.remove(file);
  return REGION_SIZE / seconds;
}

async function runQuietly(program: string, args: readonly string[]): Promise<void> {
  const { success } = await new Deno.Command(program, { args: [...args], stdout: "null", stderr: "null" }).output();
  if (!success) throw new Error(`${program} ${args.join(" ")} failed`);
}

function exists(path: string): Promise<boolean> {
  return Deno.stat(path).then(() => true, () => false);
}

/** Redis with as many bytes under the same load: how long its fork stops it, and what its copies take. */
async function benchRedis(bench: Bench): Promise<Row[]> {
  const placement = placements().at(-1);
  const subjects = {
    fork: subjectOf("Redis BGSAVE of 256 MiB: its fork", "us"),
    longest: subjectOf("Redis BGSAVE of 256 MiB: longest write at 10,000/s above the control's longest", "us"),
    copies: subjectOf("Redis BGSAVE of 256 MiB: memory copied meanwhile", "B"),
  };
  if (placement === undefined) return [];
  if (!await isInstalled("redis-server")) {
    return Object.values(subjects).map((subject) => ({ ...subject, note: "redis-server is missing" }));
  }
  announce("checkpoint", "Redis BGSAVE");
  const { settings, programs, directory } = bench;
  await using redis = await startRedis(directory, placement.server);
  const words = [redis.port, 4, 256, "write", 64, settings.seconds].map(String);
  const command = [programs.loadGenerator, "redis", redis.host, ...words, "--region", `${REGION_SIZE}`];
  const load = (...options: string[]) => runForNumbers(pinned(placement.load, [...command, ...options]), RUN_LIMIT_MS);
  await load(); // fills it
  const rate = ["--rate", `${WRITES_PER_SECOND}`, "--filled"];
  const forks: number[] = [];
  const copies: number[] = [];
  const { ours, peer } = await interleave(
    settings.rounds,
    () =>
      underLoad(() => load(...rate), async () => {
        await redisCommand(redis, "BGSAVE");
        while (await redisInfo(redis, "rdb_bgsave_in_progress") === 1) {
          await new Promise((done) => setTimeout(done, 10));
        }
        forks.push(await redisInfo(redis, "latest_fork_usec"));
        copies.push(await redisInfo(redis, "rdb_last_cow_size"));
      }),
    () => underLoad(() => load(...rate)),
  );
  return [
    soloRow(subjects.fork, forks),
    soloRow(subjects.longest, [maximum(ours, "maxUs") - maximum(peer, "maxUs")]),
    soloRow(subjects.copies, copies),
  ];
}

/** One inline command, and its whole answer as far as it comes at once. */
async function redisCommand(redis: Peer, command: string): Promise<string> {
  using connection = await Deno.connect({ hostname: redis.host, port: redis.port });
  await connection.write(new TextEncoder().encode(`${command}\r\n`));
  const answer = new Uint8Array(64 * 1024);
  return new TextDecoder().decode(answer.subarray(0, await connection.read(answer) ?? 0));
}

async function redisInfo(redis: Peer, field: string): Promise<number> {
  return Number(new RegExp(`^${field}:(\\d+)`, "m").exec(await redisCommand(redis, "INFO"))?.[1]);
}

/** What there is to measure, in groups that `--only` chooses from: `checkpoint: full`. */
const GROUPS: Record<string, (bench: Bench, scene: Scene) => Promise<Row[]>> = {
  pauses: benchPauses,
  changes: benchMemoryAndChanges,
  full: benchFull,
  Redis: benchRedis,
  large: benchLarge,
};

/** The rows of the groups that are wanted. */
export async function benchCheckpoint(bench: Bench): Promise<Row[]> {
  const wanted = Object.entries(GROUPS).filter(([name]) => bench.settings.only.test(`checkpoint: ${name}`));
  if (wanted.length === 0) return [];
  await using scene = await setUp(bench, REGION_SIZE);
  const rows: Row[] = [];
  for (const [, measure] of wanted) rows.push(...await measure(bench, scene));
  return rows;
}

if (import.meta.main) await benchMain([benchCheckpoint]);
