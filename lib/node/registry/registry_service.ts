/**
 * What a registry does with the bytes that reach its port.
 *
 *   - What was received together is served together: ONE transaction stores all it has changed, and only then does any
 *     answer leave. So whatever anybody was told is in the store, for the next life of a registry that is killed.
 *   - A request that has to wait keeps nobody waiting: not even the requests behind it on its connection.
 *   - When a session ends, so do its leases. The sessions of an earlier life have LAPSE_MS to come back; then they end.
 *   - When the registry itself ends, no session does: the next life may take them up.
 *   - What cannot be stored ends the process: a table that knows more than its file must not answer.
 */
import { ProtocolError, SystemError } from "../../base/errors.ts";
import { QueueTable } from "../../ipc/queues/queue_table.ts";
import type { Inbox } from "../../net/inbox.ts";
import { SILENT_MS_MAX } from "../../net/transport.ts";
import type { Link, Service } from "../../net/transport.ts";
import { NameTable } from "../../registry/name_table.ts";
import { meetEpoch } from "../../wire/epoch.ts";
import type { EpochWord } from "../../wire/epoch.ts";
import { decodeHeader, frameSizes, requirePayload } from "../../wire/frame.ts";
import type { Header } from "../../wire/frame.ts";
import { PREFIX_SIZE } from "../../wire/messages.ts";
import { ENTRY_MS_MAX } from "../common/door.ts";
import type { Door, Guest, Visit } from "../common/door.ts";
import type { LogSink } from "../common/log_sink.ts";
import { Clients } from "./clients.ts";
import type { Client, User } from "./clients.ts";
import { isNameRequest, NameRequests } from "./name_requests.ts";
import { Outbox, OUTBOX_SIZE_MAX } from "./outbox.ts";
import { isQueueRequest, QueueRequests } from "./queue_requests.ts";
import type { RegistryStore } from "./registry_state.ts";

/** How long the sessions of an earlier life have to come back. */
export const LAPSE_MS = SILENT_MS_MAX;

/** What a service needs of the process it runs in; a simulator has another one. */
export interface RegistryHost {
  /** Whom a guest's requests are made for. */
  userOf(guest: Guest): User;
  /** Milliseconds of a clock that only goes forward. */
  nowMs(): number;
  /** Seconds since 1970. */
  time(): number;
  /** A line for the log. */
  readonly log: LogSink;
}

/** What a registry tells of itself. */
export interface RegistryAbout {
  /** Its process. */
  readonly pid: number;
  /** Which transport serves. */
  readonly transport: "epoll" | "deno";
}

class Conversation {
  client: Client | undefined;

  /** @param visit until the door has let it in. */
  constructor(public visit: Visit | undefined) {}
}

/** See the head of this file. */
export class RegistryService implements Service {
  readonly #store: RegistryStore;
  readonly #host: RegistryHost;
  readonly #about: RegistryAbout;
  readonly #door: Door;
  readonly #names: NameTable;
  readonly #epoch: EpochWord;
  readonly #outbox: Outbox;
  readonly #queues: QueueTable;
  readonly #nameRequests: NameRequests;
  readonly #queueRequests: QueueRequests;
  readonly #clients: Clients;
  readonly #startedMs: number;
  #storedEpoch: EpochWord;
  #requestCount = 0;
  #isLapsing: boolean;
  #isSettling = false;
  #isEnding = false;

