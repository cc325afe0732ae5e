/**
 * Where the queues are: by id, by key and by index, with their messages.
 *
 *   - A message is in one of two states: it *waits* in its queue's list, or it is *in delivery*, held by one session until
 *     that acknowledges it (it is gone) or gives it back (it waits again, at its old place).
 *   - A message in delivery keeps its room, so that there is room when it comes back; but it is no longer in the queue for
 *     `qnum` and `cbytes`.
 *   - Queues and messages are replaced, never altered: who has one in hand has it as it was.
 *   - What was changed is remembered until `takeChanges`, so that whoever stores the table stores only that. A message that
 *     came and went in between leaves no trace.
 *
 * Knows nothing of permissions and errors: that is the table's.
 */
import { invariant } from "../../base/assert.ts";
import { IPC_PRIVATE } from "../common/flags.ts";
import { ObjectIds } from "../common/object_ids.ts";
import type { Circle } from "../common/object_ids.ts";
import { MessageList } from "./message_list.ts";
import type { Message, Queue } from "./queue.ts";

/** What may be changed of a queue. */
export type QueueUpdate = Partial<Omit<Queue, "id" | "key" | "cuid" | "cgid">>;

/** A message in delivery. */
export interface Held {
  /** The message. */
  readonly message: Message;
  /** The session that has it. */
  readonly session: string;
}

/** A message, in delivery to a session or, where that is null, waiting. */
export interface Placed {
  /** The message. */
  readonly message: Message;
  /** Who has it. */
  readonly session: string | null;
}

/** What is to be stored: what is still there by its present row, what is not by deleting its row. */
export interface Changes {
  /** Ids of queues. */
  readonly queues: readonly number[];
  /** Messages that are there. */
  readonly messages: readonly Placed[];
  /** Numbers of messages that are gone and were there when this was last asked for. */
  readonly removedMessages: readonly number[];
}

interface Contents {
  readonly waiting: MessageList;
  heldCount: number;
  heldSize: number;
}

/** See the head of this file. */
export class QueueStore {
  /** The ids, each of a queue. */
  readonly ids: ObjectIds;
  readonly #byId = new Map<number, Queue>();
  readonly #byKey = new Map<number, number>();
  readonly #contents = new Map<number, Contents>();
  readonly #held = new Map<number, Held>();
  readonly #heldBySession = new Map<string, Set<number>>();
  readonly #changedQueues = new Set<number>();
  readonly #changedMessages = new Map<number, Placed>();
  readonly #removedMessages = new Set<number>();
  #nextNumber: number;
  /** Messages from here on are younger than what was last taken as changes. */
  #firstNew: number;

  /** An empty one that goes on from those ids and that number of a message. */
  constructor(circle?: Circle, nextNumber = 1) {
    this.ids = new ObjectIds(circle);
    this.#nextNumber = nextNumber;
    this.#firstNew = nextNumber;
  }

  // ---- queues

  /** All queues, by their ids. */
  get all(): Queue[] {
    return [...this.#byId.values()].sort((a, b) => a.id - b.id);
  }

  /** How many queues there are. */
  get count(): number {
    return this.#byId.size;
  }

  /** The queue with that id. */
  get(id: number): Queue | undefined {
    return this.#byId.get(id);
  }

  /** The queue under that key. */
  find(key: number): Queue | undefined {
    const id = this.#byKey.get(key);
    return id === undefined ? undefined : this.#byId.get(id);
  }

  /** Adds a queue under a new id; there must be an index left. */
  add(queue: Omit<Queue, "id">): Queue {
    const numbered = { ...queue, id: this.ids.take() };
    this.#put(numbered);
    this.#changedQueues.add(numbered.id);
    return numbered;
  }

  /** Adds a queue as it was in an earlier life; its index and its key must be free. */
  restore(queue: Queue): void {
    this.ids.claim(queue.id);
    this.#put(queue);
  }

  #put(queue: Queue): void {
    this.#byId.set(queue.id, queue);
    if (queue.key !== IPC_PRIVATE) this.#byKey.set(queue.key, queue.id);
    this.#contents.set(queue.id, { waiting: new MessageList(), heldCount: 0, heldSize: 0 });
  }

  /** Changes a queue; it keeps its id, its key and its creator. */
  update(id: number, change: QueueUpdate): void {
    const before = this.#byId.get(id);
    invariant(before !== undefined, `queue ${id} is in the store`);
    this.#byId.set(id, { ...before, ...change });
    this.#changedQueues.add(id);
  }

  /** Takes a queue out with all its messages, those in delivery too. */
  remove(id: number): void {
    const queue = this.#byId.get(id);
    invariant(queue !== undefined, `queue ${id} is in the store`);
    for (const message of this.waitingIn(id)) this.#forget(message.number);
    for (const { message, session } of this.#held.values()) {
      if (message.queueId === id) this.#letGo(message, session);
    }
    this.#byId.delete(id);
    this.#byKey.delete(queue.key);
    this.#contents.delete(id);
    this.ids.release(id);
    this.#changedQueues.add(id);
  }

