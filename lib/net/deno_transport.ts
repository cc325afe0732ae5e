/**
 * The portable transport: Deno's own TCP listener behind the same interface. One read, all whole frames given to the
 * service together, one write. It carries what is not per-access, and memory servers where FFI sockets are not to be had.
 */
import { nowMs, pause } from "../base/clock.ts";
import { ProtocolError } from "../base/errors.ts";
import type { SocketAddress } from "../sys/sockets.ts";
import type { Seal } from "../wire/seal.ts";
import { whyOverdue } from "./overdue.ts";
import { Stash, StashBudget } from "./stash.ts";
import { tryClose, withTimeout } from "./stream.ts";
import { Output, peerName, PENDING_TOTAL_MAX } from "./transport.ts";
import type { Link, Service, TransportEvents, TransportOptions } from "./transport.ts";

/** What one read takes at most. */
const READ_SIZE = 256 * 1024;
const SWEEP_MS = 1_000;
const ACCEPT_PAUSE_MS = 100;
/** How long a caller of a TLS listener may take to agree on keys; before that there is no link. */
const HANDSHAKE_MS_MAX = 3_000;

/** What listens: in the clear, or TLS. */
export type DenoListener = Deno.TcpListener | Deno.TlsListener;
type Connection = Deno.TcpConn | Deno.TlsConn;

class DenoLink implements Link {
  state: unknown;
  seal: Seal | undefined;
  readonly stash: Stash;
  readonly pending: Uint8Array<ArrayBuffer>[] = [];
  wanted = 0;
  isPaused = false;
  isClosed = false;
  isClosing = false;
  sinceMs = 0;
  /** Lets the reading loop go on. */
  wake: () => void = () => {};

  constructor(
    readonly connection: Connection,
    readonly peer: SocketAddress,
    readonly output: Output,
    private readonly transport: DenoTransport,
    budget: StashBudget,
  ) {
    this.stash = new Stash(budget);
  }

  get local(): SocketAddress {
    const { hostname, port } = this.connection.localAddr;
    return { host: hostname, port };
  }
  get isEncrypted(): boolean {
    return "handshake" in this.connection;
  }
  get isBlocked(): boolean {
    return this.pending.length > 0 || this.isClosed;
  }
  hasRoomFor(size: number): boolean {
    return this.transport.hasRoomFor(size);
  }
  flush(): void {
    const { output } = this;
    if (output.size === 0) return;
    const bytes = output.bytes.slice(0, output.size);
    output.size = 0;
    this.transport.queue(this, bytes);
  }
  endReplies(): void {
    this.flush();
  }
  sendMemory(offset: number, size: number): void {
    this.flush();
    this.transport.queue(this, this.transport.copyOf(offset, size));
  }
  want(size: number): void {
    this.wanted = size;
  }
  pause(): void {
    this.isPaused = true;
    this.transport.scheduleTick();
  }
  resume(): void {
    this.isPaused = false;
    this.wake();
  }
  close(): void {
    this.flush();
    this.isClosing = true;
    this.transport.closeWhenSent(this);
  }
}

/** The transport; it serves from construction on. */
export class DenoTransport {
  /** Resolves when the transport has stopped. */
  readonly finished: Promise<void>;
  readonly #listener: DenoListener;
  readonly #memory: Uint8Array<ArrayBuffer>;
  readonly #service: Service;
  readonly #events: TransportEvents;
  readonly #options: TransportOptions;
  readonly #links = new Set<DenoLink>();
  /** Callers that have not agreed on keys yet. */
  readonly #shaking = new Set<Deno.TlsConn>();
  readonly #output = new Output();
  readonly #budget = new StashBudget();
  readonly #sweeper: ReturnType<typeof setInterval>;
  #pendingTotal = 0;
  #ticker: ReturnType<typeof setTimeout> | undefined;
  #tickAtMs = Infinity;
  #isStopping = false;

