/**
 * What a memory server does with the bytes that reach its port: it finds the dialect, takes the guards, serves.
 *
 *   - All whole frames of one receive are a batch: their guards are taken in ONE semop. When that fails they are tried
 *     one by one, in the connection's order; a frame that failed three times is *parked*: its connection is not read
 *     until the kernel has given the guards to a thread that waits for them. Nobody else waits.
 *   - A connection that carries no epoch waits after a cut until every server has made it: what it was answered here could
 *     else reach a server before its cut. Whether it has to is decided under the guards.
 *   - Nobody reads or writes by offset what belongs to somebody's segment without that segment's rights: segment_owners.ts.
 *   - No guard is held across a wait for a socket: what a peer does not take at once is copied.
 *   - Nobody is served before the door has let him in: see common/door.ts.
 *   - What a request does to the region is in request_server.ts; what is not about its bytes in control_server.ts.
 */
import { invariant } from "../../base/assert.ts";
import { ProtocolError } from "../../base/errors.ts";
import type { GuardPlan } from "../../memory/guards.ts";
import type { Region } from "../../memory/region.ts";
import type { Inbox } from "../../net/inbox.ts";
import type { Link, Service } from "../../net/transport.ts";
import { isClassicStart } from "../../wire/classic.ts";
import type { Header } from "../../wire/frame.ts";
import { SIMPLE_START } from "../../wire/simple.ts";
import { Door } from "../common/door.ts";
import type { Dialect, Visit } from "../common/door.ts";
import { startsNative } from "../common/native_hello.ts";
import { ControlServer } from "./control_server.ts";
import { Conversation } from "./conversation.ts";
import type { MemoryHost, MemoryServiceOptions } from "./memory_host.ts";
import { MemoryRequest, Operation, Parsed, RequestParser } from "./memory_requests.ts";
import { INLINE_SIZE_MAX, RequestServer } from "./request_server.ts";
import { NOT_TOLD } from "./segment_owners.ts";
import { ServedGuards } from "./served_guards.ts";
import { SimpleDialect } from "./simple_dialect.ts";
import { WaitingRoom } from "./waiting_room.ts";

/** Requests served under one take. */
const BATCH_COUNT_MAX = 512;
/** Bytes touched under one take, unless a single request is larger. */
const BATCH_SIZE_MAX = 1024 * 1024;
/** Requests of several links served under one take: more would keep too many guards from attached programs. */
const TOGETHER_COUNT_MAX = 64;
/** Takes tried for one frame in a row. */
const TRIES_MAX = 3;

/** A memory server's side of every connection. */
export class MemoryService implements Service {
  readonly #region: Region;
  readonly #guards: ServedGuards;
  readonly #waiting: WaitingRoom;
  readonly #simple: SimpleDialect;
  readonly #options: MemoryServiceOptions;
  readonly #parser = new RequestParser();
  readonly #requests = Array.from({ length: BATCH_COUNT_MAX }, () => new MemoryRequest());
  readonly #plan: GuardPlan;
  readonly #single: GuardPlan;
  readonly #server: RequestServer;
  readonly #control: ControlServer;
  readonly #door: Door;
  #connectionCount = 0;
  /** Only there so that what is fetched ahead is not optimised away. */
  #fetched = 0;

