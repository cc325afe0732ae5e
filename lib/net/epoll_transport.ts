/**
 * The epoll transport: one thread, one synchronous loop, sockets by FFI. Per ready connection one receive, all whole
 * frames given to the service together, all replies in one send.
 *
 *   - In a round, every ready connection is received from and served before any is sent to: a peer woken in the middle
 *     would take the processor away for one reply, where it can have all of them.
 *
 * Runs in a Worker whose event loop never turns: whoever wants something of it signals a watched eventfd.
 */
import { invariant } from "../base/assert.ts";
import { nowMs } from "../base/clock.ts";
import { DsmError, InvariantError, ProtocolError } from "../base/errors.ts";
import { Epoll, HUNG_UP, READABLE, WRITABLE } from "../sys/epoll.ts";
import type { SharedMemory } from "../sys/shared_memory.ts";
import {
  accept,
  AGAIN,
  BROKEN,
  closeFd,
  localAddress,
  receive,
  send,
  sendFromMemory,
  SocketBuffer,
} from "../sys/sockets.ts";
import type { SocketAddress } from "../sys/sockets.ts";
import type { Seal } from "../wire/seal.ts";
import { Inbox } from "./inbox.ts";
import { whyOverdue } from "./overdue.ts";
import { Stash, StashBudget } from "./stash.ts";
import { Output, peerName, PENDING_TOTAL_MAX, RECEIVE_SIZE, SILENT_MS_MAX } from "./transport.ts";
import type { Link, Service, TransportEvents, TransportOptions } from "./transport.ts";

/** How often stalled peers and slow frames are looked for. */
const SWEEP_MS = 1_000;
/** How long no connection is accepted after there was no descriptor for one. */
const ACCEPT_PAUSE_MS = 100;

/** One round in so many looks for what is overdue. */
const ROUNDS_MASK = 63;
/** A receive is made with at least that much room. */
const RECEIVE_ROOM_MIN = 64 * 1024;

interface Pending {
  bytes: Uint8Array<ArrayBuffer>;
}

class EpollLink implements Link {
  state: unknown;
  seal: Seal | undefined;
  readonly isEncrypted = false;
  readonly stash: Stash;
  readonly pending: Pending[] = [];
  wanted = 0;
  isPaused = false;
  isClosed = false;
  hasEnded = false;
  interest = READABLE;
  /** When the present frame began to arrive, or the peer last took something; see `sweep`. */
  sinceMs = 0;

  constructor(
    readonly fd: number,
    readonly peer: SocketAddress,
    readonly output: Output,
    private readonly transport: EpollTransport,
    budget: StashBudget,
  ) {
    this.stash = new Stash(budget);
  }

  get local(): SocketAddress {
    return localAddress(this.fd);
  }
  get isBlocked(): boolean {
    return this.pending.length > 0 || this.isClosed;
  }
  hasRoomFor(size: number): boolean {
    return this.transport.hasRoomFor(size);
  }
  flush(): void {
    this.transport.flush(this);
  }
  endReplies(): void {
    this.transport.defer(this);
  }
  sendMemory(offset: number, size: number): void {
    this.transport.sendMemory(this, offset, size);
  }
  want(size: number): void {
    this.wanted = size;
  }
  pause(): void {
    this.isPaused = true;
    this.transport.rearm(this);
  }
  resume(): void {
    this.isPaused = false;
    this.transport.resume(this);
  }
  close(): void {
    this.transport.flush(this);
    this.transport.drop(this);
  }
}

/** The transport; `run` is its loop. */
export class EpollTransport {
  readonly #listener: number;
  readonly #memory: SharedMemory | undefined;
  readonly #service: Service;
  readonly #events: TransportEvents;
  readonly #options: TransportOptions;
  readonly #epoll = new Epoll();
  readonly #links: (EpollLink | undefined)[] = [];
  readonly #watched = new Map<number, () => void>();
  readonly #resumed: EpollLink[] = [];
  readonly #output = new Output();
  readonly #sending = new SocketBuffer(this.#output.bytes);
  /** Replies of this round that are still in the output: to whom, and where they end. Each begins where the last ends. */
  readonly #deferred: { link: EpollLink; end: number }[] = [];
  #deferredCount = 0;
  /** Where the replies to the link being served begin. */
  #replyStart = 0;
  readonly #budget = new StashBudget();
  readonly #receiving = new SocketBuffer(new Uint8Array(RECEIVE_SIZE));
  /** What this round has received and not yet served. */
  readonly #inbox = new Inbox<EpollLink>(this.#receiving.bytes);
  #rounds = 0;
  #hasCallers = false;
  #pendingTotal = 0;
  #isStopping = false;
  #acceptAgainMs = 0;
  #sweptMs = nowMs();

