/** The table of names: who may bind what, revisions without gaps, leases, and what is stored. */
import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { CheckpointError, SystemError } from "../../../lib/base/errors.ts";
import { NAME_SIZE_MAX, VALUE_SIZE_MAX } from "../../../lib/registry/limits.ts";
import { NameTable } from "../../../lib/registry/name_table.ts";
import type { Binder, Binding, NameEvent } from "../../../lib/registry/names.ts";
import { seededTest } from "../../support/seeded.ts";
import { NameStore } from "../../support/name_store.ts";

const ADA: Binder = { uid: 1000, session: "ada" };
const BOB: Binder = { uid: 1001, session: "bob" };
const ROOT: Binder = { uid: 0, session: "root" };
const DURABLE = { isLeased: false, replaces: false };
const LEASED = { isLeased: true, replaces: false };
const REPLACING = { isLeased: false, replaces: true };

function codeOf(call: () => unknown): string {
  return assertThrows(call, SystemError).code;
}

Deno.test("names: bound once, replaced and unbound by their user and by root only, a revision per change", () => {
  const table = new NameTable();
  assertEquals(table.bind(ADA, "printer", "10.0.0.1:9100", DURABLE, 5), 1);
  assertEquals(table.query("printer"), {
    name: "printer",
    value: "10.0.0.1:9100",
    revision: 1,
    session: null,
    uid: 1000,
    time: 5,
  });
  assertEquals(codeOf(() => table.bind(BOB, "printer", "x", DURABLE, 6)), "EEXIST");
  assertEquals(codeOf(() => table.bind(ADA, "printer", "x", DURABLE, 6)), "EEXIST");
  assertEquals(codeOf(() => table.bind(BOB, "printer", "x", REPLACING, 6)), "EPERM");
  assertEquals(codeOf(() => table.unbind(BOB, "printer", 6)), "EPERM");
  assertEquals(table.bind(ADA, "printer", "10.0.0.1:9100", DURABLE, 6), 2, "the same once more is no conflict");
  assertEquals(table.bind(ADA, "printer", "10.0.0.2:9100", REPLACING, 7), 3);
  assertEquals(table.bind(ROOT, "printer", "10.0.0.3:9100", REPLACING, 8), 4);
  assertEquals(codeOf(() => table.unbind(ADA, "printer", 9)), "EPERM", "it is root's now");
  assertEquals(table.unbind(ROOT, "printer", 9), 5);
  assertEquals(codeOf(() => table.unbind(ROOT, "printer", 9)), "ENOENT");
  assertEquals(table.query("printer"), undefined);
  assertEquals(table.revision, 5, "what is refused is no change");
});

Deno.test("names: a lease ends with its session, and with nobody else's", () => {
  const table = new NameTable();
  table.bind(ADA, "a", "1", LEASED, 1);
  table.bind(ADA, "b", "2", DURABLE, 1);
  table.bind(BOB, "c", "3", LEASED, 1);
  table.bind({ ...ADA, session: "other" }, "d", "4", LEASED, 1);
  assertEquals(codeOf(() => table.bind({ ...ADA, session: "other" }, "a", "1", LEASED, 1)), "EEXIST");
  assertEquals(table.sessions, ["ada", "bob", "other"]);
  table.endSession("ada", 2);
  table.endSession("nobody", 2);
  assertEquals(table.page("", "", 9).map(({ name }) => name), ["b", "c", "d"]);
  assertEquals(table.eventsSince(4, 9).map(({ kind, name, isLeased }) => [kind, name, isLeased]), [
    ["unbound", "a", true],
  ]);
  // a lease that became durable is no longer the session's
  table.bind(BOB, "c", "3", REPLACING, 3);
  table.endSession("bob", 4);
  assertEquals(table.query("c")?.session, null);
  assertEquals(table.sessions, ["other"]);
});

Deno.test("names: what is no name, no value, or one too many is refused", () => {
  const table = new NameTable(undefined, { nameCountMax: 2, eventCountMax: 4 });
  for (const name of ["", "a\nb", "ä".repeat(NAME_SIZE_MAX / 2 + 1)]) {
    assertEquals(codeOf(() => table.bind(ADA, name, "x", DURABLE, 0)), "EINVAL", name);
  }
  for (const value of ["", "x".repeat(VALUE_SIZE_MAX + 1)]) {
    assertEquals(codeOf(() => table.bind(ADA, "name", value, DURABLE, 0)), "EINVAL");
  }
  table.bind(ADA, "ä".repeat((NAME_SIZE_MAX - 1) / 2), "x".repeat(VALUE_SIZE_MAX), DURABLE, 0);
  table.bind(ADA, "42", "queue:7", DURABLE, 0);
  assertEquals(codeOf(() => table.bind(ADA, "third", "x", DURABLE, 0)), "ENOSPC");
  table.bind(ADA, "42", "queue:8", REPLACING, 0); // no more than before
});

