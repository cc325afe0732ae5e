/**
 * Where messages meet receivers, and senders meet room; and what becomes of those that must wait.
 *
 *   - A receiver that waits gets a fitting message directly, in the order of waiting; one for whom it is too long gets
 *     E2BIG, and the next is asked.
 *   - Of the senders that wait each one goes for whose message there is room, in order; who does not fit keeps his place.
 *     (Linux sends him to the end of the line when two had room and only one could have it.)
 *   - **Delivery.** Every message goes from its queue into delivery to a session, and from there it goes by `acknowledge`.
 *     Unless the receiver asked to have it *held* that happens at once, and all is as in a kernel. Held, it comes back by
 *     `giveBack` or the end of the session: to its old place, before all that were sent after it, and to whoever waits.
 *   - Whoever waited when permissions were changed is judged by the new ones: receivers at once, senders when there is room.
 *
 * Whether a call may be made at all is the table's to know; here it is made.
 */
import type { SystemError } from "../../base/errors.ts";
import { invariant } from "../../base/assert.ts";
import { mayAccess, READ, WRITE } from "../common/permissions.ts";
import type { Principal } from "../common/permissions.ts";
import type { CallEnd, Completion, Received } from "./calls.ts";
import type { Message, Queue } from "./queue.ts";
import type { QueueStore } from "./queue_store.ts";
import { forbidden, removed, tooLong } from "./refusals.ts";
import { isWanted } from "./selection.ts";
import { WaitingCalls } from "./waiting_calls.ts";
import type { WaitingReceiver, WaitingSender } from "./waiting_calls.ts";

/** Who gets a message, and how. */
export type Receiver = Pick<WaitingReceiver, "who" | "session" | "roomSize" | "isHeld">;

/** See the head of this file. */
export class Exchange {
  /** The calls that wait. */
  readonly waiting = new WaitingCalls();
  readonly #store: QueueStore;
  #completions: Completion[] = [];

  /** @param store where the queues are. */
  constructor(store: QueueStore) {
    this.#store = store;
  }

  /** See `QueueTable.takeCompletions`. */
  takeCompletions(): Completion[] {
    const completions = this.#completions;
    this.#completions = [];
    return completions;
  }

  /** Gives a new message, for which there is room, to a receiver that waits for it, or puts it into its queue. */
  send(id: number, who: Principal, type: number, data: Uint8Array<ArrayBuffer>, now: number): void {
    this.#store.update(id, { lspid: who.pid, stime: now });
    const message = this.#store.make(id, type, data);
    for (const receiver of this.waiting.receiversOf(id)) {
      if (isWanted(receiver.wanted, type) && this.#offer(message, receiver, now)) return;
    }
    this.#store.enqueue(message);
  }

  /** Ends the wait of a receiver, with the message or with E2BIG. @returns whether he has taken it. */
  #offer(message: Message, receiver: WaitingReceiver, now: number): boolean {
    const { queueId, data } = message;
    if (data.length > receiver.sizeMax) {
      this.#refuse(receiver, tooLong(queueId, data.length, receiver.sizeMax));
      return false;
    }
    this.#end(receiver, { outcome: "received", message: this.#deliver(message, receiver, now) });
    return true;
  }

  /** Gives a message out of its queue to a receiver, and the room to whoever waits for it. */
  receive(message: Message, receiver: Receiver, now: number): Received {
    const received = this.#deliver(message, receiver, now);
    this.#wakeSenders(message.queueId, now);
    return received;
  }

  #deliver(message: Message, { who, session, roomSize, isHeld }: Receiver, now: number): Received {
    this.#store.update(message.queueId, { lrpid: who.pid, rtime: now });
    const delivered = this.#store.hold(message, session);
    if (!isHeld) this.#store.release(message.number);
    return receivedOf(delivered, roomSize);
  }

  /** See `QueueTable.acknowledge`. */
  acknowledge(session: string, number: number, now: number): boolean {
    const held = this.#store.held(number);
    if (held?.session !== session) return false;
    this.#store.release(number);
    this.#wakeSenders(held.message.queueId, now);
    return true;
  }

  /** See `QueueTable.giveBack`. */
  giveBack(session: string, number: number, now: number): boolean {
    if (this.#store.held(number)?.session !== session) return false;
    this.#putBack([number], now);
    return true;
  }

  /** See `QueueTable.endSession`. */
  endSession(session: string, now: number): void {
    for (const ticket of this.waiting.ofSession(session)) this.waiting.remove(ticket);
    this.#putBack(this.#store.heldBy(session), now);
  }

  /** First all go back, then the receivers look: one that asks for the least type is to meet that, not the oldest. */
  #putBack(numbers: readonly number[], now: number): void {
    const ids = new Set(numbers.map((number) => this.#store.putBack(number).queueId));
    ids.forEach((id) => this.recheck(id, now));
  }

  /** Permissions or `qbytes` of queue `id` were changed, or messages came back: everybody who waits looks again. */
  recheck(id: number, now: number): void {
    const queue = this.#queue(id);
    for (const receiver of this.waiting.receiversOf(id)) {
      if (!mayAccess(queue, receiver.who, READ)) {
        this.#refuse(receiver, forbidden("msgrcv", `receive from queue ${id}`, queue));
        continue;
      }
      const message = this.#store.waitingIn(id).find(receiver.wanted);
      if (message) this.#offer(message, receiver, now);
    }
    this.#wakeSenders(id, now);
  }

  #wakeSenders(id: number, now: number): void {
    for (const sender of this.waiting.sendersOf(id)) {
      if (!this.#store.hasRoom(id, sender.data.length)) continue;
      const queue = this.#queue(id);
      if (!mayAccess(queue, sender.who, WRITE)) {
        this.#refuse(sender, forbidden("msgsnd", `send to queue ${id}`, queue));
        continue;
      }
      this.#end(sender, { outcome: "sent" });
      this.send(id, sender.who, sender.type, sender.data, now);
    }
  }

  /** Takes queue `id` out with all its messages; whoever waits there gets EIDRM. */
  remove(id: number): void {
    for (const receiver of this.waiting.receiversOf(id)) this.#refuse(receiver, removed("msgrcv", id));
    for (const sender of this.waiting.sendersOf(id)) this.#refuse(sender, removed("msgsnd", id));
    this.#store.remove(id);
  }

  #queue(id: number): Queue {
    const queue = this.#store.get(id);
    invariant(queue !== undefined, `queue ${id} is in the store`);
    return queue;
  }

  #refuse(call: WaitingSender | WaitingReceiver, error: SystemError): void {
    this.#end(call, { outcome: "refused", error });
  }

  #end({ ticket, session }: WaitingSender | WaitingReceiver, how: CallEnd): void {
    this.waiting.remove(ticket);
    this.#completions.push({ ticket, session, ...how });
  }
}

/** A message as its receiver gets it, cut to his room. */
export function receivedOf({ number, type, data, deliveryCount }: Message, roomSize: number): Received {
  return { number, type, data: data.subarray(0, roomSize), deliveryCount };
}