  /** Goes on from what `store` has. @param door who comes in. @throws CheckpointError where that is no registry's. */
  constructor(store: RegistryStore, host: RegistryHost, about: RegistryAbout, door: Door) {
    this.#door = door;
    this.#store = store;
    this.#host = host;
    this.#about = about;
    this.#names = new NameTable(store.readNames());
    const rows = store.readQueues();
    this.#queues = new QueueTable(rows ? { rows } : {});
    this.#epoch = store.readEpoch();
    this.#storedEpoch = { ...this.#epoch };
    this.#outbox = new Outbox(this.#epoch);
    this.#nameRequests = new NameRequests(this.#names, this.#outbox);
    const absent = new Set([...this.#names.sessions, ...this.#queues.sessions]);
    this.#clients = new Clients(absent);
    this.#queueRequests = new QueueRequests(this.#queues, rows?.messages ?? [], this.#clients, this.#outbox);
    this.#isLapsing = absent.size > 0;
    this.#startedMs = host.nowMs();
  }

  /** From now on no session ends any more. */
  end(): void {
    this.#isEnding = true;
  }

  /** How many names it knows. */
  get nameCount(): number {
    return this.#names.size;
  }

  /** How many queues it has. */
  get queueCount(): number {
    return this.#queues.usage.queueCount;
  }

  // ---- what the transport says

  /** See {@linkcode Service}. */
  opened(link: Link): void {
    link.state = new Conversation(this.#door.opened(link, ENTRY_MS_MAX));
  }

  /** See {@linkcode Service}. */
  closed(link: Link): void {
    const { client, visit } = link.state as Conversation;
    if (visit) this.#door.closed(visit);
    if (!client || this.#isEnding || !this.#clients.end(client, link)) return;
    this.#endSession(client.session.token, client);
    this.#settle();
  }

  /** See {@linkcode Service}. */
  receivedTogether(inbox: Inbox): void {
    for (let index = 0; index < inbox.count; index++) {
      const letter = inbox.at(index);
      try {
        this.#serveAll(letter.link, inbox.bytes, inbox.view, letter);
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        // `received` meets it again, where it ends the connection
      }
    }
    this.#settle();
  }

  /** See {@linkcode Service}. */
  received(
    link: Link,
    bytes: Uint8Array<ArrayBuffer>,
    view: DataView<ArrayBuffer>,
    end: number,
    start: number = 0,
  ): number {
    const part = { start, end };
    try {
      this.#serveAll(link, bytes, view, part);
    } finally {
      this.#settle();
    }
    return part.start;
  }

  /** See {@linkcode Service}. */
  nextTickMs(): number {
    const now = this.#host.nowMs();
    const lapseMs = this.#isLapsing ? this.#startedMs + LAPSE_MS - now : Infinity;
    return Math.max(0, Math.min(lapseMs, this.#nameRequests.waiting.nextMs(now), this.#door.nextTickMs()));
  }

  /** See {@linkcode Service}. */
  tick(): void {
    const now = this.#host.nowMs();
    if (this.#isLapsing && now >= this.#startedMs + LAPSE_MS) this.#lapse();
    this.#nameRequests.waiting.expire(now);
    this.#settle();
    this.#door.tick();
  }

  #lapse(): void {
    this.#isLapsing = false;
    const absent = this.#clients.takeAbsent();
    for (const token of absent) this.#endSession(token, undefined);
    if (absent.length > 0) {
      this.#host.log("info", `${absent.length} session(s) did not come back: what they leased is free`);
    }
  }

  #endSession(token: string, client: Client | undefined): void {
    const time = this.#host.time();
    this.#nameRequests.endSession(token, client, time);
    this.#queueRequests.endSession(token, time);
  }

  // ---- serving

  /** Serves the whole frames at the front of a part, which begins after them then. */
  #serveAll(
    link: Link,
    bytes: Uint8Array<ArrayBuffer>,
    view: DataView<ArrayBuffer>,
    part: { start: number; readonly end: number },
  ): void {
    const talk = link.state as Conversation;
    if (talk.visit) {
      this.#enter(link, talk, talk.visit, bytes, view, part);
      if (talk.visit) return;
    }
    while (part.end - part.start >= PREFIX_SIZE && !link.isBlocked) {
      const { headerSize, payloadSize } = frameSizes(view, part.start);
      const headerAt = part.start + PREFIX_SIZE;
      const payloadAt = headerAt + headerSize;
      if (payloadAt > part.end) return link.want(payloadAt - part.start);
      const header = decodeHeader(bytes.subarray(headerAt, payloadAt));
      requirePayload(header.name, payloadSize);
      const end = payloadAt + payloadSize;
      if (end > part.end) return link.want(end - part.start);
      this.#serve(talk, header, bytes.subarray(payloadAt, end));
      part.start = end; // only now: who breaks the protocol is met once more, and closed
      if (this.#outbox.size > OUTBOX_SIZE_MAX) this.#settle();
    }
  }

  /** Takes what one says who is not let in yet; the door answers him itself, at once. */
  #enter(
    link: Link,
    talk: Conversation,
    visit: Visit,
    bytes: Uint8Array<ArrayBuffer>,
    view: DataView<ArrayBuffer>,
    part: { start: number; readonly end: number },
  ): void {
    try {
      part.start = this.#door.enter(visit, bytes, view, part.start, part.end);
    } finally {
      link.endReplies();
    }
    if (!visit.guest || !visit.hello) return;
    talk.visit = undefined;
    this.#welcome(link, talk, visit.guest, visit.hello, visit.version);
  }

  #serve(talk: Conversation, header: Header, payload: Uint8Array<ArrayBuffer>): void {
    this.#requestCount++;
    meetEpoch(this.#epoch, header.incarnation, header.epoch);
    const { client } = talk;
    if (header.name === "hello" || !client) throw new ProtocolError("a second hello");
    client.incarnation = header.incarnation;
    client.session.isRemembered = true;
    const answered = client.session.answered(header.id);
    if (answered) return this.#outbox.say(client, answered);
    try {
      this.#answer(client, header, payload);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.#outbox.reply(client, header.id, "error", { code: error.code, message: error.message });
    }
  }

  #welcome(
    link: Link,
    talk: Conversation,
    guest: Guest,
    hello: Header & { readonly name: "hello" },
    version: number,
  ): void {
    this.#settle(); // a session that moves here leaves its answers behind: none may come before the welcome
    const { id, incarnation, epoch, fields } = hello;
    meetEpoch(this.#epoch, incarnation, epoch);
    const { client, left } = this.#clients.greet(fields.token.toHex(), link, this.#host.userOf(guest));
    client.incarnation = incarnation;
    talk.client = client;
    this.#outbox.reply(client, id, "welcome", {
      version,
      role: "registry",
      token: Uint8Array.fromHex(client.session.token),
      // one taken up from an earlier life keeps what it had, but its answers are not known
      resumed: left !== undefined && client.session.isRemembered,
      cookie: "",
    });
    left?.close();
  }

  #answer(client: Client, header: Header, payload: Uint8Array<ArrayBuffer>): void {
    const { id } = header;
    const time = this.#host.time();
    if (isQueueRequest(header)) return this.#queueRequests.serve(client, header, payload, time);
    if (isNameRequest(header)) return this.#nameRequests.serve(client, header, this.#host.nowMs(), time);
    switch (header.name) {
      case "ping":
        return void this.#outbox.reply(client, id, "pong", {});
      case "cancel":
        return this.#cancel(client, id, header.fields.request);
      case "registryInfo":
        return void this.#outbox.reply(client, id, "registryInfoReply", {
          ...this.#about,
          revision: this.#names.revision,
          nameCount: this.#names.size,
          queueCount: this.queueCount,
          messageCount: this.#queues.usage.messageCount,
          sessionCount: this.#clients.count,
          absentCount: this.#clients.absentCount,
          requestCount: this.#requestCount,
          uptimeMs: Math.round(this.#host.nowMs() - this.#startedMs),
        });
      default:
        throw new SystemError(header.name, "ENOSYS", `this is a registry; it does not answer ${header.name}`);
    }
  }

