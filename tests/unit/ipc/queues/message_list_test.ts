/** The list of a queue's messages against a plain array, under random sends, receives and returns. */
import { assertEquals } from "@std/assert";
import type { Random } from "../../../../lib/base/random.ts";
import { MessageList } from "../../../../lib/ipc/queues/message_list.ts";
import type { Message } from "../../../../lib/ipc/queues/queue.ts";
import { isWanted } from "../../../../lib/ipc/queues/selection.ts";
import type { Selection } from "../../../../lib/ipc/queues/selection.ts";
import { seededTest } from "../../../support/seeded.ts";

function message(number: number, type: number, size = 0): Message {
  return { number, queueId: 0, type, data: new Uint8Array(size), deliveryCount: 0 };
}

/** What ipc/msg.c finds by walking over all. */
function walk(messages: readonly Message[], wanted: Selection): Message | undefined {
  const fitting = messages.filter(({ type }) => isWanted(wanted, type));
  if (wanted.mode !== "least") return fitting[0];
  const least = Math.min(...fitting.map(({ type }) => type));
  return fitting.find(({ type }) => type === least);
}

function anySelection(random: Random): Selection {
  const mode = random.pick(["any", "equal", "except", "least"] as const);
  return mode === "any" ? { mode } : { mode, type: random.between(1, 6) };
}

seededTest("message list: finds what a walk over an array finds, whatever comes back when", (random) => {
  for (let round = 0; round < 40; round++) {
    const list = new MessageList();
    let inside: Message[] = [];
    const outside: Message[] = [];
    let number = 1;
    for (let step = 0; step < 400; step++) {
      const dice = random.below(10);
      if (dice < 4) {
        const fresh = message(number++, random.between(1, 5), random.below(9));
        list.insert(fresh);
        inside.push(fresh);
      } else if (dice < 5 && outside.length > 0) {
        const count = random.between(1, outside.length);
        for (const back of outside.splice(random.below(outside.length), count)) {
          list.insert(back);
          inside = [...inside, back].sort((a, b) => a.number - b.number);
        }
      } else {
        const wanted = anySelection(random);
        const found = list.find(wanted);
        assertEquals(found, walk(inside, wanted));
        if (!found) continue;
        list.remove(found);
        inside = inside.filter((each) => each !== found);
        if (random.isOneIn(2)) outside.splice(random.below(outside.length + 1), 0, found);
      }
      assertEquals([...list], inside);
      assertEquals(list.count, inside.length);
      assertEquals(list.size, inside.reduce((sum, { data }) => sum + data.length, 0));
      const index = random.between(-1, inside.length);
      assertEquals(list.at(index), inside.at(index === -1 ? inside.length : index));
    }
  }
});

Deno.test("message list: a hundred thousand messages, each way of asking for one, and all of them put back", () => {
  const count = 100_000;
  const list = new MessageList();
  const numbers = Array.from({ length: count }, (_, index) => index + 1);
  for (const number of numbers) list.insert(message(number, 1 + number % 2));
  const taken: Message[] = [];
  const ways: readonly Selection[] = [
    { mode: "any" },
    { mode: "equal", type: 1 },
    { mode: "except", type: 1 },
    { mode: "least", type: 2 },
  ];
  // a walk per message would be 10^10 steps: minutes
  for (let turn = 0; list.count > 0; turn++) {
    const found = list.find(ways[turn % ways.length] as Selection);
    if (!found) continue;
    list.remove(found);
    taken.push(found);
  }
  assertEquals(taken.length, count);
  for (const each of taken.sort((a, b) => a.number - b.number)) list.insert(each);
  assertEquals([...list].map(({ number }) => number), numbers);
});
