/** Requests on names: what is answered, and what waits until a name is bound or something changes. */
import type { Header } from "../../wire/frame.ts";
import { NAMES_PER_REPLY_MAX } from "../../wire/messages.ts";
import type { Cell } from "../../wire/messages.ts";
import { refusal } from "../../ipc/common/refusal.ts";
import type { NameTable } from "../../registry/name_table.ts";
import type { Binding, NameEvent } from "../../registry/names.ts";
import type { Client } from "./clients.ts";
import type { Outbox } from "./outbox.ts";
import { CLIENT_WAITING_MAX, WaitingRequests } from "./waiting_requests.ts";

const REQUESTS = ["bind", "unbind", "query", "list", "watch"] as const;

/** A request on names. */
export type NameRequest = Header & { readonly name: (typeof REQUESTS)[number] };

/** Whether `header` is one. */
export function isNameRequest(header: Header): header is NameRequest {
  return (REQUESTS as readonly string[]).includes(header.name);
}

/** What all watches wait for; a name is never empty. */
const ANY_NAME = "";

/** See the head of this file. */
export class NameRequests {
  readonly #table: NameTable;
  readonly #outbox: Outbox;
  /** Those that wait. */
  readonly waiting = new WaitingRequests();

  /** @param table whose changes are stored before the outbox is delivered. */
  constructor(table: NameTable, outbox: Outbox) {
    this.#table = table;
    this.#outbox = outbox;
  }

  /**
   * Serves a request.
   *
   * @param nowMs for those that wait. @param time of a change, in seconds since 1970.
   * @throws SystemError: it is refused.
   */
  serve(client: Client, request: NameRequest, nowMs: number, time: number): void {
    const { id } = request;
    switch (request.name) {
      case "bind": {
        const { name, value, isLeased, replaces } = request.fields;
        const who = { uid: client.user.uid, session: client.session.token };
        return this.#changed(client, id, name, this.#table.bind(who, name, value, { isLeased, replaces }, time));
      }
      case "unbind": {
        const { name } = request.fields;
        return this.#changed(client, id, name, this.#table.unbind(client.user, name, time));
      }
      case "query":
        return this.#query(client, id, request.fields.name, nowMs + request.fields.waitMs, nowMs);
      case "list": {
        const { prefix, after } = request.fields;
        const page = this.#table.page(prefix, after, NAMES_PER_REPLY_MAX);
        const names = page.map(bindingRow);
        const isLast = page.length < NAMES_PER_REPLY_MAX;
        this.#outbox.reply(client, id, "listReply", { revision: this.#table.revision, names, isLast });
        return;
      }
      case "watch":
        return this.#watch(client, id, request.fields.since, nowMs + request.fields.waitMs, nowMs);
    }
  }

  #changed(client: Client, id: number, name: string, revision: number): void {
    client.session.remember(id, this.#outbox.reply(client, id, "revisionReply", { revision }));
    this.#wake(name);
  }

  #wake(name: string): void {
    this.waiting.wake(name);
    this.waiting.wake(ANY_NAME);
  }

  #query(client: Client, id: number, name: string, dueMs: number, nowMs: number): void {
    const answer = (isOver: boolean): boolean => {
      const binding = this.#table.query(name);
      if (!binding && !isOver) return false;
      if (binding) this.#outbox.reply(client, id, "queryReply", replyFrom(binding));
      else this.#outbox.reply(client, id, "error", { code: "ENOENT", message: `${name} is not bound` });
      return true;
    };
    if (!answer(dueMs <= nowMs)) this.#wait(client, id, name, dueMs, answer);
  }

  #watch(client: Client, id: number, since: number, dueMs: number, nowMs: number): void {
    const answer = (isOver: boolean): boolean => {
      const events = this.#table.eventsSince(since, NAMES_PER_REPLY_MAX);
      if (events.length === 0 && !isOver) return false;
      const next = events.at(-1)?.revision ?? since;
      this.#outbox.reply(client, id, "watchReply", { next, events: events.map(eventRow) });
      return true;
    };
    if (!answer(dueMs <= nowMs)) this.#wait(client, id, ANY_NAME, dueMs, answer);
  }

  #wait(client: Client, id: number, topic: string, dueMs: number, answer: (isOver: boolean) => boolean): void {
    if (!this.waiting.hasRoom(client)) {
      const next = `${CLIENT_WAITING_MAX} of its requests wait already; cancel some`;
      throw refusal("wait", "EAGAIN", "have one more request of this session wait", next);
    }
    this.waiting.add(client, id, topic, dueMs, answer);
  }

  /** A session has ended. @param client undefined for one that never came back. */
  endSession(token: string, client: Client | undefined, time: number): void {
    if (client) this.waiting.forget(client);
    for (const name of this.#table.endSession(token, time)) this.#wake(name);
  }
}

function replyFrom({ value, revision, session, uid, time }: Binding) {
  return { value, revision, isLeased: session !== null, uid, time };
}

function bindingRow({ name, value, revision, session, uid, time }: Binding): Cell[] {
  return [name, value, revision, session !== null, uid, time];
}

function eventRow({ revision, kind, name, value, isLeased, uid, time }: NameEvent): Cell[] {
  return [revision, kind, name, value, isLeased, uid, time];
}
