/**
 * System V's calls on message queues as they come over the wire: what is answered, what waits, what is in delivery.
 *
 *   - A call that must wait is a ticket of the table; whatever completes it later answers the request that made it.
 *   - A message that was received to be held is in delivery to its session until that acknowledges it. The request that it
 *     was given to is remembered with it: the same request, come again over another connection or in the registry's next
 *     life, is given the same message. So `msgrcv` may be repeated, and nothing is lost between two connections.
 */
import { refusal } from "../../ipc/common/refusal.ts";
import type { Completion, Received } from "../../ipc/queues/calls.ts";
import { isQuestion, msgctl } from "../../ipc/queues/msgctl.ts";
import type { MessageRow, RowChanges } from "../../ipc/queues/queue_rows.ts";
import type { QueueTable } from "../../ipc/queues/queue_table.ts";
import type { Header } from "../../wire/frame.ts";
import { toMsgctlReply } from "../common/msgctl_reply.ts";
import type { Client, Clients } from "./clients.ts";
import type { Outbox } from "./outbox.ts";
import { CLIENT_WAITING_MAX } from "./waiting_requests.ts";

const REQUESTS = ["msgget", "msgsnd", "msgrcv", "msgack", "msgctl"] as const;

/** A request on queues. */
export type QueueRequest = Header & { readonly name: (typeof REQUESTS)[number] };

/** Whether `header` is one. */
export function isQueueRequest(header: Header): header is QueueRequest {
  return (REQUESTS as readonly string[]).includes(header.name);
}

/** A message with the request that it is in delivery to; null where it is in none. */
export interface HeldRow extends MessageRow {
  /** See above. */
  readonly request: number | null;
}

/** What to store of the queues. */
export interface QueueChanges extends Omit<RowChanges, "messages"> {
  /** See {@linkcode RowChanges}. */
  readonly messages: readonly HeldRow[];
}

/** What one session has under way, by the numbers of its requests. */
interface UnderWay {
  /** Tickets of those that wait. */
  readonly waiting: Map<number, number>;
  /** Messages in delivery. */
  readonly held: Map<number, number>;
}

/** See the head of this file. */
export class QueueRequests {
  readonly #table: QueueTable;
  readonly #clients: Clients;
  readonly #outbox: Outbox;
  readonly #underWay = new Map<string, UnderWay>();
  /** The request of each ticket. */
  readonly #requestByTicket = new Map<number, number>();
  /** What each message is in delivery to. */
  readonly #deliveries = new Map<number, { readonly session: string; readonly request: number }>();

  /** @param held the messages that were stored in delivery. */
  constructor(table: QueueTable, held: Iterable<HeldRow>, clients: Clients, outbox: Outbox) {
    this.#table = table;
    this.#clients = clients;
    this.#outbox = outbox;
    for (const { number, session, request } of held) {
      if (session === null || request === null) continue;
      this.#note(session, request, number);
    }
  }

