/**
 * dsm's promise client against ioredis, both in Deno, each with its own server: 64-byte reads at random offsets. Client and
 * server run on one CPU, and on two.
 */
import { isInstalled, type Peer, startDsmConfig, startDsmServer, startRedis } from "./harness/peers.ts";
import { pinned, type Placement, placements } from "./harness/pin.ts";
import { ExitError, numberOf, runForNumbers } from "./harness/processes.ts";
import { announce, type Bench, benchMain } from "./harness/program.ts";
import { pairedRow, type Row, soloRow, type Subject } from "./harness/report.ts";
import { interleave } from "./harness/rounds.ts";

const REGION_SIZE = 64 * 2 ** 20;
const SIZE = 64;
/** The exit status by which peers/ioredis_client.ts says so. */
const IOREDIS_MISSING = 3;
const RUN_LIMIT_MS = 120_000;

interface Case {
  readonly inFlight: number;
  readonly field: "opsPerSecond" | "p50Us";
  readonly subject: Subject;
}

function casesOf(placement: Placement): Case[] {
  const bench = "client";
  return [
    {
      inFlight: 64,
      field: "opsPerSecond",
      subject: {
        bench,
        name: `64 in flight, read ${SIZE} B, ${placement.name}`,
        unit: "ops/s",
        target: { of: "ratio", bound: "at least", value: 3 },
      },
    },
    {
      inFlight: 1,
      field: "p50Us",
      subject: { bench, name: `1 in flight, read ${SIZE} B, p50, ${placement.name}`, unit: "us" },
    },
  ];
}

function runClient(placement: Placement, program: string, peer: Peer, inFlight: number, seconds: number) {
  const path = new URL(`peers/${program}`, import.meta.url).pathname;
  const words = [peer.host, peer.port, inFlight, seconds, SIZE, REGION_SIZE].map(String);
  const command = [Deno.execPath(), "run", "-A", "--no-lock", path, ...words];
  return runForNumbers(pinned(placement.load, command), RUN_LIMIT_MS + seconds * 1000);
}

async function fill(bench: Bench, placement: Placement, protocol: string, peer: Peer): Promise<void> {
  const words = [protocol, peer.host, String(peer.port), "1", "1", "read", String(SIZE), "0.1"];
  const command = [bench.programs.loadGenerator, ...words, "--region", String(REGION_SIZE)];
  await runForNumbers(pinned(placement.load, command), RUN_LIMIT_MS);
}

/** Why ioredis cannot be measured, or undefined when it can. */
async function whyNoPeer(placement: Placement, redis: Peer | undefined): Promise<string | undefined> {
  if (redis === undefined) return "redis-server is missing";
  try {
    await runClient(placement, "ioredis_client.ts", redis, 1, 0.1);
    return undefined;
  } catch (error) {
    if (!(error instanceof ExitError) || error.status !== IOREDIS_MISSING) throw error;
    console.error(error.message);
    return "ioredis is missing";
  }
}

async function benchPlacement(bench: Bench, placement: Placement): Promise<Row[]> {
  const cases = casesOf(placement).filter(({ subject }) => bench.settings.only.test(`client: ${subject.name}`));
  if (cases.length === 0) return [];
  const { directory, settings } = bench;
  await using redis = await isInstalled("redis-server") ? await startRedis(directory, placement.server) : undefined;
  await using dsm = await startDsmServer(directory, placement.server, "64MiB");
  await using config = await startDsmConfig(directory, placement.server, [dsm]);
  await fill(bench, placement, "native", dsm);
  if (redis !== undefined) await fill(bench, placement, "redis", redis);
  const missing = await whyNoPeer(placement, redis);
  const rows: Row[] = [];
  for (const { inFlight, field, subject } of cases) {
    announce(subject.bench, subject.name);
    const run = async (program: string, peer: Peer): Promise<number> =>
      numberOf(await runClient(placement, program, peer, inFlight, settings.seconds), field);
    const ours = (): Promise<number> => run("dsm_client.ts", config);
    if (redis !== undefined && missing === undefined) {
      rows.push(pairedRow(subject, await interleave(settings.rounds, ours, () => run("ioredis_client.ts", redis))));
      continue;
    }
    const alone: number[] = [];
    for (let round = 0; round < settings.rounds; round++) alone.push(await ours());
    rows.push({ ...soloRow(subject, alone), ...missing === undefined ? {} : { note: missing } });
  }
  return rows;
}

/** The rows of both placements. */
export async function benchClient(bench: Bench): Promise<Row[]> {
  const rows: Row[] = [];
  for (const placement of placements()) rows.push(...await benchPlacement(bench, placement));
  return rows;
}

if (import.meta.main) await benchMain([benchClient]);
