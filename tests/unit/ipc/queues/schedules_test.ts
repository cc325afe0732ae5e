/**
 * The table of queues under random schedules: sessions that send, receive, hold, acknowledge, give back, cancel and die,
 * and lives of the table that begin again from stored rows.
 *
 * No message is lost, none is consumed twice, nobody waits for what is there, and of each type they are received in the
 * order they were sent, those that came back before their juniors. What `takeChanges` gave, stored row by row in whatever
 * order, is always the whole table.
 */
import { assert, assertEquals } from "@std/assert";
import { SystemError } from "../../../../lib/base/errors.ts";
import type { Random } from "../../../../lib/base/random.ts";
import { IPC_NOWAIT, IPC_PRIVATE } from "../../../../lib/ipc/common/flags.ts";
import type { Received } from "../../../../lib/ipc/queues/calls.ts";
import { MSG_EXCEPT } from "../../../../lib/ipc/queues/flags.ts";
import { QueueTable } from "../../../../lib/ipc/queues/queue_table.ts";
import type { MessageRow, QueueRow, RowChanges, TableRows } from "../../../../lib/ipc/queues/queue_rows.ts";
import { seededTest } from "../../../support/seeded.ts";
import { ALICE, NOW } from "./desk.ts";

const SCHEDULE_COUNT = 200;
const STEP_COUNT = 250;
const SESSION_COUNT = 5;
const TYPE_COUNT = 3;

/** What a store holds that is told of changes only. */
class Rows {
  #head: RowChanges["head"] | undefined;
  readonly #queues = new Map<number, QueueRow>();
  readonly #messages = new Map<number, MessageRow>();

