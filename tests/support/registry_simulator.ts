/**
 * A registry's service, the one that ships, in a world of one thread: its clients, their connections, its clock and its
 * store are the simulator's, and one seed decides what happens when.
 *
 *   - Clients follow the protocol's rules: what may be repeated is asked again over the next connection, what may not only
 *     in a session that was resumed; what nobody answered is unknown.
 *   - Connections break with a FIN or silently; clients die; the registry is killed, at rest or in the middle of a batch,
 *     just before it is stored or just after. Only what is in its store is left then, and what its kernel had taken of its
 *     answers.
 *   - Everything goes into a {@linkcode RegistryHistory}, to be held against the models.
 */
import type { Random } from "../../lib/base/random.ts";
import { IPC_CREAT, IPC_NOWAIT, IPC_SET } from "../../lib/ipc/common/flags.ts";
import { MSG_EXCEPT } from "../../lib/ipc/queues/flags.ts";
import { Inbox } from "../../lib/net/inbox.ts";
import { Output, SILENT_MS_MAX } from "../../lib/net/transport.ts";
import type { Link } from "../../lib/net/transport.ts";
import { Door, Visit } from "../../lib/node/common/door.ts";
import { RegistryService } from "../../lib/node/registry/registry_service.ts";
import { RegistryState } from "../../lib/node/registry/registry_state.ts";
import type { RegistryChanges, RegistryStore } from "../../lib/node/registry/registry_state.ts";
import type { NameEvent } from "../../lib/registry/names.ts";
import { decodeHeader, frameSizes } from "../../lib/wire/frame.ts";
import { MAGIC, PREFIX_SIZE } from "../../lib/wire/messages.ts";
import type { Cell, Fields, MessageName } from "../../lib/wire/messages.ts";
import { concat, frame, hello } from "./frames.ts";
import type { Came } from "./frames.ts";
import { RegistryHistory } from "./registry_models.ts";
import type { NameCall, Wanted } from "./registry_models.ts";

/** What a killed registry throws out of its own store. */
class Killed extends Error {}

/** How much happens in one run. */
export interface SimulationSize {
  /** Clients at once. */
  readonly clients: number;
  /** Operations that they begin. */
  readonly operations: number;
}

const NAMES = ["a", "b"];
/** A door that lets in everybody as root without asking the kernel: what a door does is tested elsewhere. */
export class OpenDoor extends Door {
  constructor() {
    super({ ownUid: 0, isOpen: true, secret: undefined, unproved: [] }, "registry", () => {});
  }

  override opened(link: Link): Visit {
    return new Visit(link, { isLocal: true, uid: 0 });
  }
}

/** Within so many turns of everything there is an answer, or something is wrong. */
const TURNS_MAX = 1_000;
const QUEUE_KEY = 7;
const QUEUE = "7";
/** Bytes that the queue holds: so few messages that senders have to wait. */
const QUEUE_SIZE = 12;
const TEXT = new TextEncoder();

/** One connection: bytes on their way in both directions. */
export class SimLink implements Link {
  readonly peer = { host: "127.0.0.1", port: 1 };
  readonly local = { host: "127.0.0.1", port: 2 };
  readonly isEncrypted = false;
  seal: Link["seal"];
  state: unknown;
  /** On their way to the registry. */
  toServer: Uint8Array<ArrayBuffer>[] = [];
  /** On their way to the client. */
  toClient: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  isOver = false;

  constructor(readonly output: Output, private readonly closed: (link: SimLink) => void) {}

  get isBlocked(): boolean {
    return this.isOver;
  }
  hasRoomFor(): boolean {
    return true;
  }
  flush(): void {
    if (!this.isOver) this.toClient = concat(this.toClient, this.output.bytes.slice(0, this.output.size));
    this.output.size = 0;
  }
  endReplies(): void {
    this.flush();
  }
  sendMemory(): void {}
  want(): void {}
  pause(): void {}
  resume(): void {}
  close(): void {
    this.flush();
    if (this.isOver) return;
    this.isOver = true;
    this.closed(this);
  }
}

/** A request of a client that has no answer yet. */
interface Asked {
  readonly id: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly isRepeatable: boolean;
  wasSent: boolean;
  start: number;
  /** What is noted when the answer comes. */
  readonly answered: (came: Came, start: number) => void;
  /** What is noted when nobody will ever know: it may have been carried out in that session. */
  readonly unknown: (session: string, start: number) => void;
}

