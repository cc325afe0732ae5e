/** lib/base: errors, errno, assert, clock, random. */
import { assert, assertEquals, assertInstanceOf, assertStrictEquals, assertThrows } from "@std/assert";
import { invariant, unreachable } from "../../../lib/base/assert.ts";
import { Deadline, nowMs, pause } from "../../../lib/base/clock.ts";
import { ERRNO, errnoName } from "../../../lib/base/errno.ts";
import {
  CheckpointError,
  ConfigError,
  DsmError,
  InvariantError,
  PeerLostError,
  ProtocolError,
  SystemError,
  TimeoutError,
  UsageError,
} from "../../../lib/base/errors.ts";
import { Random } from "../../../lib/base/random.ts";

Deno.test("errors: each has its class's name, its code, its text and its cause", () => {
  const cause = new Error("why");
  const all: [DsmError, string, string, string][] = [
    [new UsageError("text"), "UsageError", "USAGE", "text"],
    [new ConfigError("config.txt", 3, "text", cause), "ConfigError", "CONFIG", "config.txt:3: text"],
    [new ConfigError("config.txt", 0, "text", cause), "ConfigError", "CONFIG", "config.txt: text"],
    [new SystemError("shmget", "EACCES", "text", cause), "SystemError", "EACCES", "text"],
    [new ProtocolError("text", cause), "ProtocolError", "PROTOCOL", "text"],
    [new PeerLostError("text", "unknown", cause), "PeerLostError", "PEER_LOST", "text"],
    [new CheckpointError("text", cause), "CheckpointError", "CHECKPOINT", "text"],
    [new TimeoutError("text", "unknown", cause), "TimeoutError", "TIMEOUT", "text"],
    [new InvariantError("text"), "InvariantError", "INVARIANT", "text"],
  ];
  for (const [error, name, code, message] of all) {
    assertInstanceOf(error, DsmError);
    assertInstanceOf(error, Error);
    assertEquals([error.name, error.code, error.message], [name, code, message]);
    if (!(error instanceof UsageError || error instanceof InvariantError)) assertStrictEquals(error.cause, cause);
  }
  assert(!("cause" in new UsageError("text")), "no cause is no property");
});

Deno.test("errors: what is particular to a class is there", () => {
  const config = new ConfigError("a b.txt", 7, "text");
  assertEquals([config.file, config.line], ["a b.txt", 7]);
  assertEquals(new SystemError("semget", "ENOSPC", "text").call, "semget");
  assertEquals(new SystemError("semget", "ENOSPC", "text").errno, 28);
  assertEquals(new SystemError("semget", "EWHAT", "text").errno, undefined);
  assertEquals(new PeerLostError("text", "no").outcome, "no");
  assertEquals([new TimeoutError("text").outcome, new TimeoutError("text", "unknown").outcome], ["no", "unknown"]);
});

Deno.test("errno: names and numbers go both ways, and agree with the host's own", () => {
  for (const [name, number] of Object.entries(ERRNO)) assertEquals(errnoName(number), name);
  assertEquals(new Set(Object.values(ERRNO)).size, Object.keys(ERRNO).length);
  assertEquals(errnoName(4095), "errno 4095");
});

Deno.test("assert: a broken invariant throws, a kept one does not", () => {
  invariant(true, "kept");
  assertThrows(() => invariant(false, "one is one"), InvariantError, "one is one");
  assertThrows(() => unreachable("value" as never), InvariantError, "value");
});

Deno.test("clock: a deadline passes once and has nothing left then", () => {
  const past = new Deadline(-1);
  assertEquals([past.passed, past.leftMs], [true, 0]);
  const far = new Deadline(1e9);
  assert(!far.passed && far.leftMs > 1e9 - 60_000 && far.atMs > nowMs());
});

Deno.test("clock: an aborted pause ends at once and without an error, whether aborted before or meanwhile", async () => {
  await pause(1e9, AbortSignal.abort());
  const abort = new AbortController();
  const paused = pause(1e9, abort.signal);
  abort.abort();
  await paused;
});

Deno.test("random: the same seed gives the same numbers, in their bounds", () => {
  const [a, b, other] = [new Random(42), new Random(42), new Random(43)];
  const numbers = Array.from({ length: 100 }, () => a.word());
  assertEquals(numbers, Array.from({ length: 100 }, () => b.word()));
  assert(numbers.some((number) => number !== other.word()));
  const random = new Random(1);
  const seen = new Set<number>();
  for (let i = 0; i < 1000; i++) {
    seen.add(random.between(3, 6));
    const large = random.below(2 ** 53);
    assert(Number.isSafeInteger(large) && large >= 0);
    assert(random.longWord() < 2n ** 64n);
  }
  assertEquals([...seen].sort(), [3, 4, 5, 6]);
});