  apply({ head, queues, removedQueues, messages, removedMessages }: RowChanges): void {
    this.#head = head;
    for (const row of queues) this.#queues.set(row.id, row);
    for (const row of messages) this.#messages.set(row.number, row);
    for (const id of removedQueues) assert(this.#queues.delete(id), `queue ${id} was stored`);
    for (const number of removedMessages) assert(this.#messages.delete(number), `message ${number} was stored`);
  }

  get all(): TableRows {
    assert(this.#head);
    return {
      ...this.#head,
      queues: [...this.#queues.values()].sort((a, b) => a.id - b.id),
      messages: [...this.#messages.values()].sort((a, b) => a.number - b.number),
    };
  }
}

/** A message as its sender knows it. */
interface Sent {
  readonly type: number;
  readonly text: string;
}

/** A call that waits. */
interface Wait {
  readonly session: string;
  /** Makes the same call on another table, without waiting. */
  readonly again: (table: QueueTable) => unknown;
  /** Of a sender. */
  readonly message?: Sent;
  /** Of a receiver. */
  readonly isHeld?: boolean;
}

/** A table, what its clients know, and what must be true. */
class Schedule {
  readonly #random: Random;
  readonly #rows = new Rows();
  readonly #waits = new Map<number, Wait>();
  /** By session, what it has and has not acknowledged. */
  readonly #held = new Map<string, Received[]>();
  /** Texts by type, in the order they were sent, that nobody has consumed. */
  readonly #sent = new Map<number, string[]>();
  /** Those of them that a session has. */
  readonly #out = new Set<string>();
  readonly #id: number;
  #table = new QueueTable();
  #textCount = 0;

  constructor(random: Random) {
    this.#random = random;
    this.#id = this.#table.msgget(ALICE, IPC_PRIVATE, 0o600, NOW);
    const qbytes = random.between(3, 60);
    this.#table.set(ALICE, this.#id, { uid: ALICE.uid, gid: ALICE.gid, mode: 0o600, qbytes }, NOW);
  }

  run(): void {
    for (let step = 0; step < STEP_COUNT; step++) {
      this.#step();
      this.#settle();
      if (this.#random.isOneIn(3)) this.#store();
    }
    this.#drain();
  }

  #step(): void {
    const dice = this.#random.below(100);
    if (dice < 40) return this.#send();
    if (dice < 75) return this.#receive();
    if (dice < 85) return this.#finish("acknowledge");
    if (dice < 90) return this.#finish("giveBack");
    if (dice < 94) return this.#cancel();
    if (dice < 98) return this.#end(this.#session());
    this.#restart();
  }

  #session(): string {
    return `session ${this.#random.below(SESSION_COUNT)}`;
  }

  // ---- calls

  #send(): void {
    const session = this.#session();
    const message = { type: this.#random.between(1, TYPE_COUNT), text: `${this.#textCount++}` };
    const data = new TextEncoder().encode(message.text);
    const call = (table: QueueTable, flags: number) =>
      table.msgsnd(ALICE, session, { id: this.#id, type: message.type, data, flags }, NOW);
    const flags = this.#random.isOneIn(3) ? IPC_NOWAIT : 0;
    const outcome = unlessRefused(() => call(this.#table, flags));
    const again = (table: QueueTable) => call(table, IPC_NOWAIT);
    if (outcome?.outcome === "sent") this.#wasSent(message);
    else if (outcome) this.#waits.set(outcome.ticket, { session, message, again });
  }

  #receive(): void {
    const random = this.#random;
    const session = this.#session();
    const request = {
      id: this.#id,
      size: random.isOneIn(8) ? 1 : 10,
      type: random.between(-TYPE_COUNT, TYPE_COUNT),
      flags: (random.isOneIn(3) ? IPC_NOWAIT : 0) | (random.isOneIn(4) ? MSG_EXCEPT : 0),
      isHeld: !random.isOneIn(3),
    };
    const outcome = unlessRefused(() => this.#table.msgrcv(ALICE, session, request, NOW));
    const again = (table: QueueTable) =>
      table.msgrcv(ALICE, session, { ...request, flags: request.flags | IPC_NOWAIT }, NOW);
    if (outcome?.outcome === "received") this.#got(session, outcome.message, request.isHeld);
    else if (outcome) this.#waits.set(outcome.ticket, { session, isHeld: request.isHeld, again });
  }

  #finish(how: "acknowledge" | "giveBack"): void {
    const session = this.#session();
    const held = this.#held.get(session) ?? [];
    if (held.length === 0) return;
    const [message] = held.splice(this.#random.below(held.length), 1) as [Received];
    this.#away(how, message);
    assert(this.#table[how](session, message.number, NOW), "it was held");
    if (how === "acknowledge") assert(!this.#table[how](session, message.number, NOW), "and once only");
  }

  #cancel(): void {
    const tickets = [...this.#waits.keys()];
    if (tickets.length === 0) return;
    const ticket = this.#random.pick(tickets);
    assert(this.#table.cancel(ticket), "it waited");
    this.#waits.delete(ticket);
  }

  #end(session: string): void {
    for (const message of this.#held.get(session) ?? []) this.#away("giveBack", message);
    this.#held.delete(session);
    for (const [ticket, wait] of this.#waits) if (wait.session === session) this.#waits.delete(ticket);
    this.#table.endSession(session, NOW);
  }

  /** A kill -9 of whoever has the table: calls that wait are gone, sessions come back and have what they had. */
  #restart(): void {
    this.#store();
    this.#table = new QueueTable({ rows: this.#rows.all });
    this.#waits.clear();
  }

  // ---- what clients know

  #settle(): void {
    for (const completion of this.#table.takeCompletions()) {
      const wait = this.#waits.get(completion.ticket);
      assert(wait?.session === completion.session, "a call that waits, of that session");
      this.#waits.delete(completion.ticket);
      if (completion.outcome === "sent" && wait.message) this.#wasSent(wait.message);
      if (completion.outcome === "received") this.#got(wait.session, completion.message, wait.isHeld ?? false);
      if (completion.outcome === "refused") assertEquals(completion.error.code, "E2BIG");
    }
    assertEquals(this.#table.waitingCount, this.#waits.size);
  }

  #wasSent({ type, text }: Sent): void {
    this.#sent.set(type, [...this.#sent.get(type) ?? [], text]);
  }

  #got(session: string, message: Received, isHeld: boolean): void {
    const [next] = (this.#sent.get(message.type) ?? []).filter((each) => !this.#out.has(each));
    assertEquals(textOf(message), next, `the oldest of type ${message.type} that nobody has`);
    this.#out.add(textOf(message));
    if (isHeld) this.#held.set(session, [...this.#held.get(session) ?? [], message]);
    else this.#away("acknowledge", message);
  }

  #away(how: "acknowledge" | "giveBack", message: Received): void {
    this.#out.delete(textOf(message));
    if (how === "giveBack") return;
    const texts = this.#sent.get(message.type) ?? [];
    this.#sent.set(message.type, texts.filter((text) => text !== textOf(message)));
  }

  // ---- what must be true

  #store(): void {
    this.#rows.apply(this.#table.takeChanges());
    assertEquals(this.#rows.all, this.#table.toRows());
    const bytes = this.#rows.all.messages.reduce((sum, { data }) => sum + data.length, 0);
    const copy = new QueueTable({ rows: this.#rows.all });
    for (const { again } of this.#waits.values()) {
      assertEquals(unlessRefused(() => again(copy)), undefined, "nobody waits for what is there");
    }
    assert(bytes <= (this.#rows.all.queues[0]?.qbytes ?? 0), "no longer than qbytes, what is in delivery included");
  }

  /** All sessions end, and one receiver takes what there is: all that was sent and not consumed, in order. */
  #drain(): void {
    for (let index = 0; index < SESSION_COUNT; index++) {
      this.#end(`session ${index}`);
      this.#settle();
    }
    for (let type = 1; type <= TYPE_COUNT; type++) {
      const texts = this.#sent.get(type) ?? [];
      const request = { id: this.#id, size: 10, type, flags: IPC_NOWAIT };
      for (const text of texts) {
        const outcome = this.#table.msgrcv(ALICE, "last", request, NOW);
        assertEquals(outcome.outcome === "received" && textOf(outcome.message), text);
      }
      assertEquals(unlessRefused(() => this.#table.msgrcv(ALICE, "last", request, NOW)), undefined, "and no more");
    }
  }
}

function textOf({ data }: Received): string {
  return new TextDecoder().decode(data);
}

/** A refusal is as good as anything. */
function unlessRefused<T>(call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    if (error instanceof SystemError) return undefined;
    throw error;
  }
}

seededTest(`queues: ${SCHEDULE_COUNT} schedules lose nothing, double nothing and keep the order`, (random) => {
  for (let count = 0; count < SCHEDULE_COUNT; count++) new Schedule(random).run();
});
