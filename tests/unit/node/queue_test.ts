/** A queue as a TypeScript programmer has it, on a table in this process: when messages are acknowledged, and when not. */
import { assert, assertEquals } from "@std/assert";
import type { QueueChange } from "../../../lib/ipc/queues/calls.ts";
import { msgctl } from "../../../lib/ipc/queues/msgctl.ts";
import type { MsgctlResult } from "../../../lib/ipc/queues/msgctl.ts";
import { QueueTable } from "../../../lib/ipc/queues/queue_table.ts";
import type { CallOptions, MessageQueues, MsgrcvOptions } from "../../../lib/node/queues/message_queues.ts";
import { QueueMessage } from "../../../lib/node/queues/queue_message.ts";
import { Queues } from "../../../lib/node/queues/queues.ts";

const WHO = { uid: 1, gid: 1, groups: [], pid: 1 };
const SESSION = "session";
const NOW = 1;

/** One session's calls on a table; they never wait. */
class TableQueues implements MessageQueues {
  readonly table = new QueueTable();

  // deno-lint-ignore require-await
  async msgget(key: number, flags: number): Promise<number> {
    return this.table.msgget(WHO, key, flags, NOW);
  }

  // deno-lint-ignore require-await
  async msgsnd(id: number, type: number, data: Uint8Array, { flags = 0 }: CallOptions = {}): Promise<void> {
    const { outcome } = this.table.msgsnd(WHO, SESSION, { id, type, data: new Uint8Array(data), flags }, NOW);
    assertEquals(outcome, "sent");
  }

  // deno-lint-ignore require-await
  async msgrcv(id: number, size: number, type: number, options: MsgrcvOptions = {}): Promise<QueueMessage> {
    const { flags = 0, acknowledge = "at once" } = options;
    const isHeld = acknowledge === "later";
    const outcome = this.table.msgrcv(WHO, SESSION, { id, size, type, flags, isHeld }, NOW);
    assert(outcome.outcome === "received");
    const { number, data, deliveryCount } = outcome.message;
    return new QueueMessage(outcome.message.type, data, deliveryCount, async () => {
      assertEquals(this.table.acknowledge(SESSION, number, NOW), isHeld, "once, and only what is held");
      await Promise.resolve();
    });
  }

  // deno-lint-ignore require-await
  async msgctl(id: number, command: number, change?: QueueChange): Promise<MsgctlResult> {
    return msgctl(this.table, WHO, { id, command, change }, NOW);
  }

  /** Texts in the table, those in delivery in brackets. */
  get texts(): string[] {
    return this.table.toRows().messages.map(({ data, session }) => {
      const text = new TextDecoder().decode(data);
      return session === null ? text : `(${text})`;
    });
  }
}

Deno.test("a loop over a queue acknowledges a message when it asks for the next, and when it ends", async () => {
  const calls = new TableQueues();
  const queue = await new Queues(calls).create();
  for (const text of ["a", "b", "c"]) await queue.send(1, text);
  const seen: string[][] = [];
  for await (const { text } of queue) {
    seen.push(calls.texts);
    if (text === "b") break;
  }
  assertEquals(seen, [["(a)", "b", "c"], ["(b)", "c"]]);
  assertEquals(calls.texts, ["c"]);
});

Deno.test("a message that is to be acknowledged later is held until then, and acknowledged once", async () => {
  const calls = new TableQueues();
  const queue = await new Queues(calls).create();
  for (const text of ["a", "b"]) await queue.send(1, text);
  const held = await queue.receive({ acknowledge: "later" });
  const { text } = await queue.receive();
  assertEquals([held.text, held.deliveryCount, text], ["a", 1, "b"]);
  assertEquals(calls.texts, ["(a)"]);
  await Promise.all([held.acknowledge(), held.acknowledge()]);
  assertEquals(calls.texts, []);
});

Deno.test("queues are listed by their indexes, whatever is between them", async () => {
  const queues = new Queues(new TableQueues());
  const made = await Promise.all(Array.from({ length: 5 }, () => queues.create({ mode: 0 })));
  await made[2]?.remove();
  assertEquals((await queues.list()).map(({ id }) => id), [0, 1, 3, 4]);
});
