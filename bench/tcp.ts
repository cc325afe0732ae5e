/**
 * dsm's server against Redis over TCP, from the same load generator: GETRANGE and SETRANGE of one key of the region's
 * size. Locks are on, offsets random, one operation in ten straddles two blocks, and a program attached by key works on
 * dsm's region all the while. Both servers run, pinned to the same CPU; the one not measured is idle.
 */
import { isInstalled, startDsmServer, startRedis } from "./harness/peers.ts";
import type { DsmServer, Peer } from "./harness/peers.ts";
import { pinned, type Placement, placements } from "./harness/pin.ts";
import { Child, numberOf, runForNumbers } from "./harness/processes.ts";
import { announce, type Bench, benchMain } from "./harness/program.ts";
import { pairedRow, type Row, soloRow, type Subject, type Target } from "./harness/report.ts";
import { interleave } from "./harness/rounds.ts";

const REGION_SIZE = 64 * 2 ** 20;
const ATTACHED_OPERATIONS_PER_SECOND = 10_000;
const RUN_LIMIT_MS = 60_000;

interface Shape {
  readonly connections: number;
  readonly pipeline: number;
  readonly operation: "read" | "write";
  readonly size: number;
  /** At least so many times Redis' throughput. */
  readonly ratio?: number;
}

const SMALL = 64;
const MIB = 2 ** 20;

const THROUGHPUT: readonly Shape[] = [
  { connections: 50, pipeline: 1, operation: "read", size: SMALL, ratio: 1.05 },
  { connections: 50, pipeline: 1, operation: "write", size: SMALL, ratio: 1.05 },
  { connections: 50, pipeline: 16, operation: "read", size: SMALL, ratio: 1.7 },
  { connections: 50, pipeline: 16, operation: "write", size: SMALL, ratio: 1.7 },
  { connections: 1, pipeline: 100, operation: "read", size: SMALL, ratio: 1.4 },
  { connections: 1, pipeline: 100, operation: "write", size: SMALL, ratio: 1.4 },
  { connections: 1, pipeline: 1, operation: "read", size: MIB, ratio: 1.2 },
  { connections: 4, pipeline: 1, operation: "read", size: MIB, ratio: 1.2 },
];

const LATENCY: Shape = { connections: 1, pipeline: 1, operation: "read", size: SMALL };

function nameOf(shape: Shape, placement: Placement): string {
  const size = shape.size === MIB ? "1 MiB" : `${shape.size} B`;
  return `${shape.connections}x${shape.pipeline} ${shape.operation} ${size}, ${placement.name}`;
}

/** One of the two servers, as the load generator is pointed at it. */
interface Side {
  readonly protocol: "native" | "redis";
  readonly peer: Peer;
}

interface Sides {
  readonly ours: Side;
  readonly peer: Side | undefined;
}

function generate(bench: Bench, placement: Placement, side: Side, shape: Shape, seconds: number, ...options: string[]) {
  const { connections, pipeline, operation, size } = shape;
  const shapeWords = [connections, pipeline, operation, size, seconds].map(String);
  const command = [bench.programs.loadGenerator, side.protocol, side.peer.host, String(side.peer.port), ...shapeWords];
  options.push("--region", String(REGION_SIZE));
  return runForNumbers(pinned(placement.load, [...command, ...options]), RUN_LIMIT_MS + seconds * 1000);
}

/** Measures one number of the load generator's output for both sides. */
async function measureShape(
  bench: Bench,
  placement: Placement,
  sides: Sides,
  shape: Shape,
  field: string,
  subject: Subject,
): Promise<Row> {
  announce(subject.bench, subject.name);
  const { rounds, seconds } = bench.settings;
  const run = async (side: Side): Promise<number> =>
    numberOf(await generate(bench, placement, side, shape, seconds, "--filled"), field);
  const { ours, peer } = sides;
  if (peer !== undefined) return pairedRow(subject, await interleave(rounds, () => run(ours), () => run(peer)));
  const alone: number[] = [];
  for (let round = 0; round < rounds; round++) alone.push(await run(ours));
  return { ...soloRow(subject, alone), note: "redis-server is missing" };
}

/** What is to be measured in this placement: the shape, the number of the output, and the row. */
function plan(bench: Bench, placement: Placement): { shape: Shape; field: string; subject: Subject }[] {
  const throughput = THROUGHPUT.map((shape) => {
    const name = nameOf(shape, placement);
    const target: Target = { of: "ratio", bound: "at least", value: shape.ratio ?? 1 };
    const large = shape.size === MIB;
    const subject: Subject = { bench: "tcp", name, unit: large ? "B/s" : "ops/s", target };
    return { shape, field: large ? "bytesPerSecond" : "opsPerSecond", subject };
  });
  const latency: Subject = { bench: "tcp", name: `${nameOf(LATENCY, placement)}, p50`, unit: "us" };
  const target: Target = { of: "ratio", bound: "at most", value: 0.95 };
  const subject: Subject = placement.name === "same CPU" ? { ...latency, target } : latency;
  return [{ shape: LATENCY, field: "p50Us", subject }, ...throughput]
    .filter(({ subject }) => bench.settings.only.test(`tcp: ${subject.name}`));
}

function startAttachedLoad(bench: Bench, placement: Placement, server: DsmServer): Child {
  const cpu = placements().at(-1)?.load ?? placement.load; // never the server's, where there are two
  const words = [server.shmKey, server.semKey, REGION_SIZE, ATTACHED_OPERATIONS_PER_SECOND].map(String);
  return new Child(pinned(cpu, [bench.programs.attachedLoad, ...words]));
}

async function benchPlacement(bench: Bench, placement: Placement): Promise<Row[]> {
  const planned = plan(bench, placement);
  if (planned.length === 0) return [];
  await using redis = await isInstalled("redis-server")
    ? await startRedis(bench.directory, placement.server)
    : undefined;
  await using dsm = await startDsmServer(bench.directory, placement.server, "64MiB");
  const sides: Sides = {
    ours: { protocol: "native", peer: dsm },
    peer: redis === undefined ? undefined : { protocol: "redis", peer: redis },
  };
  for (const side of [sides.ours, sides.peer]) { // fills the regions, and warms both up
    if (side !== undefined) {
      await generate(bench, placement, side, { ...LATENCY, pipeline: 16 }, bench.settings.seconds);
    }
  }
  await using attached = startAttachedLoad(bench, placement, dsm);
  await attached.ready(/^ready$/m);
  const rows: Row[] = [];
  for (const { shape, field, subject } of planned) {
    rows.push(await measureShape(bench, placement, sides, shape, field, subject));
  }
  return rows;
}

/** The rows of both placements. */
export async function benchTcp(bench: Bench): Promise<Row[]> {
  const rows: Row[] = [];
  for (const placement of placements()) rows.push(...await benchPlacement(bench, placement));
  return rows;
}

if (import.meta.main) await benchMain([benchTcp]);
