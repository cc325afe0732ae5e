/** Messages in delivery: kept until they are acknowledged, back at their old place when they are not. */
import { assertEquals } from "@std/assert";
import { ALICE, Desk, NOW } from "./desk.ts";

Deno.test("queues: what a session held when it ended is at its old place, and its calls wait no more", () => {
  const desk = new Desk();
  for (const text of ["a", "b", "c", "d"]) desk.send(text === "c" ? 2 : 1, text);
  desk.hold(1, "one");
  desk.hold(2, "one");
  desk.hold(1, "two");
  assertEquals(desk.texts(), ["d"]);
  assertEquals(desk.table.sessions, ["one", "two"]);
  desk.receive(9, { session: "one" });
  desk.table.endSession("one", NOW);
  assertEquals(desk.texts(), ["a", "c", "d"]);
  assertEquals(desk.table.waitingCount, 0);
  desk.table.endSession("two", NOW);
  assertEquals(desk.texts(), ["a", "b", "c", "d"]);
  assertEquals(desk.table.toRows().messages.map(({ deliveryCount }) => deliveryCount), [1, 1, 1, 0]);
});

Deno.test("queues: what came back goes to who waits, the least type first where he asks so", () => {
  const desk = new Desk();
  desk.send(5, "older");
  desk.send(3, "less");
  for (const type of [5, 3]) desk.hold(type, "gone");
  const [least, any] = [desk.receive(-9), desk.receive(0)];
  desk.table.endSession("gone", NOW);
  assertEquals(desk.completed(), [[least, "less"], [any, "older"]]);
});

Deno.test("queues: what is in delivery keeps its room until it is acknowledged", () => {
  const desk = new Desk({ qbytes: 2 });
  desk.send(1, "xy");
  const number = desk.hold(1, "holder");
  const { qnum, cbytes } = desk.table.stat(ALICE, desk.id);
  assertEquals([qnum, cbytes], [0, 0], "it is not in the queue");
  const sender = desk.send(1, "z");
  assertEquals(typeof sender, "number");
  assertEquals(desk.table.acknowledge("somebody", number, NOW), false);
  assertEquals(desk.completed(), []);
  assertEquals(desk.table.acknowledge("holder", number, NOW), true);
  assertEquals(desk.completed(), [[sender, "sent"]]);
  assertEquals(desk.table.acknowledge("holder", number, NOW), false);
  desk.table.endSession("holder", NOW);
  assertEquals(desk.texts(), ["z"]);
});

Deno.test("queues: what is given back may be had by others, and by them only acknowledged", () => {
  const desk = new Desk();
  desk.send(1, "x");
  const number = desk.hold(1, "one");
  assertEquals(desk.table.giveBack("two", number, NOW), false);
  assertEquals(desk.table.giveBack("one", number, NOW), true);
  assertEquals(desk.hold(1, "two"), number);
  assertEquals(desk.table.acknowledge("one", number, NOW), false);
  desk.table.remove(ALICE, desk.id);
  assertEquals(desk.table.acknowledge("two", number, NOW), false, "it went with its queue");
  desk.table.endSession("two", NOW);
  assertEquals(desk.table.toRows().messages, []);
});

Deno.test("queues: a receiver that waits may hold what comes, and who dies waiting gets nothing", () => {
  const desk = new Desk();
  const first = desk.receive(0, { session: "one", isHeld: true });
  desk.receive(0, { session: "two", isHeld: true });
  const third = desk.receive(0, { session: "three" });
  desk.table.endSession("two", NOW);
  desk.send(1, "x");
  assertEquals(desk.completed(), [[first, "x"]]);
  desk.table.endSession("one", NOW);
  assertEquals(desk.completed(), [[third, "x"]]);
  assertEquals(desk.table.toRows().messages, []);
});
