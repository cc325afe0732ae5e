/**
 * The calls that wait, each under a ticket: senders for room, receivers for a message.
 *
 *   - Those of a queue are in the order in which they began to wait; who goes on waiting keeps his place.
 *   - A ticket is never used twice. Nothing here is stored: a call that waits dies with the process, and is made again.
 *   - How many may wait is for whoever makes the calls to bound; each sender has its message with it.
 */
import type { Principal } from "../common/permissions.ts";
import type { Selection } from "./selection.ts";

interface WaitingCall {
  readonly ticket: number;
  readonly queueId: number;
  readonly who: Principal;
  readonly session: string;
}

/** A `msgsnd` that waits. */
export interface WaitingSender extends WaitingCall {
  readonly type: number;
  readonly data: Uint8Array<ArrayBuffer>;
}

/** A `msgrcv` that waits. */
export interface WaitingReceiver extends WaitingCall {
  readonly wanted: Selection;
  /** Bytes that a message may have; infinite with MSG_NOERROR, where `roomSize` cuts it. */
  readonly sizeMax: number;
  /** Bytes that it gets of a message. */
  readonly roomSize: number;
  readonly isHeld: boolean;
}

/** The calls of one kind. */
class Line<Call extends WaitingCall> {
  readonly #byQueue = new Map<number, Map<number, Call>>();

  add(call: Call): void {
    const line = this.#byQueue.get(call.queueId);
    if (line) line.set(call.ticket, call);
    else this.#byQueue.set(call.queueId, new Map([[call.ticket, call]]));
  }

  remove({ queueId, ticket }: WaitingCall): void {
    const line = this.#byQueue.get(queueId);
    line?.delete(ticket);
    if (line?.size === 0) this.#byQueue.delete(queueId);
  }

  of(queueId: number): Iterable<Call> {
    return this.#byQueue.get(queueId)?.values() ?? [];
  }
}

/** See the head of this file. */
export class WaitingCalls {
  readonly #all = new Map<number, WaitingCall>();
  readonly #senders = new Line<WaitingSender>();
  readonly #receivers = new Line<WaitingReceiver>();
  #nextTicket = 1;

  /** How many wait. */
  get count(): number {
    return this.#all.size;
  }

  /** Has a sender wait. @returns his ticket. */
  addSender(sender: Omit<WaitingSender, "ticket">): number {
    return this.#add(this.#senders, { ...sender, ticket: this.#nextTicket++ });
  }

  /** Has a receiver wait. @returns his ticket. */
  addReceiver(receiver: Omit<WaitingReceiver, "ticket">): number {
    return this.#add(this.#receivers, { ...receiver, ticket: this.#nextTicket++ });
  }

  #add<Call extends WaitingCall>(line: Line<Call>, call: Call): number {
    line.add(call);
    this.#all.set(call.ticket, call);
    return call.ticket;
  }

  /** The senders of a queue, in order; they may be removed while one goes through them. */
  sendersOf(queueId: number): Iterable<WaitingSender> {
    return this.#senders.of(queueId);
  }

  /** The receivers of a queue, in order; they may be removed while one goes through them. */
  receiversOf(queueId: number): Iterable<WaitingReceiver> {
    return this.#receivers.of(queueId);
  }

  /** The tickets of a session. */
  ofSession(session: string): number[] {
    return [...this.#all.values()].filter((call) => call.session === session).map(({ ticket }) => ticket);
  }

  /** Has a call wait no more; says whether it did. */
  remove(ticket: number): boolean {
    const call = this.#all.get(ticket);
    if (!call) return false;
    this.#all.delete(ticket);
    this.#senders.remove(call);
    this.#receivers.remove(call);
    return true;
  }
}
