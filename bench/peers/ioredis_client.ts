/**
 * ioredis in Deno, as a program of its own: GETRANGE of the key the load generator fills.
 *
 *     ioredis_client.ts HOST PORT IN_FLIGHT SECONDS SIZE REGION_SIZE
 *
 * Automatic pipelining is ioredis' own way to have many commands in flight, and slower with one: it is on for more. The
 * package is imported at run time, so the rest of the benchmarks neither needs nor fetches it. Exit status 3: it cannot be
 * had.
 */
import { measureInFlight, parseLoad } from "./in_flight.ts";

const PACKAGE = "npm:ioredis@5";
const KEY = "dsm";
const MISSING = 3;

/** What is used of ioredis. */
interface Redis {
  getrangeBuffer(key: string, first: number, last: number): Promise<Uint8Array>;
  disconnect(): void;
}
interface RedisClass {
  new (options: { host: string; port: number; enableAutoPipelining: boolean }): Redis;
}

async function importRedis(): Promise<RedisClass> {
  try {
    return (await import(PACKAGE)).Redis;
  } catch (error) {
    console.error(`${PACKAGE}: ${(error as Error).message}`);
    Deno.exit(MISSING);
  }
}

const [host, port, ...words] = Deno.args;
const Redis = await importRedis();
const load = parseLoad(words);
const redis = new Redis({ host: String(host), port: Number(port), enableAutoPipelining: load.inFlight > 1 });
await measureInFlight(
  load,
  async (offset, size) => (await redis.getrangeBuffer(KEY, offset, offset + size - 1)).length,
);
redis.disconnect();
