/** Whose the bytes of a region are: ranges that cut one another, held against a model of one owner per byte. */
import { assertEquals, assertStrictEquals } from "@std/assert";
import { mayAccess, READ, WRITE } from "../../../../lib/ipc/common/permissions.ts";
import type { Ownership } from "../../../../lib/ipc/common/permissions.ts";
import { NOBODYS, RangeOwners } from "../../../../lib/ipc/segments/range_owners.ts";
import { seededTest } from "../../../support/seeded.ts";
import { principal } from "./tables.ts";

const ADA = principal(1000, 100);
const BOB = principal(2000, 200);

function of({ uid, gid }: { uid: number; gid: number }, mode: number): Ownership {
  return { uid, gid, cuid: uid, cgid: gid, mode };
}

Deno.test("range owners: what was never told is free, what was is its owner's to the last byte", () => {
  const owners = new RangeOwners();
  assertStrictEquals(owners.forbidding(BOB, 0, 1 << 20, WRITE), undefined);
  const mine = { base: 4096, size: 8192, ...of(ADA, 0o640) };
  owners.put(mine);
  assertEquals(owners.forbidding(BOB, 0, 4097, READ), mine);
  assertEquals(owners.forbidding(BOB, 12_287, 1, READ), mine);
  for (const [base, size] of [[0, 4096], [12_288, 1], [4096, 0]] as const) {
    assertStrictEquals(owners.forbidding(BOB, base, size, WRITE), undefined, `${size} at ${base}`);
  }
  assertStrictEquals(owners.forbidding(ADA, 0, 1 << 20, READ | WRITE), undefined);
  assertStrictEquals(owners.forbidding(principal(3000, 100), 4096, 1, READ), undefined, "the group reads");
  assertEquals(owners.forbidding(principal(3000, 100), 4096, 1, WRITE), mine, "and does not write");
});

Deno.test("range owners: nobody's is for uid 0 only", () => {
  const owners = new RangeOwners();
  owners.put({ base: 0, size: 10, ...NOBODYS });
  for (const who of [ADA, principal(5, 0)]) assertEquals(owners.forbidding(who, 0, 1, READ)?.mode, 0);
  assertStrictEquals(owners.forbidding(principal(0, 0), 0, 1, READ | WRITE), undefined);
});

const SIZE = 64;

seededTest("range owners: a new range takes what it covers and leaves the rest to whose it was", (random) => {
  for (let round = 0; round < 200; round++) {
    const owners = new RangeOwners();
    const model: (Ownership | undefined)[] = new Array(SIZE).fill(undefined);
    for (let step = 0; step < 20; step++) {
      const base = random.below(SIZE);
      const size = random.between(1, SIZE - base);
      const owner = of(random.pick([ADA, BOB]), random.pick([0o600, 0o640, 0o666, 0o444, 0]));
      owners.put({ base, size, ...owner });
      model.fill(owner, base, base + size);
      for (const who of [ADA, BOB]) {
        for (const wanted of [READ, WRITE, READ | WRITE]) {
          const from = random.below(SIZE);
          const asked = random.between(0, SIZE - from);
          const expected = model.slice(from, from + asked).every((each) => !each || mayAccess(each, who, wanted));
          const forbidding = owners.forbidding(who, from, asked, wanted);
          assertEquals(forbidding === undefined, expected, `${asked} at ${from} by ${who.uid} for ${wanted}`);
        }
      }
      const changes = model.filter((each, i) => each && each !== model[i - 1]).length;
      assertEquals(owners.count, changes, "no more ranges than it takes");
    }
  }
});
