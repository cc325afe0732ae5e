/** Ids of segments. That they are Linux's is for the differential test; here is what follows from it. */
import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { InvariantError } from "../../../lib/base/errors.ts";
import { ID_MAX, INDEX_COUNT, laterCircle, ObjectIds, SEQUENCE_COUNT } from "../../../lib/ipc/common/object_ids.ts";

Deno.test("ids: indexes go in a circle of 64, and each round has a sequence number of its own", () => {
  const ids = new ObjectIds();
  const taken = Array.from({ length: 200 }, () => {
    const id = ids.take();
    ids.release(id);
    return id;
  });
  assertEquals(taken, taken.map((_, count) => Math.floor(count / 64) * INDEX_COUNT + count % 64));
});

Deno.test("ids: the id of a segment that is gone comes back after all sequence numbers at the earliest", () => {
  const ids = new ObjectIds();
  const first = ids.take();
  ids.release(first);
  for (let count = 1; count < 64 * SEQUENCE_COUNT; count++) {
    const id = ids.take();
    assertNotEquals(id, first);
    ids.release(id);
  }
  assertEquals(ids.take(), first);
});

Deno.test("ids: the circle has half as many places again as there are segments", () => {
  const ids = new ObjectIds();
  for (let count = 0; count < 100; count++) ids.take();
  const taken = Array.from({ length: 60 }, () => {
    const id = ids.take();
    ids.release(id);
    return id;
  });
  assertEquals(taken.slice(0, 50), Array.from({ length: 50 }, (_, count) => 100 + count));
  assertEquals(taken.slice(50), Array.from({ length: 10 }, (_, count) => INDEX_COUNT + 100 + count));
});

Deno.test("ids: all 32,768 indexes can be in use at once, each by one id", () => {
  const ids = new ObjectIds();
  const taken = new Set(Array.from({ length: INDEX_COUNT }, () => ids.take() % INDEX_COUNT));
  assertEquals(taken.size, INDEX_COUNT);
  assertThrows(() => ids.take(), RangeError);
  ids.release(INDEX_COUNT - 1);
  assertEquals(ids.take(), 2 * INDEX_COUNT - 1, "the only one free is in a new round");
});

Deno.test("ids: the last of all is followed by the first, and is below 2^31", () => {
  const ids = new ObjectIds({ sequence: SEQUENCE_COUNT - 1, lastIndex: 62 });
  assertEquals(ids.take(), (SEQUENCE_COUNT - 1) * INDEX_COUNT + 63);
  assertEquals(ids.take(), 0);
  assertEquals(ID_MAX < 2 ** 31, true);
});

Deno.test("ids: what is claimed is passed over, and what is not in use cannot be released", () => {
  const ids = new ObjectIds({ sequence: 3, lastIndex: 4 });
  ids.claim(2 * INDEX_COUNT + 5);
  assertEquals(ids.take(), 3 * INDEX_COUNT + 6);
  assertEquals(ids.at(5), 2 * INDEX_COUNT + 5);
  assertEquals(ids.at(7 * INDEX_COUNT + 5), 2 * INDEX_COUNT + 5);
  assertThrows(() => ids.release(5), InvariantError);
});

Deno.test("ids: of two circles the later one is that of the higher round, then of the higher index", () => {
  const early = { sequence: 0, lastIndex: -1 };
  const late = { sequence: 0, lastIndex: 40 };
  const next = { sequence: 1, lastIndex: 3 };
  for (
    const [a, b, later] of [[early, late, late], [late, next, next], [early, next, next], [late, late, late]] as const
  ) {
    assertEquals([laterCircle(a, b), laterCircle(b, a)], [later, later]);
  }
});

Deno.test("ids: what can be claimed is an id whose index nobody has", () => {
  const ids = new ObjectIds();
  ids.claim(INDEX_COUNT + 5);
  const asked = [5, INDEX_COUNT + 5, 6, ID_MAX, ID_MAX + 1, -1, 0.5];
  assertEquals(asked.filter((id) => ids.isFree(id)), [6, ID_MAX]);
});