  #cancel(client: Client, id: number, request: number): void {
    const isName = this.#nameRequests.waiting.cancel(client, request);
    if (isName || this.#queueRequests.cancel(client, request, this.#host.time())) {
      this.#outbox.reply(client, request, "error", { code: "EINTR", message: "it was cancelled" });
    }
    this.#outbox.reply(client, id, "done", {});
  }

  // ---- storing, then answering

  /** Stores what has changed, then has the answers leave; an answer that cannot leave may end a session, and so on. */
  #settle(): void {
    if (this.#isSettling) return;
    this.#isSettling = true;
    try {
      while (this.#storeChanges() || this.#outbox.size > 0) this.#outbox.deliver();
    } finally {
      this.#isSettling = false;
    }
  }

  /** Returns whether anything had changed. */
  #storeChanges(): boolean {
    const names = this.#names.takeChanges();
    const queues = this.#queueRequests.takeChanges();
    const { incarnation, epoch } = this.#epoch;
    const isNewEpoch = incarnation !== this.#storedEpoch.incarnation || epoch !== this.#storedEpoch.epoch;
    if (!names && !queues && !isNewEpoch) return false;
    if (isNewEpoch) this.#storedEpoch = { incarnation, epoch };
    this.#store.store({ names, queues, epoch: isNewEpoch ? this.#storedEpoch : undefined });
    return true;
  }
}