  /** @param listener a listening descriptor; @param memory where `sendMemory` sends from, for a role that has one. */
  constructor(
    listener: number,
    memory: SharedMemory | undefined,
    service: Service,
    events: TransportEvents,
    options: TransportOptions,
  ) {
    this.#listener = listener;
    this.#memory = memory;
    this.#service = service;
    this.#events = events;
    this.#options = options;
    this.#epoll.add(listener, READABLE);
  }

  /** Calls `wake` whenever the descriptor `fd` (an eventfd) is readable; `wake` must make it quiet again. */
  watch(fd: number, wake: () => void): void {
    this.#watched.set(fd, wake);
    this.#epoll.add(fd, READABLE);
  }

  /** Ends `run` after the present round. */
  stop(): void {
    this.#isStopping = true;
  }

  /** Serves until `stop`; then closes every connection. */
  run(): void {
    while (!this.#isStopping) {
      const count = this.#epoll.wait(this.#timeoutMs());
      for (let i = 0; i < count; i++) this.#handle(this.#epoll.fdAt(i), this.#epoll.eventAt(i));
      this.#serveInbox();
      // last: a descriptor closed in this round must not be taken for the new connection that gets its number
      if (this.#hasCallers) this.#acceptAll();
      this.#feedResumed();
      this.#sendDeferred();
      if (this.#service.nextTickMs() <= 0) this.#service.tick();
      // the clock is not read in every round while there is much to do
      if (count === 0 || (++this.#rounds & ROUNDS_MASK) === 0) this.#sweep();
    }
    for (const link of this.#links) if (link) this.drop(link);
    this.#epoll[Symbol.dispose]();
  }

  #timeoutMs(): number {
    if (this.#resumed.length > 0) return 0;
    return Math.max(0, Math.ceil(Math.min(SWEEP_MS, this.#service.nextTickMs())));
  }

  #handle(fd: number, event: number): void {
    if (fd === this.#listener) {
      this.#hasCallers = true;
      return;
    }
    const wake = this.#watched.get(fd);
    if (wake) return wake();
    const link = this.#links[fd];
    if (!link) return;
    if ((event & WRITABLE) !== 0 && link.pending.length > 0) this.#drain(link);
    if (link.isClosed) return;
    if ((event & READABLE) !== 0 && link.interest === READABLE) return this.#read(link);
    if ((event & HUNG_UP) !== 0) this.drop(link);
  }

  #acceptAll(): void {
    this.#hasCallers = false;
    if (nowMs() < this.#acceptAgainMs) return;
    try {
      for (;;) {
        const accepted = accept(this.#listener, SILENT_MS_MAX);
        if (!accepted) return;
        const link = new EpollLink(accepted.fd, accepted.peer, this.#output, this, this.#budget);
        this.#links[accepted.fd] = link;
        this.#epoll.add(accepted.fd, READABLE);
        this.#guarded(link, () => {
          this.#service.opened(link);
          this.defer(link);
        });
      }
    } catch (error) {
      if (!(error instanceof DsmError) || error instanceof InvariantError) throw error;
      this.#events.log("error", error.message);
      this.#acceptAgainMs = nowMs() + ACCEPT_PAUSE_MS;
      this.#epoll.modify(this.#listener, 0);
    }
  }

  /** What one peer sends must never end the others: its connection is closed, and a line says why. */
  #guarded(link: EpollLink, step: () => void): void {
    try {
      step();
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#events.log("warn", `closed ${peerName(link.peer)}: ${error.message}`);
      link.close();
    }
  }

  #read(link: EpollLink): void {
    const { stash, seal } = link;
    if (seal) return this.#guarded(link, () => this.#readSealed(link, seal));
    if (stash.size > 0) return this.#guarded(link, () => this.#readOn(link, stash));
    const inbox = this.#inbox;
    if (RECEIVE_SIZE - inbox.size < RECEIVE_ROOM_MIN) this.#serveInbox();
    const count = this.#receiving.receive(link.fd, inbox.size, RECEIVE_SIZE - inbox.size);
    if (count <= 0) return this.#ended(link, count);
    inbox.add(link, count);
  }

  /** Receives the rest of a frame that has begun to arrive. */
  #readOn(link: EpollLink, stash: Stash): void {
    if (link.wanted > RECEIVE_SIZE) {
      stash.grow(link.wanted);
      const count = receive(link.fd, stash.bytes.subarray(stash.size, link.wanted));
      if (count <= 0) return this.#ended(link, count);
      stash.size += count;
      if (stash.size >= link.wanted) this.#feed(link, stash.bytes, stash.view, stash.size, 0);
      return;
    }
    this.#serveInbox();
    const { bytes, view } = this.#inbox;
    bytes.set(stash.bytes.subarray(0, stash.size));
    const count = this.#receiving.receive(link.fd, stash.size, RECEIVE_SIZE - stash.size);
    if (count <= 0) return this.#ended(link, count);
    this.#feed(link, bytes, view, stash.size + count, 0);
  }

  /** Receives records: what they carry is served by itself, not together with what others have sent. */
  #readSealed(link: EpollLink, { opener }: Seal): void {
    const { stash } = link;
    this.#serveInbox();
    const count = this.#receiving.receive(link.fd, 0, RECEIVE_SIZE);
    if (count <= 0) return this.#ended(link, count);
    const hadHalf = opener.heldSize > 0;
    const bodies = opener.open(this.#receiving.bytes.subarray(0, count));
    if (stash.size === 0 && (!hadHalf || bodies.length > 0)) link.sinceMs = nowMs();
    if (bodies.length === 0) return;
    if (stash.size === 0) return this.#feed(link, bodies, new DataView(bodies.buffer), bodies.length, 0);
    stash.append(bodies, link.wanted);
    if (stash.size >= link.wanted) this.#feed(link, stash.bytes, stash.view, stash.size, 0);
  }

  /** Has everything received in this round served, first together, then what that has left. */
  #serveInbox(): void {
    const inbox = this.#inbox;
    if (inbox.count === 0) return;
    this.#service.receivedTogether?.(inbox);
    for (let i = 0; i < inbox.count; i++) {
      const { link, start, end } = inbox.at(i);
      if (start < end && !link.isClosed) {
        this.#guarded(link, () => this.#feed(link, inbox.bytes, inbox.view, end, start));
      }
    }
    inbox.clear();
  }

  #ended(link: EpollLink, result: number): void {
    if (result === AGAIN) return;
    link.hasEnded = true;
    // what was answered before the peer's end still goes out
    if (result === BROKEN || link.pending.length === 0) return this.drop(link);
    this.rearm(link);
  }

  #feed(
    link: EpollLink,
    bytes: Uint8Array<ArrayBuffer>,
    view: DataView<ArrayBuffer>,
    end: number,
    start: number,
  ): void {
    link.wanted = 0;
    const consumed = this.#service.received(link, bytes, view, end, start);
    this.defer(link);
    if (link.isClosed) return;
    // what is left has begun to arrive just now, unless some of it was here before
    if (consumed < end && (consumed > start || link.stash.size === 0)) link.sinceMs = nowMs();
    link.stash.keep(bytes, consumed, end);
    if (link.wanted > RECEIVE_SIZE) link.stash.grow(link.wanted);
  }

  #feedResumed(): void {
    if (this.#resumed.length === 0) return;
    for (let i = 0, count = this.#resumed.length; i < count; i++) {
      const link = this.#resumed[i] as EpollLink;
      if (link.isClosed || link.isPaused || link.pending.length > 0) continue;
      this.#guarded(link, () => this.#feedStash(link));
      this.rearm(link);
    }
    this.#resumed.splice(0, this.#resumed.length);
  }

  #feedStash(link: EpollLink): void {
    const { stash } = link;
    if (stash.size === 0) return;
    if (stash.size > RECEIVE_SIZE) return this.#feed(link, stash.bytes, stash.view, stash.size, 0);
    const { bytes, view } = this.#inbox;
    bytes.set(stash.bytes.subarray(0, stash.size));
    this.#feed(link, bytes, view, stash.size, 0);
  }

