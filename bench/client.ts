/**
 * dsm's promise client against ioredis, both in Deno, each with its own server: 64-byte reads at random offsets. Client and
 * server run on one CPU, and on two.
 */
import { CLIENT_REGION_SIZE, CLIENT_SIZE, compareClients, redisSide } from "./harness/clients.ts";
import { isInstalled, type Peer, startDsmConfig, startDsmServer, startRedis } from "./harness/peers.ts";
import { pinned, type Placement, placements } from "./harness/pin.ts";
import { runForNumbers } from "./harness/processes.ts";
import { announce, type Bench, benchMain } from "./harness/program.ts";
import type { Row, Subject } from "./harness/report.ts";

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
        name: `64 in flight, read ${CLIENT_SIZE} B, ${placement.name}`,
        unit: "ops/s",
        target: { of: "ratio", bound: "at least", value: 3 },
      },
    },
    {
      inFlight: 1,
      field: "p50Us",
      subject: { bench, name: `1 in flight, read ${CLIENT_SIZE} B, p50, ${placement.name}`, unit: "us" },
    },
  ];
}

async function fill(bench: Bench, placement: Placement, protocol: string, peer: Peer): Promise<void> {
  const words = [protocol, peer.host, String(peer.port), "1", "1", "read", String(CLIENT_SIZE), "0.1"];
  const command = [bench.programs.loadGenerator, ...words, "--region", String(CLIENT_REGION_SIZE)];
  await runForNumbers(pinned(placement.load, command), RUN_LIMIT_MS);
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
  const peer = await redisSide(placement, "ioredis_client.ts", redis);
  const rows: Row[] = [];
  for (const { inFlight, field, subject } of cases) {
    announce(subject.bench, subject.name);
    const load = { placement, inFlight, seconds: settings.seconds, rounds: settings.rounds };
    rows.push(await compareClients(subject, field, load, { program: "dsm_client.ts", server: config }, peer));
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