  /** @param region mapped and served by this process. */
  constructor(region: Region, host: MemoryHost, options: MemoryServiceOptions) {
    this.#region = region;
    this.#options = options;
    this.#door = new Door(options.door, "server", (level, message) => host.log(level, message));
    this.#guards = new ServedGuards(region, host);
    this.#waiting = new WaitingRoom(region, this.#guards, host, options);
    this.#simple = new SimpleDialect(host, this.#waiting);
    this.#plan = region.guards.plan();
    this.#single = region.guards.plan();
    this.#server = new RequestServer(region, options.isStandalone);
    this.#control = new ControlServer(region, host, options, () => ({
      connectionCount: this.#connectionCount,
      operationCount: this.#server.operationCount,
      byteCount: this.#server.byteCount,
      waitCount: this.#waiting.parkedCount,
    }), (told) => this.#server.tellOwners(told));
    region.onSuspect = (block) => {
      host.log(
        "warn",
        `block ${block} is suspect: its last writer died half way; its bytes may be partly old, partly new`,
      );
    };
  }

  /** See {@linkcode Service}. */
  opened(link: Link): void {
    this.#connectionCount++;
    link.state = new Conversation(this.#door.opened(link));
  }

  /** See {@linkcode Service}. */
  closed(link: Link): void {
    const talk = link.state as Conversation;
    this.#connectionCount--;
    if (talk.visit) this.#door.closed(talk.visit);
    this.#server.watch.forget(link);
    this.#waiting.leave(link, talk);
    if (talk.session) this.#control.end(talk.session, link);
    if (talk.simple) this.#simple.closed(talk.simple);
  }

  /** See {@linkcode Service}. */
  received(
    link: Link,
    bytes: Uint8Array<ArrayBuffer>,
    view: DataView<ArrayBuffer>,
    size: number,
    start: number = 0,
  ): number {
    const talk = link.state as Conversation;
    if (this.#guards.isLost) return size;
    let at = start;
    if (talk.visit) {
      at = this.#enter(link, talk, talk.visit, bytes, view, start, size);
      if (talk.visit) return at;
    }
    if (talk.simple) return this.#simple.received(link, talk, talk.simple, bytes, view, at, size);
    while (at < size && !link.isBlocked && (talk.standing === "ready" || talk.standing === "granted")) {
      const next = talk.standing === "granted"
        ? this.#serveGranted(link, talk, bytes, view, at, size)
        : this.#serveBatch(link, talk, bytes, view, at, size);
      if (next === at) break;
      at = next;
    }
    return at;
  }

  /** Has the door look at one that is not let in yet. Once it is, its visit is over. */
  #enter(
    link: Link,
    talk: Conversation,
    visit: Visit,
    bytes: Uint8Array<ArrayBuffer>,
    view: DataView<ArrayBuffer>,
    start: number,
    size: number,
  ): number {
    const at = this.#door.enter(visit, bytes, view, start, size, dialectOf);
    const { guest, dialect } = visit;
    if (!guest || !dialect) return at;
    talk.visit = undefined;
    talk.dialect = dialect;
    talk.uid = guest.uid;
    talk.uidBy = guest.by;
    talk.isPrivileged = guest.by !== "nobody" && (guest.uid === 0 || guest.uid === this.#options.door.ownUid);
    if (dialect === "simple") talk.simple = this.#simple.begin();
    if (visit.hello) talk.session = this.#control.serveHello(link, visit.hello, visit.version);
    return at;
  }

  /**
   * Serves what many links ask for at once, as far as it is plain: requests in the native dialect whose guards are all
   * free. Their guards are taken in one semop. Everything else is left to `received`.
   */
  receivedTogether(inbox: Inbox): void {
    if (this.#options.holdMs > 0) return;
    for (let next = 0; next < inbox.count && !this.#guards.isLost;) next = this.#serveTogether(inbox, next);
  }

  #serveTogether(inbox: Inbox, first: number): number {
    const plan = this.#plan;
    plan.clear();
    let count = 0;
    let next = first;
    for (; next < inbox.count && count < TOGETHER_COUNT_MAX; next++) {
      const { link, start, end } = inbox.at(next);
      const talk = link.state as Conversation;
      if (!talk.session || talk.standing !== "ready" || link.isBlocked) continue;
      count = this.#planPlain(inbox, next, start, end, count);
    }
    if (count === 0) return next;
    this.#fetchAhead(count);
    const taken = this.#guards.tryTake(plan);
    if (taken === "done") this.#servePlain(inbox, count);
    return next;
  }

  /** Parses the plain requests at the front of one link's bytes. Returns how many there are with those before. */
  #planPlain(inbox: Inbox, from: number, start: number, end: number, count: number): number {
    // one link's requests are a batch of their own, however many others there are
    const most = count === 0 ? BATCH_COUNT_MAX : TOGETHER_COUNT_MAX;
    for (let at = start; at < end && count < most;) {
      const request = this.#requests[count] as MemoryRequest;
      const talk = inbox.at(from).link.state as Conversation;
      if (this.#parseNext(talk, inbox.bytes, inbox.view, at, end, request) !== Parsed.request) break;
      if (request.size > INLINE_SIZE_MAX || this.#server.refusalOf(talk, request)) break;
      this.#region.planRange(this.#plan, request.offset, request.size);
      request.from = from;
      at = request.end;
      count++;
    }
    return count;
  }

  #servePlain(inbox: Inbox, count: number): void {
    let writes = false;
    for (let i = 0; i < count; i++) {
      const request = this.#requests[i] as MemoryRequest;
      const received = inbox.at(request.from);
      const { link } = received;
      if (!link.isBlocked) {
        this.#server.serve(link, (link.state as Conversation).session, request, inbox.bytes, inbox.view);
        received.start = request.end;
        writes ||= request.operation !== Operation.read;
      }
      if (i + 1 === count || (this.#requests[i + 1] as MemoryRequest).from !== request.from) link.endReplies();
    }
    this.#guards.give(this.#plan);
    if (writes && this.#server.watch.size > 0) this.#server.watch.compare();
  }

  #parse(
    talk: Conversation,
    bytes: Uint8Array<ArrayBuffer>,
    view: DataView<ArrayBuffer>,
    at: number,
    size: number,
    into: MemoryRequest,
  ): Parsed {
    return talk.dialect === "native"
      ? this.#parser.parseNative(bytes, view, at, size, into)
      : this.#parser.parseClassic(view, at, size, into);
  }

  #serveBatch(
    link: Link,
    talk: Conversation,
    bytes: Uint8Array<ArrayBuffer>,
    view: DataView<ArrayBuffer>,
    start: number,
    size: number,
  ): number {
    const plan = this.#plan;
    plan.clear();
    let count = 0;
    let touched = 0;
    let writes = false;
    for (let at = start; at < size && count < BATCH_COUNT_MAX && touched < BATCH_SIZE_MAX;) {
      const request = this.#requests[count] as MemoryRequest;
      const parsed = count === 0
        ? this.#parse(talk, bytes, view, at, size, request)
        : this.#parseNext(talk, bytes, view, at, size, request);
      if (parsed === undefined) break;
      if (parsed !== Parsed.request) {
        if (parsed === Parsed.incomplete) link.want(this.#parser.needed);
        else if (count === 0) return this.#serveOther(link, talk, parsed, size);
        break;
      }
      at = request.end;
      const refusal = this.#server.refusalOf(talk, request);
      if (refusal) {
        if (count > 0) break; // after those before it: it comes again
        if (refusal === NOT_TOLD && this.#server.owners.isAwaited) {
          this.#waiting.awaitOwners(link, talk);
          return start;
        }
        this.#server.refuse(link, request, refusal);
        return at;
      }
      if (request.size > INLINE_SIZE_MAX && !link.hasRoomFor(request.size)) {
        if (count === 0) this.#waiting.awaitRoom(link, talk);
        break;
      }
      this.#region.planRange(plan, request.offset, request.size);
      writes ||= request.operation !== Operation.read;
      touched += request.size;
      count++;
      if (this.#options.holdMs > 0) break;
    }
    if (count === 0) return start;
    const end = this.#takeAndServe(link, talk, bytes, view, start, count);
    if (writes && this.#server.watch.size > 0) {
      link.flush();
      this.#server.watch.compare();
    }
    return end;
  }

  #takeAndServe(
    link: Link,
    talk: Conversation,
    bytes: Uint8Array<ArrayBuffer>,
    view: DataView<ArrayBuffer>,
    start: number,
    count: number,
  ): number {
    this.#fetchAhead(count);
    const taken = this.#guards.tryTake(this.#plan);
    if (taken === "gone") return start;
    if (this.#options.holdMs > 0) {
      if (taken === "done") this.#waiting.hold(link, talk, this.#plan);
      else this.#waiting.park(link, talk, this.#plan);
      return start;
    }
    if (taken === "again") return this.#serveOneByOne(link, talk, bytes, view, start, count);
    if (this.#waiting.mustAwaitRelease(talk)) {
      this.#waiting.awaitRelease(link, talk, this.#plan);
      return start;
    }
    talk.triedSinceMs = 0;
    let end = start;
    for (let i = 0; i < count && !link.isBlocked; i++) {
      const request = this.#requests[i] as MemoryRequest;
      this.#server.serve(link, talk.session, request, bytes, view);
      end = request.end;
    }
    this.#guards.give(this.#plan);
    return end;
  }

  /**
   * Looks at one byte of each request. Random places are far from the processor's caches; asked for in one short loop they
   * come all together, and while the kernel takes the guards, instead of one after the other.
   */
  #fetchAhead(count: number): void {
    const { data } = this.#region;
    let sum = 0;
    for (let i = 0; i < count; i++) sum += data[(this.#requests[i] as MemoryRequest).offset] ?? 0;
    this.#fetched = sum;
  }

  #serveOneByOne(
    link: Link,
    talk: Conversation,
    bytes: Uint8Array<ArrayBuffer>,
    view: DataView<ArrayBuffer>,
    start: number,
    count: number,
  ): number {
    let end = start;
    for (let i = 0; i < count && !link.isBlocked; i++) {
      const request = this.#requests[i] as MemoryRequest;
      const plan = this.#single;
      plan.clear();
      this.#region.planRange(plan, request.offset, request.size);
      let taken = this.#guards.tryTake(plan);
      for (let tries = 1; taken === "again" && tries < TRIES_MAX; tries++) taken = this.#guards.tryTake(plan);
      if (taken === "gone") return end;
      if (taken === "again") {
        if (end > start) talk.triedSinceMs = 0;
        this.#waiting.tryAgain(link, talk, plan);
        return end;
      }
      if (this.#waiting.mustAwaitRelease(talk)) {
        this.#waiting.awaitRelease(link, talk, plan);
        return end;
      }
      talk.triedSinceMs = 0;
      this.#server.serve(link, talk.session, request, bytes, view);
      this.#guards.give(plan);
      end = request.end;
    }
    return end;
  }

  #serveGranted(
    link: Link,
    talk: Conversation,
    bytes: Uint8Array<ArrayBuffer>,
    view: DataView<ArrayBuffer>,
    at: number,
    size: number,
  ): number {
    const request = this.#requests[0] as MemoryRequest;
    const parsed = this.#parse(talk, bytes, view, at, size, request);
    invariant(parsed === Parsed.request, "the request that was parked is still first");
    if (this.#waiting.mustAwaitRelease(talk)) {
      this.#waiting.awaitRelease(link, talk, talk.planOf(this.#region));
      return at;
    }
    // whose the bytes are may have changed while their guards were waited for
    const refusal = this.#server.owners.refusalOf(talk, request.operation, request.offset, request.size);
    if (!refusal) this.#server.serve(link, talk.session, request, bytes, view);
    this.#guards.give(talk.planOf(this.#region));
    talk.standing = "ready";
    if (refusal) this.#server.refuse(link, request, refusal);
    link.flush();
    this.#server.watch.compare();
    return request.end;
  }

  /** Parses a request behind others: undefined when it breaks the protocol, which is said once they have been served. */
  #parseNext(
    talk: Conversation,
    bytes: Uint8Array<ArrayBuffer>,
    view: DataView<ArrayBuffer>,
    at: number,
    size: number,
    into: MemoryRequest,
  ): Parsed | undefined {
    try {
      return this.#parse(talk, bytes, view, at, size, into);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      return undefined;
    }
  }

  #serveOther(link: Link, talk: Conversation, parsed: Parsed, size: number): number {
    if (parsed === Parsed.quit) {
      link.close();
      return size;
    }
    const header = this.#parser.header as Header;
    const end = this.#parser.end;
    if (header.name === "hello") throw new ProtocolError("a second hello");
    // a question touches no bytes: it spreads the epoch, and is answered whatever it carries
    if (header.name !== "join") this.#region.meet(header.incarnation, header.epoch);
    this.#control.serve(link, talk, header);
    return end;
  }

  /** See {@linkcode Service}. */
  nextTickMs(): number {
    return Math.min(this.#server.watch.nextMs(), this.#waiting.nextTickMs(), this.#door.nextTickMs());
  }

  /** See {@linkcode Service}. */
  tick(): void {
    this.#region.forgetShadow();
    this.#server.watch.compare();
    this.#waiting.tick();
    this.#door.tick();
  }
}

/** What the first bytes begin; undefined while it may become the native dialect. @throws ProtocolError for none. */
function dialectOf(bytes: Uint8Array): Dialect | undefined {
  if (bytes[0] === SIMPLE_START) return "simple";
  if (isClassicStart(bytes[0] as number)) return "classic";
  return startsNative(bytes) ? "native" : undefined;
}