  /** For links: has `received` called again with what is stashed, soon. */
  resume(link: EpollLink): void {
    this.#resumed.push(link);
  }

  /** For links: waits for what the link can do next. */
  rearm(link: EpollLink): void {
    if (link.isClosed) return;
    const interest = link.pending.length > 0 ? WRITABLE : link.isPaused || link.hasEnded ? 0 : READABLE;
    if (interest === link.interest) return;
    link.interest = interest;
    this.#epoll.modify(link.fd, interest);
  }

  /** For links: whether `size` bytes may be kept for a peer that does not take them at once. */
  hasRoomFor(size: number): boolean {
    return this.#pendingTotal === 0 || this.#pendingTotal + size <= PENDING_TOTAL_MAX;
  }

  /** For links: leaves the replies to `link` in the output until the end of the round. */
  defer(link: EpollLink): void {
    const end = this.#output.size;
    if (end === this.#replyStart) return;
    const deferred = this.#deferred[this.#deferredCount] ??= { link, end };
    this.#deferredCount++;
    deferred.link = link;
    deferred.end = end;
    this.#replyStart = end;
  }

  #sendDeferred(): void {
    let start = 0;
    for (let i = 0; i < this.#deferredCount; i++) {
      const { link, end } = this.#deferred[i] as { link: EpollLink; end: number };
      this.#sendPart(link, start, end);
      start = end;
    }
    this.#deferredCount = 0;
    this.#output.size = 0;
    this.#replyStart = 0;
  }

