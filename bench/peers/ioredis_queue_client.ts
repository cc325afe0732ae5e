/**
 * The same through lists of Redis by ioredis in Deno: LPUSH, and BRPOP on a connection for each in flight, since it blocks
 * what is behind it on its own.
 *
 *     ioredis_queue_client.ts HOST PORT IN_FLIGHT SECONDS SIZE REGION_SIZE
 *
 * Exit status 3: ioredis cannot be had.
 */
import { importRedis } from "./ioredis.ts";
import { measureInFlight, parseLoad } from "./in_flight.ts";

/** What is used of ioredis. */
interface Redis {
  lpush(key: string, value: Uint8Array): Promise<number>;
  brpopBuffer(key: string, timeoutSeconds: number): Promise<[Uint8Array, Uint8Array] | null>;
  disconnect(): void;
}

const KEY = "queue";

const [host, port, ...words] = Deno.args;
const load = parseLoad(words);
const Redis = await importRedis<Redis>();
const options = { host: String(host), port: Number(port) };
const sender = new Redis({ ...options, enableAutoPipelining: load.inFlight > 1 });
const receivers = Array.from({ length: load.inFlight }, () => new Redis({ ...options, enableAutoPipelining: false }));
const idle = [...receivers];
const { Buffer } = await import("node:buffer");
const text = Buffer.alloc(load.size);
await measureInFlight(load, async () => {
  const receiver = idle.pop() as Redis;
  const [came] = await Promise.all([receiver.brpopBuffer(KEY, 10), sender.lpush(KEY, text)]);
  idle.push(receiver);
  return came?.[1].length ?? 0;
});
for (const redis of [sender, ...receivers]) redis.disconnect();
