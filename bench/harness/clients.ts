/**
 * Promise clients in Deno as loads, beside ioredis: programs of bench/peers, each a process of its own against one server.
 */
import type { Peer } from "./peers.ts";
import { pinned } from "./pin.ts";
import type { Placement } from "./pin.ts";
import { ExitError, numberOf, runForNumbers } from "./processes.ts";
import { pairedRow, soloRow } from "./report.ts";
import type { Row, Subject } from "./report.ts";
import { interleave } from "./rounds.ts";

/** Bytes of a value or message. */
export const CLIENT_SIZE = 64;
/** Bytes of the region that the programs address. */
export const CLIENT_REGION_SIZE: number = 64 * 2 ** 20;
/** The exit status by which peers/ioredis.ts says so. */
const IOREDIS_MISSING = 3;
const RUN_LIMIT_MS = 120_000;

/** One load: which program, and what of its numbers counts. */
export interface ClientLoad {
  /** Where it runs. */
  readonly placement: Placement;
  /** Of bench/peers. */
  readonly program: string;
  /** Requests in flight. */
  readonly inFlight: number;
  /** How long it lasts. */
  readonly seconds: number;
}

/** Runs a load against `server`. */
export function runClient(
  { placement, program, inFlight, seconds }: ClientLoad,
  server: Peer,
): ReturnType<typeof runForNumbers> {
  const path = new URL(`../peers/${program}`, import.meta.url).pathname;
  const words = [server.host, server.port, inFlight, seconds, CLIENT_SIZE, CLIENT_REGION_SIZE].map(String);
  const command = [Deno.execPath(), "run", "-A", "--no-lock", path, ...words];
  return runForNumbers(pinned(placement.load, command), RUN_LIMIT_MS + seconds * 1000);
}

/** One side of a comparison. */
export interface Side {
  /** Its program. */
  readonly program: string;
  /** Its server. */
  readonly server: Peer;
}

/** Redis as the peer, with that program of ioredis; or why it cannot be measured. */
export async function redisSide(
  placement: Placement,
  program: string,
  redis: Peer | undefined,
): Promise<Side | string> {
  if (redis === undefined) return "redis-server is missing";
  try {
    await runClient({ placement, program, inFlight: 1, seconds: 0.1 }, redis);
    return { program, server: redis };
  } catch (error) {
    if (!(error instanceof ExitError) || error.status !== IOREDIS_MISSING) throw error;
    console.error(error.message);
    return "ioredis is missing";
  }
}

/** The row of `ours` beside `peer`, in turns; alone, with a note, where the peer is a reason why there is none. */
export async function compareClients(
  subject: Subject,
  field: "opsPerSecond" | "p50Us",
  load: Omit<ClientLoad, "program"> & { readonly rounds: number },
  ours: Side,
  peer: Side | string,
): Promise<Row> {
  const run = async ({ program, server }: Side): Promise<number> =>
    numberOf(await runClient({ ...load, program }, server), field);
  if (typeof peer !== "string") {
    return pairedRow(subject, await interleave(load.rounds, () => run(ours), () => run(peer)));
  }
  const alone: number[] = [];
  for (let round = 0; round < load.rounds; round++) alone.push(await run(ours));
  return { ...soloRow(subject, alone), note: peer };
}
