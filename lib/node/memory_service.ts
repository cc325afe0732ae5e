/**
 * What a memory server does with the bytes that reach its port: it finds the dialect, takes the guards, serves.
 *
 *   - All whole frames of one receive are a batch: their guards are taken in ONE semop. When that fails they are tried
 *     one by one, in the connection's order; a frame that failed three times is *parked*: its connection is not read
 *     until the kernel has given the guards to a thread that waits for them. Nobody else waits.
 *   - No guard is held across a wait for a socket: what a peer does not take at once is copied.
 *   - A reply's epoch is loaded after its bytes were read or written and before the guards are given back.
 */
import { nowMs } from "../base/clock.ts";
import { invariant } from "../base/assert.ts";
import { ProtocolError } from "../base/errors.ts";
import { guardStates } from "../memory/inspect.ts";
import type { GuardPlan } from "../memory/guards.ts";
import { FooterWord } from "../memory/layout.ts";
import type { Region } from "../memory/region.ts";
import type { WordWidth } from "../memory/region.ts";
import type { Link, Service } from "../net/transport.ts";
import { isClassicStart } from "../wire/classic.ts";
import { encodeFrame } from "../wire/frame.ts";
import type { Header } from "../wire/frame.ts";
import { MAGIC, OPERATION_SIZE_MAX } from "../wire/messages.ts";
import type { Fields, MessageName } from "../wire/messages.ts";
import { putReadReply, putWriteReply, REPLY_SIZE } from "../wire/templates.ts";
import { ChangeWatch, isEqual, WATCHERS_MAX } from "./change_watch.ts";
import { MemoryRequest, Operation, Parsed, RequestParser } from "./memory_requests.ts";
import { acceptHello, startsNative } from "./native_hello.ts";
import { Sessions } from "./sessions.ts";
import type { Session } from "./sessions.ts";

/** Requests served under one take. */
const BATCH_COUNT_MAX = 512;
/** Bytes touched under one take, unless a single request is larger. */
const BATCH_SIZE_MAX = 1024 * 1024;
/** Reads up to this size are copied into the output; larger ones go from the region to the socket. */
const INLINE_SIZE_MAX = 16 * 1024;
/** Takes tried for one frame before it is parked. */
const TRIES_MAX = 3;
/** How often a read that finds no room for its reply is tried again. */
const ROOM_RETRY_MS = 10;

/** What the service needs from the process it runs in. */
export interface MemoryHost {
  /** Takes the guards of `plan` on another thread, however long it takes, and then calls `taken` on this one. */
  takeInBackground(plan: GuardPlan, taken: () => void): void;
  /** A line for the log. */
  log(level: "debug" | "info" | "warn" | "error", message: string): void;
  /** The region is lost; nothing more can be served. */
  lost(): void;
}

/** How the service is to behave. */
export interface MemoryServiceOptions {
  /** Which transport carries it, for those who ask. */
  readonly transport: "epoll" | "deno";
  /** How long each operation keeps its guards, for a lecture hall; 0: not at all. */
  readonly holdMs: number;
}

/** Where a connection stands with its next request. */
type Standing =
  /** It is served as it comes. */
  | "ready"
  /** Parked: its guards are being waited for. */
  | "waiting"
  /** Its guards are held; it is served when `dueMs` comes. */
  | "holding"
  /** Its guards are held; it is served at once. */
  | "granted"
  /** It holds nothing and is tried again when `dueMs` comes. */
  | "retrying";

class Conversation {
  dialect: "unknown" | "native" | "classic" = "unknown";
  standing: Standing = "ready";
  session: Session | undefined;
  dueMs = 0;
  isOver = false;
  #plan: GuardPlan | undefined;

  /** The guards of the parked request; made when there is one, so that an idle connection stays small. */
  planOf(region: Region): GuardPlan {
    return this.#plan ??= region.guards.plan();
  }
}

/** A memory server's side of every connection. */
export class MemoryService implements Service {
  readonly #region: Region;
  readonly #host: MemoryHost;
  readonly #options: MemoryServiceOptions;
  readonly #parser = new RequestParser();
  readonly #requests = Array.from({ length: BATCH_COUNT_MAX }, () => new MemoryRequest());
  readonly #plan: GuardPlan;
  readonly #single: GuardPlan;
  readonly #sessions = new Sessions();
  readonly #watch: ChangeWatch;
  /** Links whose conversation has a `dueMs`. */
  readonly #timed = new Set<Link>();
  readonly #startedMs = nowMs();
  #connectionCount = 0;
  #operationCount = 0;
  #byteCount = 0;
  #waitCount = 0;
  #isLost = false;
  /** Only there so that what is fetched ahead is not optimised away. */
  #fetched = 0;