/** A client: a session, a connection at most, requests under way. */
class SimClient {
  link: SimLink | undefined;
  /** Its session's token; "" before the first. */
  session = "";
  isWelcome = false;
  asked: Asked[] = [];
  /** Messages that it has in delivery, to acknowledge or give back. */
  held: {
    readonly number: number;
    readonly deliveryCount: number;
    readonly message: string;
    readonly session: string;
  }[] = [];
  /** When its session may have ended, by what it knows; 0: it has not. */
  lostSince = 0;
  nextId = 1;
  events: NameEvent[] = [];
}

/** See the head of this file. */
export class RegistrySimulation {
  /** What was done, and what was told. */
  readonly history = new RegistryHistory();
  /** What happened, for whoever has to understand a failure. */
  readonly log: string[] = [];
  readonly #random: Random;
  readonly #state = RegistryState.open(":memory:");
  readonly #output = new Output();
  #service: RegistryService | undefined;
  #clients: SimClient[] = [];
  /** Sessions that end by themselves: what was begun, to be noted once it is certain. */
  #ending: { readonly session: string; readonly start: number }[] = [];
  #nowMs = 0;
  #ticks = 0;
  #messages = 0;
  /** Whether the next batch that is stored is the last one: killed before, or after. */
  #killAt: "no" | "before" | "after" = "no";
  /** Connections that broke without the registry's knowledge, and when. */
  #silent: { readonly link: SimLink; readonly sinceMs: number }[] = [];

  private constructor(random: Random) {
    this.#random = random;
  }

  /** One run. */
  static run(random: Random, { clients, operations }: SimulationSize): RegistrySimulation {
    const run = new RegistrySimulation(random);
    try {
      run.#begin();
      for (let i = 0; i < clients; i++) run.#clients.push(new SimClient());
      for (let begun = 0; begun < operations;) begun += run.#step();
      run.#end();
    } finally {
      run.#state.close();
    }
    return run;
  }