  #sendPart(link: EpollLink, start: number, end: number): void {
    if (link.isClosed) return;
    if (link.seal) return this.#sendSealed(link, link.seal, this.#output.bytes.subarray(start, end));
    let sent = 0;
    if (link.pending.length === 0) {
      sent = this.#sending.send(link.fd, start, end - start);
      if (sent === end - start) return;
      if (sent === BROKEN) return this.drop(link);
    }
    this.#keep(link, this.#output.bytes.slice(start + Math.max(0, sent), end));
  }

  #sendSealed(link: EpollLink, { sealer }: Seal, bytes: Uint8Array): void {
    const records = sealer.seal(bytes);
    const sent = link.pending.length === 0 ? send(link.fd, records, records.length) : AGAIN;
    if (sent === BROKEN) return this.drop(link);
    if (sent < records.length) this.#keep(link, records.subarray(Math.max(0, sent)));
  }

  /** For links: sends what is in the output now, the others' replies before it too. */
  flush(link: EpollLink): void {
    this.defer(link);
    this.#sendDeferred();
  }

  /** For links: sends what is in the output, and then a part of the region, without a copy as far as the peer takes it. */
  sendMemory(link: EpollLink, offset: number, size: number): void {
    const memory = this.#memory;
    invariant(memory !== undefined, "only a role that has memory sends from it");
    if (link.seal) {
      this.flush(link);
      if (link.isClosed) return;
      return this.#sendSealed(link, link.seal, memory.bytes.slice(offset, offset + size));
    }
    const output = this.#output;
    const head = output.bytes.slice(this.#replyStart, output.size);
    output.size = this.#replyStart;
    this.#sendDeferred();
    if (link.isClosed) return;
    let sent = 0;
    if (link.pending.length === 0) {
      sent = sendFromMemory(link.fd, head, head.length, memory, offset, size);
      if (sent === BROKEN) return this.drop(link);
      sent = Math.max(0, sent);
      if (sent === head.length + size) return;
    }
    if (sent < head.length) this.#keep(link, head.subarray(sent));
    const rest = Math.max(0, sent - head.length);
    this.#keep(link, memory.bytes.slice(offset + rest, offset + size));
  }

  #keep(link: EpollLink, bytes: Uint8Array<ArrayBuffer>): void {
    if (link.pending.length === 0) link.sinceMs = nowMs();
    link.pending.push({ bytes });
    this.#pendingTotal += bytes.length;
    this.rearm(link);
  }

  #drain(link: EpollLink): void {
    for (;;) {
      const first = link.pending[0];
      if (!first) break;
      const sent = send(link.fd, first.bytes, first.bytes.length);
      if (sent === AGAIN) return;
      if (sent === BROKEN) return this.drop(link);
      link.sinceMs = nowMs();
      this.#pendingTotal -= sent;
      if (sent < first.bytes.length) first.bytes = first.bytes.subarray(sent);
      else link.pending.shift();
    }
    if (link.hasEnded) return this.drop(link);
    this.rearm(link);
    if (!link.isPaused) this.resume(link);
  }

  #sweep(): void {
    const now = nowMs();
    if (this.#acceptAgainMs !== 0 && now >= this.#acceptAgainMs) {
      this.#acceptAgainMs = 0;
      this.#epoll.modify(this.#listener, READABLE);
    }
    if (now - this.#sweptMs < SWEEP_MS) return;
    this.#sweptMs = now;
    for (const link of this.#links) {
      if (!link) continue;
      const overdue = whyOverdue(link, now, this.#options.stallMsMax);
      if (overdue === undefined) continue;
      this.#events.log("warn", overdue);
      this.drop(link);
    }
  }

  /** For links: closes at once. */
  drop(link: EpollLink): void {
    if (link.isClosed) return;
    link.isClosed = true;
    this.#links[link.fd] = undefined;
    for (const { bytes } of link.pending) this.#pendingTotal -= bytes.length;
    link.pending.length = 0;
    link.stash.clear();
    closeFd(link.fd);
    this.#service.closed(link);
  }
}
