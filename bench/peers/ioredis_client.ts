/**
 * ioredis in Deno, as a program of its own: GETRANGE of the key the load generator fills.
 *
 *     ioredis_client.ts HOST PORT IN_FLIGHT SECONDS SIZE REGION_SIZE
 *
 * Automatic pipelining is ioredis' own way to have many commands in flight, and slower with one: it is on for more. Exit
 * status 3: ioredis cannot be had.
 */
import { importRedis } from "./ioredis.ts";
import { measureInFlight, parseLoad } from "./in_flight.ts";

const KEY = "dsm";

/** What is used of ioredis. */
interface Redis {
  getrangeBuffer(key: string, first: number, last: number): Promise<Uint8Array>;
  disconnect(): void;
}

const [host, port, ...words] = Deno.args;
const Redis = await importRedis<Redis>();
const load = parseLoad(words);
const redis = new Redis({ host: String(host), port: Number(port), enableAutoPipelining: load.inFlight > 1 });
await measureInFlight(
  load,
  async (offset, size) => (await redis.getrangeBuffer(KEY, offset, offset + size - 1)).length,
);
redis.disconnect();
