/**
 * Requests that are answered once something has happened, or their time is up: each waits for one topic.
 *
 * Nothing is looked at until a topic is woken or the next one is due, so those who wait cost nothing.
 */
import type { Client } from "./clients.ts";

/** How many requests of one client may wait. */
export const CLIENT_WAITING_MAX = 1024;

/** A request that waits. */
interface Waiting {
  readonly id: number;
  readonly topic: string;
  readonly dueMs: number;
  /** Answers it if it can be answered, or `isOver`: its time is up. Returns whether it did. */
  readonly answer: (isOver: boolean) => boolean;
}

/** See the head of this file. */
export class WaitingRequests {
  readonly #byTopic = new Map<string, Set<Waiting>>();
  readonly #byClient = new Map<Client, Map<number, Waiting>>();
  /** No later than when the first of them is due. */
  #dueMs = Infinity;

  /** Whether one more request of `client` may wait. */
  hasRoom(client: Client): boolean {
    return (this.#byClient.get(client)?.size ?? 0) < CLIENT_WAITING_MAX;
  }

  /** Has request `id` wait, in place of the same one that came over a connection before. */
  add(client: Client, id: number, topic: string, dueMs: number, answer: Waiting["answer"]): void {
    this.cancel(client, id);
    const own = this.#byClient.get(client) ?? new Map<number, Waiting>();
    const others = this.#byTopic.get(topic) ?? new Set<Waiting>();
    const settled = (isOver: boolean): boolean => {
      if (!answer(isOver)) return false;
      this.cancel(client, id);
      return true;
    };
    const waiting = { id, topic, dueMs, answer: settled };
    this.#byClient.set(client, own.set(id, waiting));
    this.#byTopic.set(topic, others.add(waiting));
    this.#dueMs = Math.min(this.#dueMs, dueMs);
  }

  /** Something has happened to `topic`. */
  wake(topic: string): void {
    for (const waiting of [...this.#byTopic.get(topic) ?? []]) waiting.answer(false);
  }

  /** Lets go of a request without answering it. @returns whether it waited. */
  cancel(client: Client, id: number): boolean {
    const own = this.#byClient.get(client);
    const waiting = own?.get(id);
    if (!own || !waiting) return false;
    own.delete(id);
    if (own.size === 0) this.#byClient.delete(client);
    const others = this.#byTopic.get(waiting.topic);
    others?.delete(waiting);
    if (others?.size === 0) this.#byTopic.delete(waiting.topic);
    return true;
  }

  /** Lets go of all that a client waits for. */
  forget(client: Client): void {
    for (const id of [...this.#byClient.get(client)?.keys() ?? []]) this.cancel(client, id);
  }

  /** In how many ms `expire` has something to do, at most; Infinity: nobody waits for a time. */
  nextMs(nowMs: number): number {
    return this.#dueMs - nowMs;
  }

  /** Answers those whose time is up. */
  expire(nowMs: number): void {
    if (nowMs < this.#dueMs) return;
    this.#dueMs = Infinity;
    for (const own of [...this.#byClient.values()]) {
      for (const waiting of [...own.values()]) {
        if (waiting.dueMs <= nowMs) waiting.answer(true);
        else this.#dueMs = Math.min(this.#dueMs, waiting.dueMs);
      }
    }
  }
}
