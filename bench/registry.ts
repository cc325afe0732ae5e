/**
 * dsm's registry against Redis, each asked by a promise client in Deno: messages of 64 bytes sent and received, both stored
 * (Redis with appendonly everysec, the registry with its write-ahead log), and names asked for, which has no peer here.
 */
import { isInstalled, startDsmRegistry, startRedis } from "./harness/peers.ts";
import type { Peer } from "./harness/peers.ts";
import { pinned, type Placement, placements } from "./harness/pin.ts";
import { ExitError, numberOf, runForNumbers } from "./harness/processes.ts";
import { announce, type Bench, benchMain } from "./harness/program.ts";
import { pairedRow, type Row, soloRow, type Subject } from "./harness/report.ts";
import { interleave } from "./harness/rounds.ts";

const SIZE = 64;
/** The load programs expect it; nothing here has a region. */
const REGION_SIZE = 64 * 2 ** 20;
/** The exit status by which peers/ioredis.ts says so. */
const IOREDIS_MISSING = 3;
const RUN_LIMIT_MS = 120_000;

interface Case {
  readonly inFlight: number;
  readonly field: "opsPerSecond" | "p50Us";
  readonly ours: string;
  /** The peer's program; undefined where there is none. */
  readonly peer: string | undefined;
  readonly subject: Subject;
}

function casesOf(placement: Placement): Case[] {
  const bench = "registry";
  const queue = { ours: "dsm_queue_client.ts", peer: "ioredis_queue_client.ts" };
  const names = { ours: "dsm_name_client.ts", peer: undefined };
  const least = { of: "ratio", bound: "at least", value: 1 } as const;
  const most = { of: "ratio", bound: "at most", value: 1 } as const;
  return [
    {
      ...queue,
      inFlight: 64,
      field: "opsPerSecond",
      subject: { bench, name: `64 messages in flight, ${placement.name}`, unit: "ops/s", target: least },
    },
    {
      ...queue,
      inFlight: 1,
      field: "p50Us",
      subject: { bench, name: `1 message in flight, p50, ${placement.name}`, unit: "us", target: most },
    },
    {
      ...names,
      inFlight: 64,
      field: "opsPerSecond",
      subject: { bench, name: `64 names asked for, ${placement.name}`, unit: "ops/s" },
    },
    { ...names, inFlight: 1, field: "p50Us", subject: { bench, name: `1 name, p50, ${placement.name}`, unit: "us" } },
  ];
}

function runClient(placement: Placement, program: string, peer: Peer, inFlight: number, seconds: number) {
  const path = new URL(`peers/${program}`, import.meta.url).pathname;
  const words = [peer.host, peer.port, inFlight, seconds, SIZE, REGION_SIZE].map(String);
  const command = [Deno.execPath(), "run", "-A", "--no-lock", path, ...words];
  return runForNumbers(pinned(placement.load, command), RUN_LIMIT_MS + seconds * 1000);
}

/** Why Redis cannot be measured, or undefined when it can. */
async function whyNoPeer(placement: Placement, redis: Peer | undefined): Promise<string | undefined> {
  if (redis === undefined) return "redis-server is missing";
  try {
    await runClient(placement, "ioredis_queue_client.ts", redis, 1, 0.1);
    return undefined;
  } catch (error) {
    if (!(error instanceof ExitError) || error.status !== IOREDIS_MISSING) throw error;
    console.error(error.message);
    return "ioredis is missing";
  }
}

async function benchPlacement(bench: Bench, placement: Placement): Promise<Row[]> {
  const cases = casesOf(placement).filter(({ subject }) => bench.settings.only.test(`registry: ${subject.name}`));
  if (cases.length === 0) return [];
  const { directory, settings } = bench;
  await using redis = await isInstalled("redis-server")
    ? await startRedis(directory, placement.server, ["--appendonly", "yes", "--appendfsync", "everysec"])
    : undefined;
  await using dsm = await startDsmRegistry(directory, placement.server);
  const missing = await whyNoPeer(placement, redis);
  const rows: Row[] = [];
  for (const { inFlight, field, subject, ours: program, peer: other } of cases) {
    announce(subject.bench, subject.name);
    const run = async (name: string, peer: Peer): Promise<number> =>
      numberOf(await runClient(placement, name, peer, inFlight, settings.seconds), field);
    const ours = (): Promise<number> => run(program, dsm);
    if (other !== undefined && redis !== undefined && missing === undefined) {
      rows.push(pairedRow(subject, await interleave(settings.rounds, ours, () => run(other, redis))));
      continue;
    }
    const alone: number[] = [];
    for (let round = 0; round < settings.rounds; round++) alone.push(await ours());
    const note = other === undefined ? "no peer" : missing;
    rows.push({ ...soloRow(subject, alone), ...note === undefined ? {} : { note } });
  }
  return rows;
}

/** The rows of both placements. */
export async function benchRegistry(bench: Bench): Promise<Row[]> {
  const rows: Row[] = [];
  for (const placement of placements()) rows.push(...await benchPlacement(bench, placement));
  return rows;
}

if (import.meta.main) await benchMain([benchRegistry]);