  #of(session: string): UnderWay {
    let underWay = this.#underWay.get(session);
    if (!underWay) this.#underWay.set(session, underWay = { waiting: new Map(), held: new Map() });
    return underWay;
  }

  #note(session: string, request: number, number: number): void {
    this.#of(session).held.set(request, number);
    this.#deliveries.set(number, { session, request });
  }

  /**
   * Serves a request.
   *
   * @param payload in a buffer that is used again. @param time in seconds since 1970.
   * @throws SystemError: it is refused.
   */
  serve(client: Client, request: QueueRequest, payload: Uint8Array<ArrayBuffer>, time: number): void {
    const { id } = request;
    switch (request.name) {
      case "msgget": {
        const { key, flags, pid } = request.fields;
        const queue = this.#table.msgget({ ...client.user, pid }, key, flags, time);
        client.session.remember(id, this.#outbox.reply(client, id, "msggetReply", { id: queue }));
        return;
      }
      case "msgsnd":
        this.#send(client, id, request.fields, payload.slice(), time);
        return this.#complete();
      case "msgrcv":
        this.#receive(client, id, request.fields, time);
        return this.#complete();
      case "msgack": {
        const { message, deliveryCount, isAccepted } = request.fields;
        const { token } = client.session;
        // an acknowledgement that comes twice must not be taken for that of a later delivery
        const isIt = this.#table.heldMessage(token, message, 0)?.deliveryCount === deliveryCount;
        if (isIt) this.#letGo(token, message, isAccepted, time);
        this.#outbox.reply(client, id, "done", {});
        return this.#complete();
      }
      case "msgctl":
        this.#control(client, id, request.fields, time);
        return this.#complete();
    }
  }

  #send(
    client: Client,
    id: number,
    { id: queue, type, flags, pid }: (QueueRequest & { name: "msgsnd" })["fields"],
    data: Uint8Array<ArrayBuffer>,
    time: number,
  ): void {
    const { token } = client.session;
    if (this.#of(token).waiting.has(id)) return; // it came again, over another connection
    const call = { id: queue | 0, type, data, flags };
    const sent = this.#table.msgsnd({ ...client.user, pid }, token, call, time);
    if (sent.outcome === "blocked") this.#wait(client, id, sent.ticket);
    else this.#sent(client, id);
  }

  #sent(client: Client, id: number): void {
    client.session.remember(id, this.#outbox.reply(client, id, "done", {}));
  }

  #receive(
    client: Client,
    id: number,
    { id: queue, size, type, flags, pid, isHeld }: (QueueRequest & { name: "msgrcv" })["fields"],
    time: number,
  ): void {
    const { token } = client.session;
    const { waiting, held } = this.#of(token);
    if (waiting.has(id)) return; // it came again, over another connection
    const number = held.get(id);
    const again = number === undefined ? undefined : this.#table.heldMessage(token, number, size);
    if (again) return this.#give(client, id, again);
    const call = { id: queue | 0, size, type: Number(BigInt.asIntN(64, type)), flags, isHeld };
    const received = this.#table.msgrcv({ ...client.user, pid }, token, call, time);
    if (received.outcome === "blocked") this.#wait(client, id, received.ticket);
    else this.#received(client, id, received.message);
  }

  #received(client: Client, id: number, message: Received): void {
    const { token } = client.session;
    if (this.#table.heldMessage(token, message.number, 0)) this.#note(token, id, message.number);
    this.#give(client, id, message);
  }

  #give(client: Client, id: number, { number, type, data, deliveryCount }: Received): void {
    this.#outbox.reply(client, id, "msgrcvReply", { message: number, type, deliveryCount }, data);
  }

  #wait(client: Client, id: number, ticket: number): void {
    const { waiting } = this.#of(client.session.token);
    if (waiting.size >= CLIENT_WAITING_MAX) {
      this.#table.cancel(ticket);
      const next = `${CLIENT_WAITING_MAX} of its calls wait already; cancel some`;
      throw refusal("wait", "EAGAIN", "have one more call of this session wait", next);
    }
    waiting.set(id, ticket);
    this.#requestByTicket.set(ticket, id);
  }

  #control(
    client: Client,
    id: number,
    { id: queue, command, isGiven, pid, ...change }: (QueueRequest & { name: "msgctl" })["fields"],
    time: number,
  ): void {
    const call = { id: queue | 0, command, change: isGiven ? change : undefined };
    const result = msgctl(this.#table, { ...client.user, pid }, call, time);
    const reply = this.#outbox.reply(client, id, "msgctlReply", toMsgctlReply(result));
    if (!isQuestion(command)) client.session.remember(id, reply);
  }

  /** Answers the calls that wait no more. */
  #complete(): void {
    for (const completion of this.#table.takeCompletions()) {
      const id = this.#requestByTicket.get(completion.ticket);
      const client = this.#clients.get(completion.session);
      if (id === undefined || !client) continue;
      this.#requestByTicket.delete(completion.ticket);
      this.#of(completion.session).waiting.delete(id);
      this.#answer(client, id, completion);
    }
  }

  #answer(client: Client, id: number, completion: Completion): void {
    switch (completion.outcome) {
      case "sent":
        return this.#sent(client, id);
      case "received":
        return this.#received(client, id, completion.message);
      case "refused": {
        const { code, message } = completion.error;
        this.#outbox.reply(client, id, "error", { code, message });
      }
    }
  }

  /** A message in delivery is gone, or goes back. */
  #letGo(token: string, number: number, isAccepted: boolean, time: number): void {
    const isHeld = isAccepted
      ? this.#table.acknowledge(token, number, time)
      : this.#table.giveBack(token, number, time);
    // given back, it may be in delivery to another one already; that is noted when its call is completed
    if (isHeld) this.#forget(number);
  }

  #forget(number: number): void {
    const delivery = this.#deliveries.get(number);
    if (!delivery) return;
    this.#deliveries.delete(number);
    this.#of(delivery.session).held.delete(delivery.request);
  }

  /** The answer to request `id` is not wanted any more. @returns whether it waited, and waits no more. */
  cancel(client: Client, id: number, time: number): boolean {
    const { token } = client.session;
    const { waiting, held } = this.#of(token);
    const number = held.get(id);
    if (number !== undefined) this.#letGo(token, number, false, time);
    const ticket = waiting.get(id);
    if (ticket !== undefined) {
      this.#table.cancel(ticket);
      waiting.delete(id);
      this.#requestByTicket.delete(ticket);
    }
    this.#complete();
    return ticket !== undefined;
  }

  /** A session has ended: its calls wait no more, and what was in delivery to it goes to others. */
  endSession(token: string, time: number): void {
    const underWay = this.#underWay.get(token);
    for (const ticket of underWay?.waiting.values() ?? []) this.#requestByTicket.delete(ticket);
    for (const number of underWay?.held.values() ?? []) this.#deliveries.delete(number);
    this.#underWay.delete(token);
    this.#table.endSession(token, time);
    this.#complete();
  }

  /** What is to be stored; undefined when nothing has changed. */
  takeChanges(): QueueChanges | undefined {
    const { messages, ...changes } = this.#table.takeChanges();
    const { queues, removedQueues, removedMessages } = changes;
    if (queues.length + removedQueues.length + messages.length + removedMessages.length === 0) return undefined;
    for (const number of removedMessages) this.#forget(number); // with its queue, say
    const rows = messages.map((row) => ({ ...row, request: this.#deliveries.get(row.number)?.request ?? null }));
    return { ...changes, messages: rows };
  }
}
