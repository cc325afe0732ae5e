/** Exchanges: lent once, of the size that fits, and the large ones only so many. */
import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { EXCHANGE_TOTAL_MAX, ExchangePool } from "../../../lib/node/memory/exchange_pool.ts";
import type { Exchange } from "../../../lib/node/memory/exchange_pool.ts";
import { SIMPLE_DATA_SIZE_MAX, SIMPLE_REQUEST_SIZE } from "../../../lib/wire/simple.ts";

const LARGEST = SIMPLE_DATA_SIZE_MAX + SIMPLE_REQUEST_SIZE;

function takeAll(pool: ExchangePool, size: number, most: number): Exchange[] {
  const taken: Exchange[] = [];
  for (let next = pool.take(size); next && taken.length < most; next = pool.take(size)) taken.push(next);
  return taken;
}

Deno.test("exchanges: numbered in the order of their first use, and each comes back as it is", () => {
  const pool = new ExchangePool();
  const [first, second, third] = [pool.take(20), pool.take(100_000), pool.take(20)];
  assertEquals([first?.number, second?.number, third?.number], [0, 1, 2]);
  assert((second?.bytes.length ?? 0) >= 100_000);
  pool.give(first as Exchange);
  assertStrictEquals(pool.take(12), first);
});

Deno.test("exchanges: small ones never run out, large ones do, and are there again when one is given back", () => {
  const pool = new ExchangePool();
  assert(ExchangePool.isSmall(20) && !ExchangePool.isSmall(LARGEST));
  const large = takeAll(pool, LARGEST, 100);
  const middle = takeAll(pool, 100_000, 1_000);
  const total = [...large, ...middle].reduce((sum, { bytes }) => sum + bytes.length, 0);
  assertEquals(total, EXCHANGE_TOTAL_MAX);
  assertEquals([pool.take(LARGEST), pool.take(100_000)], [undefined, undefined]);
  assertEquals(takeAll(pool, 20, 2_000).length, 2_000);
  pool.give(large[0] as Exchange);
  assertStrictEquals(pool.take(LARGEST), large[0]);
  assertThrows(() => pool.take(LARGEST + 1), RangeError);
});
