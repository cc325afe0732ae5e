/**
 * The memory of an idle server beside its region: RssAnon + RssFile of a server with a region of 1 GiB, and what 1,000 idle
 * native connections add. (The region's own pages are RssShmem.)
 */
import { type DsmServer, startDsmServer } from "./harness/peers.ts";
import { placements } from "./harness/pin.ts";
import { announce, type Bench, benchMain } from "./harness/program.ts";
import { type Row, soloRow, type Subject } from "./harness/report.ts";

const CONNECTION_COUNT = 1000;
const SETTLE_SAMPLES = 11;
const SETTLE_INTERVAL_MS = 200;
const MIB = 2 ** 20;

/** The magic, and a hello of [id 1, kind 1, incarnation 0, epoch 0, versions 1 to 1, "bench", no token, no nonce, uid 0]. */
const HELLO = new Uint8Array([
  ...new TextEncoder().encode("DSM1"),
  ...[0, 0, 0, 18, 0, 0, 0, 0],
  ...[0x9a, 1, 1, 0, 0, 1, 1],
  ...[0xa5, ...new TextEncoder().encode("bench")],
  ...[0xc4, 0, 0xc4, 0, 0],
]);

const SERVER: Subject = {
  bench: "memory",
  name: "idle server, 1 GiB region, RssAnon + RssFile",
  unit: "B",
  target: { of: "ours", bound: "at most", value: 120 * MIB },
};
const CONNECTIONS: Subject = {
  bench: "memory",
  name: `growth by ${CONNECTION_COUNT} idle connections`,
  unit: "B",
  target: { of: "ours", bound: "at most", value: 20 * MIB },
};

async function residentSize(pid: number): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  const kibibytes = ["RssAnon", "RssFile"].map((name) =>
    Number(new RegExp(`^${name}:\\s*(\\d+) kB$`, "m").exec(status)?.[1])
  );
  const size = kibibytes.reduce((sum, part) => sum + part, 0) * 1024;
  if (!Number.isFinite(size)) throw new Error(`/proc/${pid}/status has no RssAnon or RssFile`);
  return size;
}

/** The median over some time: the collector comes and goes. */
async function settledSize(pid: number): Promise<number> {
  const sizes: number[] = [];
  for (let sample = 0; sample < SETTLE_SAMPLES; sample++) {
    await new Promise((resolve) => setTimeout(resolve, SETTLE_INTERVAL_MS));
    sizes.push(await residentSize(pid));
  }
  return sizes.sort((a, b) => a - b)[SETTLE_SAMPLES >> 1] as number;
}

/** An established native session: the server has answered the hello. */
async function openIdle(server: DsmServer): Promise<Deno.TcpConn> {
  const connection = await Deno.connect({ hostname: server.host, port: server.port });
  await connection.write(HELLO);
  const reply = new Uint8Array(64);
  const count = await connection.read(reply);
  if (count === null || new TextDecoder().decode(reply.subarray(0, 4)) !== "DSM1") {
    throw new Error("the server did not answer a hello");
  }
  return connection;
}

async function measure(bench: Bench, cpu: number): Promise<{ idle: number; growth: number }> {
  await using server = await startDsmServer(bench.directory, cpu, "1GiB");
  const idle = await settledSize(server.pid);
  const connections: Deno.TcpConn[] = [];
  try {
    for (let i = 0; i < CONNECTION_COUNT; i++) connections.push(await openIdle(server));
    return { idle, growth: await settledSize(server.pid) - idle };
  } finally {
    for (const connection of connections) connection.close();
  }
}

/** Both rows, from the same servers. */
export async function benchMemory(bench: Bench): Promise<Row[]> {
  const subjects = [SERVER, CONNECTIONS].filter(({ name }) => bench.settings.only.test(`memory: ${name}`));
  const placement = placements()[0];
  if (subjects.length === 0 || placement === undefined) return [];
  announce("memory", "an idle server, then 1,000 connections");
  const results: { idle: number; growth: number }[] = [];
  for (let round = 0; round < Math.min(bench.settings.rounds, 3); round++) {
    results.push(await measure(bench, placement.server));
  }
  return subjects.map((subject) =>
    soloRow(subject, results.map(({ idle, growth }) => subject === SERVER ? idle : growth))
  );
}

if (import.meta.main) await benchMain([benchMemory]);
