/**
 * ioredis for the programs that are measured with it. It is imported at run time, so the rest of the benchmarks neither needs
 * nor fetches it; where it cannot be had, the program ends with status 3.
 */

const PACKAGE = "npm:ioredis@5";
const MISSING = 3;

/** How a client is made. */
export interface RedisClass<Redis> {
  new (options: { host: string; port: number; enableAutoPipelining: boolean }): Redis;
}

/** The class of its clients, of which `Redis` is what is used. */
export async function importRedis<Redis>(): Promise<RedisClass<Redis>> {
  try {
    return (await import(PACKAGE)).Redis;
  } catch (error) {
    console.error(`${PACKAGE}: ${(error as Error).message}`);
    Deno.exit(MISSING);
  }
}
