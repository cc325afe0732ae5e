/**
 * dsm's registry against Redis, each asked by a promise client in Deno: messages of 64 bytes sent and received, both stored
 * (Redis with appendonly everysec, the registry with its write-ahead log), and names asked for, which has no peer here.
 */
import { compareClients, redisSide } from "./harness/clients.ts";
import { isInstalled, startDsmRegistry, startRedis } from "./harness/peers.ts";
import { type Placement, placements } from "./harness/pin.ts";
import { announce, type Bench, benchMain } from "./harness/program.ts";
import type { Row, Subject } from "./harness/report.ts";

interface Case {
  readonly inFlight: number;
  readonly field: "opsPerSecond" | "p50Us";
  /** Ours; Redis has one for queues only. */
  readonly program: string;
  readonly hasPeer: boolean;
  readonly subject: Subject;
}

function casesOf(placement: Placement): Case[] {
  const bench = "registry";
  const queue = { program: "dsm_queue_client.ts", hasPeer: true };
  const names = { program: "dsm_name_client.ts", hasPeer: false };
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

async function benchPlacement(bench: Bench, placement: Placement): Promise<Row[]> {
  const cases = casesOf(placement).filter(({ subject }) => bench.settings.only.test(`registry: ${subject.name}`));
  if (cases.length === 0) return [];
  const { directory, settings } = bench;
  await using redis = await isInstalled("redis-server")
    ? await startRedis(directory, placement.server, ["--appendonly", "yes", "--appendfsync", "everysec"])
    : undefined;
  await using dsm = await startDsmRegistry(directory, placement.server);
  const redisPeer = await redisSide(placement, "ioredis_queue_client.ts", redis);
  const rows: Row[] = [];
  for (const { inFlight, field, subject, program, hasPeer } of cases) {
    announce(subject.bench, subject.name);
    const load = { placement, inFlight, seconds: settings.seconds, rounds: settings.rounds };
    const peer = hasPeer ? redisPeer : "no peer";
    rows.push(await compareClients(subject, field, load, { program, server: dsm }, peer));
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