  /** @param listener bound already; @param memory where `sendMemory` sends from, empty for a role that has none. */
  constructor(
    listener: DenoListener,
    memory: Uint8Array<ArrayBuffer>,
    service: Service,
    events: TransportEvents,
    options: TransportOptions,
  ) {
    this.#listener = listener;
    this.#memory = memory;
    this.#service = service;
    this.#events = events;
    this.#options = options;
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS);
    this.finished = this.#acceptAll();
  }

  /** Stops accepting and closes every connection. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    clearInterval(this.#sweeper);
    clearTimeout(this.#ticker);
    this.#listener.close();
    for (const link of [...this.#links]) this.#drop(link);
    for (const connection of this.#shaking) tryClose(connection);
    await this.finished;
  }

  async #acceptAll(): Promise<void> {
    const loops = new Set<Promise<void>>();
    while (!this.#isStopping) {
      try {
        const loop = this.#serve(await this.#listener.accept());
        loops.add(loop);
        loop.finally(() => loops.delete(loop));
      } catch (error) {
        if (this.#isStopping) break;
        this.#events.log(
          "error",
          `cannot accept a connection: ${(error as Error).message}; raise the limit of open files (ulimit -n)`,
        );
        await pause(ACCEPT_PAUSE_MS);
      }
    }
    await Promise.all(loops);
  }

  async #serve(connection: Connection): Promise<void> {
    if ("handshake" in connection && !await this.#shakeHands(connection)) return;
    const remote = connection.remoteAddr;
    const peer = { host: remote.hostname, port: remote.port };
    const link = new DenoLink(connection, peer, this.#output, this, this.#budget);
    this.#links.add(link);
    try {
      if ("setNoDelay" in connection) {
        connection.setNoDelay(true);
        connection.setKeepAlive(true);
      }
      this.#service.opened(link);
      link.flush();
      this.scheduleTick();
      await this.#readAll(link);
    } catch (error) {
      // the latter is TLS's: bytes that nobody has sealed
      if (error instanceof ProtocolError || error instanceof Deno.errors.InvalidData) {
        this.#events.log("warn", `closed ${peerName(peer)}: ${error.message}`);
        link.close();
      } else if (!isNetworkError(error)) throw error;
    } finally {
      if (!link.isClosing || link.pending.length === 0) this.#drop(link);
    }
  }

  /** Returns whether it is TLS now; else it is closed, and a line logged. */
  async #shakeHands(connection: Deno.TlsConn): Promise<boolean> {
    const { hostname: host, port } = connection.remoteAddr;
    this.#shaking.add(connection);
    try {
      await withTimeout(connection.handshake(), HANDSHAKE_MS_MAX, `no TLS within ${HANDSHAKE_MS_MAX} ms`, () => {});
      return true;
    } catch (error) {
      if (!this.#isStopping) {
        this.#events.log("warn", `closed ${peerName({ host, port })}: ${(error as Error).message}`);
      }
      tryClose(connection);
      return false;
    } finally {
      this.#shaking.delete(connection);
    }
  }

  async #readAll(link: DenoLink): Promise<void> {
    const buffer = new Uint8Array(READ_SIZE);
    const view = new DataView(buffer.buffer);
    for (;;) {
      if (link.seal) return await this.#readAllSealed(link, link.seal, buffer);
      const kept = link.stash.size;
      const isLarge = link.wanted > READ_SIZE || kept >= READ_SIZE;
      if (isLarge) link.stash.grow(Math.max(link.wanted, kept + 1));
      else if (kept > 0) buffer.set(link.stash.bytes.subarray(0, kept));
      const into = isLarge ? link.stash.bytes.subarray(kept) : buffer.subarray(kept);
      const count = await link.connection.read(into);
      if (count === null || link.isClosed || link.isClosing) return await this.#sent(link);
      const size = kept + count;
      if (isLarge) link.stash.size = size;
      if (size < link.wanted) {
        if (!isLarge) link.stash.keep(buffer, 0, size);
        continue;
      }
      if (isLarge) this.#feed(link, link.stash.bytes, link.stash.view, size);
      else this.#feed(link, buffer, view, size);
      await this.#settled(link);
      if (link.isClosed || link.isClosing) return await this.#sent(link);
    }
  }

  async #readAllSealed(link: DenoLink, { opener }: Seal, buffer: Uint8Array<ArrayBuffer>): Promise<void> {
    const { stash } = link;
    for (;;) {
      const count = await link.connection.read(buffer);
      if (count === null || link.isClosed || link.isClosing) return await this.#sent(link);
      const hadHalf = opener.heldSize > 0;
      const bodies = opener.open(buffer.subarray(0, count));
      if (stash.size === 0 && (!hadHalf || bodies.length > 0)) link.sinceMs = nowMs();
      if (bodies.length === 0) continue;
      if (stash.size === 0) this.#feed(link, bodies, new DataView(bodies.buffer), bodies.length);
      else {
        stash.append(bodies, link.wanted);
        if (stash.size >= link.wanted) this.#feed(link, stash.bytes, stash.view, stash.size);
      }
      await this.#settled(link);
      if (link.isClosed || link.isClosing) return await this.#sent(link);
    }
  }

  /** Waits until the link may be read from again, giving the service what is stashed whenever it was resumed. */
  async #settled(link: DenoLink): Promise<void> {
    while ((link.isPaused || link.pending.length > 0) && !link.isClosed && !link.isClosing) {
      await new Promise<void>((resolve) => link.wake = resolve);
      link.wake = () => {};
      if (link.isPaused || link.pending.length > 0 || link.isClosed) continue;
      if (link.stash.size > 0) this.#feed(link, link.stash.bytes, link.stash.view, link.stash.size);
    }
  }

  async #sent(link: DenoLink): Promise<void> {
    while (link.pending.length > 0 && !link.isClosed) await new Promise<void>((resolve) => link.wake = resolve);
  }

  #feed(link: DenoLink, bytes: Uint8Array<ArrayBuffer>, view: DataView<ArrayBuffer>, size: number): void {
    link.wanted = 0;
    let consumed: number;
    try {
      consumed = this.#service.received(link, bytes, view, size);
    } finally {
      // the output is everybody's: nothing may be left in it for the link that comes next
      link.flush();
    }
    if (link.isClosed) return;
    // what is left has begun to arrive just now, unless some of it was here before
    if (consumed > 0 || link.stash.size === 0) link.sinceMs = nowMs();
    link.stash.keep(bytes, consumed, size);
    this.scheduleTick();
  }

  /** For links: looks when the service wants to be called next. */
  scheduleTick(): void {
    const inMs = this.#service.nextTickMs();
    const atMs = nowMs() + inMs;
    if (inMs === Infinity || this.#isStopping || atMs >= this.#tickAtMs) return;
    clearTimeout(this.#ticker);
    this.#tickAtMs = atMs;
    this.#ticker = setTimeout(() => {
      this.#tickAtMs = Infinity;
      this.#service.tick();
      this.scheduleTick();
    }, Math.max(0, inMs));
  }

  /** For links: whether `size` bytes may be kept for a peer that does not take them at once. */
  hasRoomFor(size: number): boolean {
    return this.#pendingTotal === 0 || this.#pendingTotal + size <= PENDING_TOTAL_MAX;
  }

  /** For links: a copy of a part of the region. */
  copyOf(offset: number, size: number): Uint8Array<ArrayBuffer> {
    return this.#memory.slice(offset, offset + size);
  }

  /** For links: sends `bytes` after what is queued already. */
  queue(link: DenoLink, bytes: Uint8Array<ArrayBuffer>): void {
    if (link.isClosed) return;
    const sent = link.seal ? link.seal.sealer.seal(bytes) : bytes;
    link.pending.push(sent);
    this.#pendingTotal += sent.length;
    if (link.pending.length === 1) {
      link.sinceMs = nowMs();
      this.#pump(link).catch((error) => {
        if (!isNetworkError(error)) throw error;
        this.#drop(link);
      });
    }
  }

  async #pump(link: DenoLink): Promise<void> {
    for (let bytes = link.pending[0]; bytes; bytes = link.pending[0]) {
      for (let at = 0; at < bytes.length;) {
        at += await link.connection.write(at === 0 ? bytes : bytes.subarray(at));
        if (link.isClosed) return;
        link.sinceMs = nowMs();
      }
      this.#pendingTotal -= bytes.length;
      link.pending.shift();
    }
    if (link.isClosing) this.#drop(link);
    link.wake();
  }

  /** For links: closes once everything queued is sent. */
  closeWhenSent(link: DenoLink): void {
    if (link.pending.length === 0) this.#drop(link);
  }

  #sweep(): void {
    const now = nowMs();
    for (const link of this.#links) {
      const overdue = whyOverdue(link, now, this.#options.stallMsMax);
      if (overdue === undefined) continue;
      this.#events.log("warn", overdue);
      this.#drop(link);
    }
  }

  #drop(link: DenoLink): void {
    if (link.isClosed) return;
    link.isClosed = true;
    this.#links.delete(link);
    for (const bytes of link.pending) this.#pendingTotal -= bytes.length;
    link.pending.length = 0;
    link.stash.clear();
    link.connection.close();
    this.#service.closed(link);
    link.wake();
  }
}

/** Whether an error of Deno's only says that a connection is over. */
function isNetworkError(error: unknown): boolean {
  return error instanceof Deno.errors.ConnectionReset || error instanceof Deno.errors.BrokenPipe ||
    error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted ||
    error instanceof Deno.errors.ConnectionAborted || error instanceof Deno.errors.TimedOut ||
    error instanceof Deno.errors.NotConnected || error instanceof Deno.errors.UnexpectedEof ||
    error instanceof Deno.errors.InvalidData;
}