  #time(): number {
    return ++this.#ticks;
  }

  // ---- the registry

  #start(): void {
    const store: RegistryStore = {
      readNames: () => this.#state.readNames(),
      readQueues: () => this.#state.readQueues(),
      readEpoch: () => this.#state.readEpoch(),
      store: (changes) => this.#store(changes),
    };
    this.#service = new RegistryService(
      store,
      {
        userOf: () => ({ uid: 0, gid: 0, groups: [] }),
        nowMs: () => this.#nowMs,
        time: () => 1,
        log: () => {},
      },
      { pid: 1, transport: "epoll" },
      new OpenDoor(),
    );
  }

  #store(changes: RegistryChanges): void {
    if (this.#killAt === "before") throw new Killed();
    this.#state.store(changes);
    if (this.#killAt === "after") throw new Killed();
  }

  /** Lets the registry do something; when it is killed meanwhile, that is the end of its connections. */
  #serve(work: (service: RegistryService) => void): void {
    if (!this.#service) this.#start();
    try {
      work(this.#service as RegistryService);
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
      this.#kill();
    }
  }

  #kill(): void {
    this.log.push(`registry killed (${this.#killAt})`);
    this.#killAt = "no";
    this.#service = undefined;
    this.#output.size = 0;
    this.#silent = [];
    for (const client of this.#clients) if (client.link) this.#broken(client, client.link);
  }

  /** One connection is no more: what the client's kernel has may still be read. */
  #broken(client: SimClient, link: SimLink): void {
    link.isOver = true;
    if (this.#random.isOneIn(2)) this.#read(client, link);
    client.link = undefined;
    client.isWelcome = false;
    if (client.session !== "" && client.lostSince === 0) client.lostSince = this.#time();
  }

  // ---- what may happen

  /** Returns how many operations it has begun. */
  #step(): number {
    const random = this.#random;
    const client = random.pick(this.#clients);
    switch (random.below(12)) {
      case 0:
      case 1:
      case 2:
        return this.#ask(client);
      case 3:
      case 4:
      case 5:
        this.#serveSome();
        return 0;
      case 6:
      case 7:
      case 8:
        if (client.link) this.#read(client, client.link);
        return 0;
      case 9:
        this.#connect(client);
        return 0;
      case 10:
        this.#pass(random.pick([1, 20, 500, 6_000]));
        return 0;
      default:
        if (random.isOneIn(4)) this.#harm(client);
        return 0;
    }
  }

  #harm(client: SimClient): void {
    switch (this.#random.below(5)) {
      case 0:
        if (client.link) this.#fin(client, client.link);
        return;
      case 1:
        return this.#fallSilent(client);
      case 2:
        return this.#die(client);
      case 3:
        this.#killAt = this.#random.pick(["before", "after"]);
        return;
      case 4:
        return this.#kill();
    }
  }

  #fallSilent(client: SimClient): void {
    const { link } = client;
    if (!link) return;
    this.#silent.push({ link, sinceMs: this.#nowMs });
    this.#broken(client, link);
  }

  #pass(ms: number): void {
    this.#nowMs += ms;
    const isGivenUp = ({ sinceMs }: { readonly sinceMs: number }): boolean => this.#nowMs >= sinceMs + SILENT_MS_MAX;
    const [givenUp, others] = [this.#silent.filter(isGivenUp), this.#silent.filter((each) => !isGivenUp(each))];
    this.#silent = others;
    for (const { link } of givenUp) if (this.#service) this.#serve((service) => service.closed(link));
    if (this.#service && this.#service.nextTickMs() <= 0) this.#serve((service) => service.tick());
  }

  #fin(client: SimClient, link: SimLink): void {
    this.#broken(client, link);
    if (link.state !== undefined) this.#serve((service) => service.closed(link));
  }

  #die(client: SimClient): void {
    this.log.push(`client of session ${client.session.slice(0, 4)} dies`);
    const start = this.#time();
    if (client.link) {
      const { link } = client;
      link.isOver = true;
      client.link = undefined;
      if (link.state !== undefined) this.#serve((service) => service.closed(link));
    }
    for (const asked of client.asked) if (asked.wasSent) asked.unknown(client.session, asked.start);
    const since = client.lostSince === 0 ? start : client.lostSince;
    if (client.session !== "") this.#ending.push({ session: client.session, start: since });
    this.history.watched.push(client.events);
    this.#clients[this.#clients.indexOf(client)] = new SimClient();
  }

  #connect(client: SimClient): void {
    if (client.link) return;
    if (!this.#service) this.#start();
    const link = new SimLink(this.#output, (closed) => this.#serve((service) => service.closed(closed)));
    client.link = link;
    this.#serve((service) => service.opened(link));
    link.toServer.push(hello(Uint8Array.fromHex(client.session)));
  }

  /** The registry receives from some of its clients at once, as its transport would have it. */
  #serveSome(): void {
    const links = this.#clients.flatMap(({ link }) => link && link.toServer.length > 0 ? [link] : [])
      .filter(() => !this.#random.isOneIn(3));
    if (links.length === 0) return;
    const inbox = new Inbox<Link>(new Uint8Array(64 * 1024));
    for (const link of links) {
      const count = this.#random.between(1, link.toServer.length);
      const bytes = concat(...link.toServer.splice(0, count));
      inbox.bytes.set(bytes, inbox.size);
      inbox.add(link, bytes.length);
    }
    this.#serve((service) => {
      service.receivedTogether(inbox);
      if (this.#service && this.#service.nextTickMs() <= 0) this.#service.tick();
    });
  }

  // ---- a client's side

  #read(client: SimClient, link: SimLink): void {
    let bytes = link.toClient;
    link.toClient = new Uint8Array(0);
    if (!client.isWelcome && bytes.length >= MAGIC.length) bytes = bytes.subarray(MAGIC.length);
    for (let at = 0; at < bytes.length;) {
      const { headerSize, payloadSize } = frameSizes(new DataView(bytes.buffer, bytes.byteOffset), at);
      const payloadAt = at + PREFIX_SIZE + headerSize;
      const header = decodeHeader(bytes.subarray(at + PREFIX_SIZE, payloadAt));
      at = payloadAt + payloadSize;
      const payload = bytes.slice(payloadAt, at);
      if (header.name === "welcome") this.#welcomed(client, header.fields.token.toHex(), header.fields.resumed);
      else this.#answered(client, { header, payload });
    }
  }

  #welcomed(client: SimClient, token: string, isResumed: boolean): void {
    const { session } = client;
    if (session !== token && session !== "") {
      this.history.addEnd(session, client.lostSince, this.#time());
      client.held = [];
    }
    client.lostSince = 0;
    client.isWelcome = true;
    for (const asked of client.asked) {
      if (!asked.wasSent) continue;
      if (!asked.isRepeatable && !isResumed) {
        asked.unknown(session, asked.start);
        client.asked = client.asked.filter((each) => each !== asked);
      } else if (session !== token) {
        asked.unknown(session, asked.start); // what the old session did with it
        asked.start = this.#time();
      }
    }
    client.session = token;
    // one that broke while it was read is not written to any more
    if (client.link && !client.link.isOver) { for (const asked of client.asked) this.#send(client.link, asked); }
  }

  #answered(client: SimClient, came: Came): void {
    const asked = client.asked.find(({ id }) => id === came.header.id);
    if (!asked) return;
    client.asked = client.asked.filter((each) => each !== asked);
    asked.answered(came, asked.start);
  }

  #send(link: SimLink, asked: Asked): void {
    asked.wasSent = true;
    link.toServer.push(asked.bytes);
  }

  #request<N extends MessageName>(
    client: SimClient,
    name: N,
    fields: Fields<N>,
    rest: Pick<Asked, "isRepeatable" | "answered" | "unknown">,
    payload?: Uint8Array,
  ): void {
    const id = client.nextId++;
    const asked = { id, bytes: frame(name, id, fields, payload), wasSent: false, start: this.#time(), ...rest };
    client.asked.push(asked);
    if (client.link && client.isWelcome) this.#send(client.link, asked);
  }

  /** Returns how many operations it has begun. */
  #ask(client: SimClient): number {
    if (client.asked.length >= 3) return 0;
    if (client.held.length > 0 && this.#random.isOneIn(2)) return this.#letGo(client);
    switch (this.#random.below(6)) {
      case 0:
        return this.#bind(client);
      case 1:
        return this.#query(client);
      case 2:
        return this.#watch(client, this.#random.pick([0, 30]));
      case 3:
      case 4:
        return this.#sendMessage(client);
      default:
        return this.#receive(client, this.#random.isOneIn(2));
    }
  }

  #bind(client: SimClient): number {
    const name = this.#random.pick(NAMES);
    const note = (call: NameCall, start: number, end: number): void => this.history.addName(name, { call, start, end });
    if (this.#random.isOneIn(3)) {
      this.#request(client, "unbind", { name }, {
        isRepeatable: false,
        answered: ({ header }, start) => {
          const known = header.name === "revisionReply"
            ? { result: "done" as const, revision: header.fields.revision }
            : { result: "ENOENT" as const };
          note({ kind: "unbind", ...known }, start, this.#time());
        },
        unknown: (_, start) => note({ kind: "unbind" }, start, Infinity),
      });
      return 1;
    }
    const value = `${this.#random.below(4)}`;
    const how = { isLeased: this.#random.isOneIn(2), replaces: this.#random.isOneIn(2) };
    this.#request(client, "bind", { name, value, ...how }, {
      isRepeatable: false,
      answered: ({ header }, start) => {
        const known = header.name === "revisionReply"
          ? { result: "done" as const, revision: header.fields.revision }
          : { result: "EEXIST" as const };
        note({ kind: "bind", value, session: client.session, ...how, ...known }, start, this.#time());
      },
      unknown: (session, start) => note({ kind: "bind", value, session, ...how }, start, Infinity),
    });
    return 1;
  }

  #query(client: SimClient): number {
    const name = this.#random.pick(NAMES);
    this.#request(client, "query", { name, waitMs: this.#random.pick([0, 30]) }, {
      isRepeatable: true,
      answered: ({ header }, start) => {
        const value = header.name === "queryReply" ? header.fields.value : undefined;
        this.history.addName(name, { call: { kind: "query", value }, start, end: this.#time() });
      },
      unknown: () => {},
    });
    return 1;
  }

  #watch(client: SimClient, waitMs: number): number {
    const since = client.events.length;
    this.#request(client, "watch", { since, waitMs }, {
      isRepeatable: true,
      answered: ({ header }) => {
        if (header.name !== "watchReply" || since !== client.events.length) return;
        client.events.push(...header.fields.events.map(eventOf));
      },
      unknown: () => {},
    });
    return 1;
  }

  #sendMessage(client: SimClient): number {
    const message = `m${++this.#messages}`;
    const type = this.#random.between(1, 3);
    const call = { kind: "send", message, type } as const;
    this.#request(client, "msgsnd", { id: 0, type, flags: 0, pid: 1 }, {
      isRepeatable: false,
      answered: (_, start) => this.history.addQueue(QUEUE, { call, start, end: this.#time() }),
      unknown: (_, start) => this.history.addQueue(QUEUE, { call, start, end: Infinity }),
    }, TEXT.encode(message));
    return 1;
  }

  #receive(client: SimClient, waits: boolean, wantedNow?: Wanted): number {
    const type = this.#random.pick([0, 0, 1, 2, -2, -3]);
    const wanted = wantedNow ?? { type, isOther: type > 0 && this.#random.isOneIn(2) };
    const flags = (waits ? 0 : IPC_NOWAIT) | (wanted.isOther ? MSG_EXCEPT : 0);
    const call = { kind: "receive", wanted } as const;
    this.#request(client, "msgrcv", {
      id: 0,
      size: 100,
      type: BigInt.asUintN(64, BigInt(wanted.type)),
      flags,
      pid: 1,
      isHeld: true,
    }, {
      isRepeatable: true,
      answered: ({ header, payload }, start) => {
        const { session } = client;
        const end = this.#time();
        if (header.name !== "msgrcvReply") {
          return this.history.addQueue(QUEUE, { call: { ...call, session, message: null }, start, end });
        }
        const message = new TextDecoder().decode(payload);
        this.history.addQueue(QUEUE, { call: { ...call, session, message }, start, end });
        const { message: number, deliveryCount } = header.fields;
        client.held.push({ number, deliveryCount, message, session });
      },
      unknown: (session, start) => this.history.addQueue(QUEUE, { call: { ...call, session }, start, end: Infinity }),
    });
    return 1;
  }

  #letGo(client: SimClient): number {
    const { number, deliveryCount, message, session } = client.held.shift() as SimClient["held"][number];
    const isAccepted = !this.#random.isOneIn(4);
    const call = { kind: isAccepted ? "acknowledge" : "giveBack", message, session } as const;
    this.#request(client, "msgack", { message: number, deliveryCount, isAccepted }, {
      isRepeatable: true,
      answered: (_, start) => {
        // in another session it does nothing, and the client knows that nobody knows what it did in its own
        if (client.session === session) this.history.addQueue(QUEUE, { call, start, end: this.#time() });
      },
      unknown: (old, start) => {
        if (old === session) this.history.addQueue(QUEUE, { call, start, end: Infinity });
      },
    });
    return 1;
  }

  // ---- the beginning and the end

  #begin(): void {
    const client = new SimClient();
    this.#clients = [client];
    this.#request(client, "msgget", { key: QUEUE_KEY, flags: IPC_CREAT | 0o666, pid: 1 }, {
      isRepeatable: false,
      answered: () => {},
      unknown: () => {},
    });
    this.#untilAnswered(client);
    const change = { uid: 0, gid: 0, mode: 0o666, qbytes: QUEUE_SIZE };
    this.#request(client, "msgctl", { id: 0, command: IPC_SET, isGiven: true, pid: 1, ...change }, {
      isRepeatable: false,
      answered: () => {},
      unknown: () => {},
    });
    this.#untilAnswered(client);
    this.#die(client);
    this.#clients = [];
  }

  #untilAnswered(client: SimClient): void {
    this.#killAt = "no";
    for (let turn = 0; client.asked.length > 0; turn++) {
      if (turn > TURNS_MAX) throw new Error(`no answer to ${client.asked.length} requests: ${this.log.join("; ")}`);
      this.#connect(client);
      this.#serveSome();
      if (client.link) this.#read(client, client.link);
    }
  }

  /** All clients die, their sessions end at last; then one more takes out what is left and looks at everything. */
  #end(): void {
    this.#killAt = "no";
    for (const client of [...this.#clients]) this.#die(client);
    if (!this.#service) this.#start();
    this.#pass(2 * SILENT_MS_MAX);
    const certain = this.#time();
    for (const { session, start } of this.#ending) this.history.addEnd(session, start, certain);
    const last = new SimClient();
    this.#clients = [last];
    for (let left = true; left;) {
      const before = last.held.length;
      this.#receive(last, false, { type: 0, isOther: false });
      this.#untilAnswered(last);
      left = last.held.length > before;
    }
    for (const name of NAMES) {
      this.#request(last, "query", { name, waitMs: 0 }, {
        isRepeatable: true,
        answered: ({ header }, start) => {
          const value = header.name === "queryReply" ? header.fields.value : undefined;
          this.history.addName(name, { call: { kind: "query", value }, start, end: this.#time() });
        },
        unknown: () => {},
      });
    }
    this.#watch(last, 0);
    this.#untilAnswered(last);
    this.history.watched.push(last.events);
  }
}

function eventOf([revision, kind, name, value, isLeased, uid, time]: readonly Cell[]): NameEvent {
  return { revision, kind, name, value, isLeased, uid, time } as NameEvent;
}