  // ---- messages

  /** The number of the next message. */
  get nextNumber(): number {
    return this.#nextNumber;
  }

  /** The messages that wait in queue `id`, to be changed by this store only. */
  waitingIn(id: number): Omit<MessageList, "insert" | "remove"> {
    return this.#contentsOf(id).waiting;
  }

  /** Whether a message of `size` bytes has room in queue `id`, as Linux reckons (ipc/msg.c: `msg_fits_inqueue`). */
  hasRoom(id: number, size: number): boolean {
    const { waiting, heldCount, heldSize } = this.#contentsOf(id);
    const qbytes = this.#byId.get(id)?.qbytes ?? 0;
    return size + waiting.size + heldSize <= qbytes && 1 + waiting.count + heldCount <= qbytes;
  }

  #contentsOf(id: number): Contents {
    const contents = this.#contents.get(id);
    invariant(contents !== undefined, `queue ${id} is in the store`);
    return contents;
  }

  /** A new message; it is nowhere until it is put into its queue, or held. */
  make(queueId: number, type: number, data: Uint8Array<ArrayBuffer>): Message {
    return { number: this.#nextNumber++, queueId, type, data, deliveryCount: 0 };
  }

  /** Puts a new message into its queue. */
  enqueue(message: Message): void {
    this.#contentsOf(message.queueId).waiting.insert(message);
    this.#changedMessages.set(message.number, { message, session: null });
  }

  /** Gives a message, new or out of its queue, to a session. @returns it, delivered once more. */
  hold(message: Message, session: string): Message {
    const { waiting } = this.#contentsOf(message.queueId);
    if (waiting.has(message.number)) waiting.remove(message);
    const delivered = { ...message, deliveryCount: message.deliveryCount + 1 };
    const held = { message: delivered, session };
    this.#addHeld(held);
    this.#changedMessages.set(message.number, held);
    return delivered;
  }

  #addHeld(held: Held): void {
    const { message: { number, queueId, data }, session } = held;
    const contents = this.#contentsOf(queueId);
    contents.heldCount++;
    contents.heldSize += data.length;
    this.#held.set(number, held);
    const numbers = this.#heldBySession.get(session);
    if (numbers) numbers.add(number);
    else this.#heldBySession.set(session, new Set([number]));
  }

  /** The message in delivery with that number. */
  held(number: number): Held | undefined {
    return this.#held.get(number);
  }

  /** All messages in delivery. */
  get allHeld(): Held[] {
    return [...this.#held.values()];
  }

  /** The sessions that hold messages. */
  get sessions(): string[] {
    return [...this.#heldBySession.keys()];
  }

  /** What a session holds, in the order of the numbers. */
  heldBy(session: string): number[] {
    return [...this.#heldBySession.get(session) ?? []].sort((a, b) => a - b);
  }

  /** A message in delivery is done with. */
  release(number: number): void {
    const { message, session } = this.#requireHeld(number);
    this.#letGo(message, session);
  }

  /** A message in delivery is to wait again, at its old place. @returns it. */
  putBack(number: number): Message {
    const { message, session } = this.#requireHeld(number);
    this.#letGo(message, session);
    this.#removedMessages.delete(number);
    this.enqueue(message);
    return message;
  }

  #requireHeld(number: number): Held {
    const held = this.#held.get(number);
    invariant(held !== undefined, `message ${number} is in delivery`);
    return held;
  }

  #letGo({ number, queueId, data }: Message, session: string): void {
    const contents = this.#contentsOf(queueId);
    contents.heldCount--;
    contents.heldSize -= data.length;
    this.#held.delete(number);
    const numbers = this.#heldBySession.get(session);
    numbers?.delete(number);
    if (numbers?.size === 0) this.#heldBySession.delete(session);
    this.#forget(number);
  }

  #forget(number: number): void {
    this.#changedMessages.delete(number);
    if (number < this.#firstNew) this.#removedMessages.add(number);
  }

  /** Adds a message as it was in an earlier life. */
  restoreMessage({ message, session }: Placed): void {
    if (session === null) this.#contentsOf(message.queueId).waiting.insert(message);
    else this.#addHeld({ message, session });
  }

  /** What was changed since this was last called. */
  takeChanges(): Changes {
    const changes = {
      queues: [...this.#changedQueues],
      messages: [...this.#changedMessages.values()],
      removedMessages: [...this.#removedMessages],
    };
    this.#changedQueues.clear();
    this.#changedMessages.clear();
    this.#removedMessages.clear();
    this.#firstNew = this.#nextNumber;
    return changes;
  }
}