  /** @param region mapped and served by this process. */
  constructor(region: Region, host: MemoryHost, options: MemoryServiceOptions) {
    this.#region = region;
    this.#host = host;
    this.#options = options;
    this.#plan = region.guards.plan();
    this.#single = region.guards.plan();
    this.#watch = new ChangeWatch(region, (link, id, bytes) => {
      this.#reply(link, id, "readReply", {}, bytes);
      link.flush();
    });
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
    link.state = new Conversation();
  }

  /** See {@linkcode Service}. */
  closed(link: Link): void {
    const talk = link.state as Conversation;
    this.#connectionCount--;
    talk.isOver = true;
    this.#watch.forget(link);
    this.#timed.delete(link);
    if (talk.standing === "holding" || talk.standing === "granted") this.#give(talk.planOf(this.#region));
    if (talk.session) this.#sessions.end(talk.session, link);
  }

  /** See {@linkcode Service}. */
  received(link: Link, bytes: Uint8Array<ArrayBuffer>, view: DataView<ArrayBuffer>, size: number): number {
    const talk = link.state as Conversation;
    if (this.#isLost) return size;
    let at = talk.dialect === "unknown" ? this.#recognise(talk, bytes, size) : 0;
    if (talk.dialect === "unknown") return at;
    while (at < size && !link.isBlocked && (talk.standing === "ready" || talk.standing === "granted")) {
      const next = talk.standing === "granted"
        ? this.#serveGranted(link, talk, bytes, view, at, size)
        : this.#serveBatch(link, talk, bytes, view, at, size);
      if (next === at) break;
      at = next;
    }
    return at;
  }

  #recognise(talk: Conversation, bytes: Uint8Array<ArrayBuffer>, size: number): number {
    const first = bytes[0] as number;
    if (isClassicStart(first)) {
      talk.dialect = "classic";
      return 0;
    }
    if (!startsNative(bytes, size)) return 0;
    talk.dialect = "native";
    return MAGIC.length;
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
      if (talk.dialect === "native" && !talk.session) throw new ProtocolError("a request before hello");
      at = request.end;
      const refusal = this.#refusalOf(request);
      if (refusal) {
        if (count > 0) break; // after those before it: it comes again
        this.#refuse(link, request, refusal);
        return at;
      }
      if (request.size > INLINE_SIZE_MAX && !link.hasRoomFor(request.size)) {
        if (count === 0) this.#retryLater(link, talk);
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
    if (writes && this.#watch.size > 0) {
      link.flush();
      this.#watch.compare();
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
    const taken = this.#region.guards.tryTake(this.#plan);
    if (taken === "gone") return this.#lost(start);
    if (this.#options.holdMs > 0) {
      if (taken === "done") this.#hold(link, talk, this.#plan);
      else this.#park(link, talk, this.#plan);
      return start;
    }
    if (taken === "again") return this.#serveOneByOne(link, talk, bytes, view, start, count);
    let end = start;
    for (let i = 0; i < count && !link.isBlocked; i++) {
      const request = this.#requests[i] as MemoryRequest;
      this.#serve(link, talk, request, bytes, view);
      end = request.end;
    }
    this.#give(this.#plan);
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
      let taken = this.#region.guards.tryTake(plan);
      for (let tries = 1; taken === "again" && tries < TRIES_MAX; tries++) taken = this.#region.guards.tryTake(plan);
      if (taken === "gone") return this.#lost(end);
      if (taken === "again") {
        this.#park(link, talk, plan);
        return end;
      }
      this.#serve(link, talk, request, bytes, view);
      this.#give(plan);
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
    this.#serve(link, talk, request, bytes, view);
    this.#give(talk.planOf(this.#region));
    talk.standing = "ready";
    link.flush();
    this.#watch.compare();
    return request.end;
  }

  #park(link: Link, talk: Conversation, plan: GuardPlan): void {
    this.#waitCount++;
    talk.planOf(this.#region).copyFrom(plan);
    talk.standing = "waiting";
    link.pause();
    this.#host.takeInBackground(talk.planOf(this.#region), () => {
      if (talk.isOver) return this.#give(talk.planOf(this.#region));
      if (this.#options.holdMs > 0) return this.#hold(link, talk, talk.planOf(this.#region));
      talk.standing = "granted";
      link.resume();
    });
  }

  #hold(link: Link, talk: Conversation, plan: GuardPlan): void {
    if (plan !== talk.planOf(this.#region)) talk.planOf(this.#region).copyFrom(plan);
    this.#delay(link, talk, "holding", this.#options.holdMs);
  }

  #retryLater(link: Link, talk: Conversation): void {
    this.#delay(link, talk, "retrying", ROOM_RETRY_MS);
  }

  #delay(link: Link, talk: Conversation, standing: Standing, ms: number): void {
    talk.standing = standing;
    talk.dueMs = nowMs() + ms;
    this.#timed.add(link);
    link.pause();
  }

  #give(plan: GuardPlan): void {
    const given = this.#region.guards.give(plan);
    if (given === "gone") this.#lost(0);
    else if (given === "again") {
      this.#host.log(
        "error",
        "a guard this server held was given by somebody else: a program uses this semaphore set wrongly",
      );
    }
  }

  #lost(result: number): number {
    if (!this.#isLost) {
      this.#isLost = true;
      this.#host.lost();
    }
    return result;
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

  /** Why a request cannot be served whatever the guards; undefined when it can. */
  #refusalOf({ operation, offset, size }: MemoryRequest): Fields<"error"> | undefined {
    if (!this.#region.contains(offset, size) || size > OPERATION_SIZE_MAX) {
      const message = `${size} bytes at ${offset}: this region has ${this.#region.layout.size} bytes`;
      return { code: "EINVAL", message };
    }
    const isAtomic = operation === Operation.fetchAdd || operation === Operation.compareExchange;
    if (isAtomic && ((size !== 4 && size !== 8) || offset % size !== 0)) {
      return { code: "EINVAL", message: `a word of ${size} bytes at ${offset}: 4 or 8, at a multiple of it` };
    }
    if (operation !== Operation.wait) return undefined;
    if (size === 0) return { code: "EINVAL", message: "nothing to compare" };
    return this.#watch.size >= WATCHERS_MAX ? { code: "EAGAIN", message: "too many wait already" } : undefined;
  }

  #refuse(link: Link, request: MemoryRequest, refusal: Fields<"error">): void {
    const isClassic = request.operation === Operation.classicRead || request.operation === Operation.classicWrite;
    if (isClassic) throw new ProtocolError(`classic request for ${refusal.message}`);
    this.#reply(link, request.id, "error", refusal);
  }

  #serve(
    link: Link,
    talk: Conversation,
    request: MemoryRequest,
    bytes: Uint8Array<ArrayBuffer>,
    view: DataView<ArrayBuffer>,
  ): void {
    const region = this.#region;
    const { offset, size } = request;
    this.#operationCount++;
    this.#byteCount += size;
    switch (request.operation) {
      case Operation.read:
        return this.#serveRead(link, request);
      case Operation.write:
        region.writeHeld(offset, bytes, request.dataAt, size, view);
        return this.#serveWritten(link, request);
      case Operation.fill:
        region.fillHeld(offset, size, request.small);
        return this.#serveWritten(link, request);
      case Operation.fetchAdd:
      case Operation.compareExchange:
        return this.#serveAtomic(link, talk, request);
      case Operation.wait:
        return this.#serveWait(link, request, bytes);
      case Operation.classicRead:
        region.checkHeld(offset, size);
        if (size > INLINE_SIZE_MAX) return link.sendMemory(offset, size);
        this.#makeRoom(link, size);
        region.readHeld(offset, size, link.output.bytes, link.output.size, link.output.view);
        link.output.size += size;
        return;
      case Operation.classicWrite:
        return region.writeHeld(offset, bytes, request.dataAt, size, view);
    }
  }

  #makeRoom(link: Link, size: number): void {
    if (!link.output.hasRoom(size)) link.flush();
  }

  #serveRead(link: Link, request: MemoryRequest): void {
    const region = this.#region;
    const { offset, size } = request;
    this.#makeRoom(link, REPLY_SIZE + INLINE_SIZE_MAX);
    const output = link.output;
    const at = output.size;
    output.size += REPLY_SIZE;
    if (size <= INLINE_SIZE_MAX) {
      region.readHeld(offset, size, output.bytes, at + REPLY_SIZE, output.view);
      output.size += size;
      putReadReply(
        output.view,
        at,
        request.id,
        region.incarnationHeld,
        region.epochHeld,
        size,
      );
      return;
    }
    region.checkHeld(offset, size);
    putReadReply(output.view, at, request.id, region.incarnationHeld, region.epochHeld, size);
    link.sendMemory(offset, size);
  }

  #serveWritten(link: Link, request: MemoryRequest): void {
    this.#makeRoom(link, REPLY_SIZE);
    const output = link.output;
    const region = this.#region;
    putWriteReply(
      output.view,
      output.size,
      request.id,
      region.incarnationHeld,
      region.epochHeld,
    );
    output.size += REPLY_SIZE;
  }

  #serveAtomic(link: Link, talk: Conversation, request: MemoryRequest): void {
    const session = talk.session as Session;
    let value = session.answered(request.id);
    if (value === undefined) {
      const width = request.small as WordWidth;
      value = this.#region.wordHeld(request.offset, width);
      if (request.operation === Operation.fetchAdd) {
        this.#region.setWordHeld(request.offset, width, value + request.operand);
      } else if (value === request.expected) {
        this.#region.setWordHeld(request.offset, width, request.operand);
      }
      session.remember(request.id, value);
    }
    this.#reply(link, request.id, "valueReply", { value });
  }

  #serveWait(link: Link, request: MemoryRequest, bytes: Uint8Array<ArrayBuffer>): void {
    const { offset, size, dataAt } = request;
    const known = bytes.slice(dataAt, dataAt + size);
    const present = new Uint8Array(size);
    this.#region.readHeld(offset, size, present, 0, new DataView(present.buffer));
    if (isEqual(present, known)) this.#watch.add(link, request.id, offset, known, request.timeoutMs);
    else this.#reply(link, request.id, "readReply", {}, present);
  }

  #reply<N extends MessageName>(link: Link, id: number, name: N, fields: Fields<N>, payload?: Uint8Array): void {
    const region = this.#region;
    const envelope = { id, incarnation: region.incarnationHeld, epoch: region.epochHeld };
    const frame = encodeFrame(name, envelope, fields, payload?.length ?? 0);
    this.#makeRoom(link, frame.length + (payload?.length ?? 0));
    const output = link.output;
    output.bytes.set(frame, output.size);
    output.size += frame.length;
    if (!payload) return;
    output.bytes.set(payload, output.size);
    output.size += payload.length;
  }

  #serveOther(link: Link, talk: Conversation, parsed: Parsed, size: number): number {
    if (parsed === Parsed.quit) {
      link.close();
      return size;
    }
    const header = this.#parser.header as Header;
    const end = this.#parser.end;
    if (header.name === "hello") this.#serveHello(link, talk, header);
    else if (!talk.session) throw new ProtocolError(`${header.name} before hello`);
    else this.#serveControl(link, header);
    return end;
  }

  #serveHello(link: Link, talk: Conversation, header: Header & { name: "hello" }): void {
    if (talk.session) throw new ProtocolError("a second hello");
    const version = acceptHello(header.fields);
    const resumed = header.fields.token.length > 0
      ? this.#sessions.resume(header.fields.token.toHex(), link)
      : undefined;
    talk.session = resumed?.session ?? this.#sessions.begin(link);
    link.output.bytes.set(MAGIC, link.output.size);
    link.output.size += MAGIC.length;
    this.#reply(link, header.id, "welcome", {
      version,
      role: "server",
      token: Uint8Array.fromHex(talk.session.token),
      resumed: resumed !== undefined,
    });
    if (!resumed) return;
    link.flush();
    resumed.left.close();
  }

  #serveControl(link: Link, header: Header): void {
    switch (header.name) {
      case "ping":
        return this.#reply(link, header.id, "pong", {});
      case "regionInfo":
        return this.#reply(link, header.id, "regionInfoReply", this.#info());
      case "blockStates":
        return this.#reply(link, header.id, "blockStatesReply", {
          blockCount: this.#region.layout.blockCount,
          guards: guardStates(this.#region).map((
            guard,
          ) => [guard.index, guard.value, guard.lastPid, guard.waiterCount]),
          suspects: this.#region.suspects().latest.map((block) => [block]),
        });
      default:
        this.#reply(link, header.id, "error", {
          code: "ENOSYS",
          message: `a memory server does not answer ${header.name}`,
        });
    }
  }

  #info(): Fields<"regionInfoReply"> {
    const region = this.#region;
    return {
      size: region.layout.size,
      blockSize: region.layout.blockSize,
      guardCount: region.layout.guardCount,
      startCount: region.word(FooterWord.startCount),
      pid: region.word(FooterWord.serverPid),
      transport: this.#options.transport,
      // whoever attaches passes by the hold of the lecture hall
      attachable: this.#options.holdMs === 0,
      shmid: region.memory.id,
      semid: region.guards.id,
      cookie: region.cookie,
      suspectCount: region.suspects().count,
      connectionCount: this.#connectionCount,
      operationCount: this.#operationCount,
      byteCount: this.#byteCount,
      waitCount: this.#waitCount,
      uptimeMs: Math.round(nowMs() - this.#startedMs),
    };
  }

  /** See {@linkcode Service}. */
  nextTickMs(): number {
    let next = this.#watch.nextMs();
    if (this.#timed.size === 0) return next;
    const now = nowMs();
    for (const link of this.#timed) next = Math.min(next, Math.max(0, (link.state as Conversation).dueMs - now));
    return next;
  }

  /** See {@linkcode Service}. */
  tick(): void {
    this.#watch.compare();
    const now = nowMs();
    for (const link of this.#timed) {
      const talk = link.state as Conversation;
      if (talk.dueMs > now) continue;
      this.#timed.delete(link);
      talk.standing = talk.standing === "holding" ? "granted" : "ready";
      link.resume();
    }
  }
}
