/** Two free ports in a row. */
import { assertEquals } from "@std/assert";
import { freePortPair, isPairFree } from "../../../lib/launch/free_ports.ts";

Deno.test("a pair can be bound, and is not free while either port is taken", () => {
  const host = "127.0.0.1";
  const first = freePortPair(host);
  assertEquals(first % 2, 0);
  for (const port of [first, first + 1]) {
    using _listener = Deno.listen({ hostname: host, port });
    assertEquals(isPairFree(host, first), false);
  }
  assertEquals(isPairFree(host, first), true);
});