Deno.test("names: pages go on after a name, and keep to a prefix", () => {
  const table = new NameTable();
  for (const name of ["b/2", "a", "b/1", "c", "b", "b/3"]) table.bind(ADA, name, "x", DURABLE, 0);
  const names = (bindings: readonly Binding[]): string[] => bindings.map(({ name }) => name);
  assertEquals(names(table.page("", "", 4)), ["a", "b", "b/1", "b/2"]);
  assertEquals(names(table.page("", "b/2", 4)), ["b/3", "c"]);
  assertEquals(names(table.page("b/", "", 2)), ["b/1", "b/2"]);
  assertEquals(names(table.page("b/", "b/2", 2)), ["b/3"]);
  assertEquals(names(table.page("b/", "b/3", 2)), []);
  assertEquals(names(table.page("d", "", 2)), []);
  table.unbind(ADA, "b/2", 1);
  assertEquals(names(table.page("b/", "", 9)), ["b/1", "b/3"], "what is gone is not listed");
});

Deno.test("events: without a gap from any revision that is remembered, and a named error from one that is not", () => {
  const table = new NameTable(undefined, { nameCountMax: 100, eventCountMax: 4 });
  for (let i = 1; i <= 10; i++) table.bind(ADA, `n${i}`, `${i}`, DURABLE, i);
  assertEquals(table.eventsSince(6, 9).map(({ revision, name }) => [revision, name]), [
    [7, "n7"],
    [8, "n8"],
    [9, "n9"],
    [10, "n10"],
  ]);
  assertEquals(table.eventsSince(7, 2).map(({ revision }) => revision), [8, 9]);
  assertEquals(table.eventsSince(10, 9), []);
  assertEquals(codeOf(() => table.eventsSince(5, 9)), "ESTALE");
  assertEquals(codeOf(() => table.eventsSince(11, 9)), "EINVAL");
});

seededTest("rows: a table that is stored after every few changes and read back is the same table", (random) => {
  const limits = { nameCountMax: 12, eventCountMax: 8 };
  const store = new NameStore();
  let table = new NameTable(undefined, limits);
  const people = [ADA, BOB, ROOT];
  for (let step = 0; step < 2000; step++) {
    const who = random.pick(people);
    const name = `n${random.below(16)}`;
    try {
      if (random.isOneIn(10)) table.endSession(who.session, step);
      else if (random.isOneIn(4)) table.unbind(who, name, step);
      else {
        table.bind(who, name, `v${random.below(3)}`, {
          isLeased: random.isOneIn(2),
          replaces: random.isOneIn(2),
        }, step);
      }
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
    }
    if (!random.isOneIn(3)) continue;
    store.take(table.takeChanges());
    assertEquals(table.takeChanges(), undefined, "what was given out is not given out again");
    const again = new NameTable(store.rows, limits);
    assertEquals(stateOf(again), stateOf(table));
    assertEquals(again.takeChanges(), undefined, "what was read is no change");
    if (random.isOneIn(5)) table = again;
  }
  assertStrictEquals(table.revision > 100, true);
});

function stateOf(table: NameTable): unknown {
  const since = Math.max(0, table.revision - 8);
  const events: readonly NameEvent[] = table.eventsSince(since, 99);
  return [table.revision, table.size, table.page("", "", 99), events, table.sessions.toSorted()];
}

Deno.test("rows: what was not stored by a table is refused, and says what is wrong", () => {
  const store = new NameStore();
  const table = new NameTable();
  for (let i = 1; i <= 3; i++) table.bind(ADA, `n${i}`, `${i}`, DURABLE, i);
  store.take(table.takeChanges());
  const rows = store.rows as { names: Binding[]; events: object[]; revision: number };
  const [name, ...names] = rows.names as [Binding, ...Binding[]];
  const wrong: [unknown, string][] = [
    [{ ...rows, format: 2 }, "has not format 1"],
    [{ ...rows, names: [{ ...name, value: "" }, ...names] }, "has no text as value"],
    [{ ...rows, names: [{ ...name, revision: 9 }, ...names] }, "has no whole number from 1 to 3 as revision"],
    [{ ...rows, names: [name, name] }, "two names have the same name"],
    [{ ...rows, names: [name, { ...name, name: "other" }] }, "two names have the same revision"],
    [{ ...rows, events: [rows.events[0], rows.events[2]] }, "event 2 is missing"],
    [{ ...rows, revision: 4 }, "event 2 is missing"],
    [{ ...rows, events: [{ ...rows.events[0], kind: "moved" }] }, "not bound or unbound"],
    [[], "has no whole number"],
    [7, "is no row"],
  ];
  for (const [each, message] of wrong) assertThrows(() => new NameTable(each), CheckpointError, message);
});
