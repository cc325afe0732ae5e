/**
 * A client's side of one server: requests go in, answers come out, over as many connections as it takes.
 *
 *   - Many requests are in flight at once; those made in one turn of the event loop leave in one write.
 *   - When a connection breaks, what may be repeated (read, write, fill, questions) is sent again over the next one until
 *     its deadline. What may not is sent again only where the server resumed the session and so remembers it; else it
 *     fails with `outcome: "unknown"`, never with a second application.
 *   - A request made while the server is away waits for it, until its deadline.
 */
import { nowMs, pause } from "../base/clock.ts";
import { PeerLostError, ProtocolError, SystemError, TimeoutError } from "../base/errors.ts";
import type { Outcome } from "../base/errors.ts";
import { decodeHeader, encodeFrame, frameSizes, requirePayload } from "../wire/frame.ts";
import type { Envelope, Header } from "../wire/frame.ts";
import { GREETING_PREFIX_SIZE, GREETING_SIZE_MAX } from "../wire/classic.ts";
import { MAGIC, PREFIX_SIZE, PROTOCOL_VERSION, REMEMBERED_MAX } from "../wire/messages.ts";
import type { Fields, MessageName } from "../wire/messages.ts";
import {
  isPlainReply,
  putReadRequest,
  putWriteRequest,
  READ_REQUEST_SIZE,
  REPLY_SIZE,
  templateEpoch,
  templateId,
  templateIncarnation,
  WRITE_REQUEST_SIZE,
} from "../wire/templates.ts";

/** The highest epoch this process has seen, and the cluster's life it belongs to. One for all channels of a process. */
export interface EpochWord {
  /** 0 while none is known. */
  incarnation: number;
  /** See incarnation. */
  epoch: number;
}

/** How a request is to be made. */
export interface RequestOptions {
  /** How long it may take, in ms. */
  readonly timeoutMs?: number;
  /** Ends it early. */
  readonly signal?: AbortSignal;
}

/** A reply: its header, and its payload. */
export interface Reply {
  /** The decoded header. */
  readonly header: Header;
  /** The bytes after it. */
  readonly payload: Uint8Array<ArrayBuffer>;
}

/** How long a request may take unless asked otherwise. */
export const TIMEOUT_MS = 10_000;
/** Bytes collected for one write. */
const WRITE_SIZE = 128 * 1024;
/** Payloads up to this size are copied beside their header; larger ones are written by themselves. */
const COPY_SIZE_MAX = 16 * 1024;
const READ_SIZE = 256 * 1024;
/** How long one attempt to connect may take. */
const CONNECT_MS_MAX = 3_000;
const RETRY_MS_MIN = 10;
const RETRY_MS_MAX = 250;
/** How often deadlines are looked at. */
const SWEEP_MS = 50;
/** A server's answer to hello must come within this time. */
const HELLO_MS_MAX = 3_000;

const NOTHING = new Uint8Array(0);
const SOFTWARE = "dsm";

type Kind = "read" | "write" | "other";

class Pending {
  wasSent = false;
  isDone = false;
  /** Which one it was among the requests sent that may not be repeated. */
  turn = 0;
  forgetSignal: (() => void) | undefined;

  constructor(
    readonly kind: Kind,
    readonly id: number,
    readonly offset: number,
    readonly size: number,
    readonly payload: Uint8Array,
    /** The frame without payload, for what has no template. */
    readonly frame: Uint8Array | undefined,
    readonly isRepeatable: boolean,
    readonly deadlineMs: number,
    readonly resolve: (value: never) => void,
    readonly reject: (error: unknown) => void,
  ) {}
}

class Connection {
  isOver = false;
  constructor(readonly stream: Deno.TcpConn) {}
}

/** See the head of this file. */
export class Channel implements AsyncDisposable {
  /** The server's host, as given. */
  readonly host: string;
  /** Its port. */
  readonly port: number;
  /** What the server is; "" before the first connection. */
  role = "";
  /** Called after each new connection, before anything waiting is sent over it. */
  onConnected: () => void = () => {};
  readonly #epoch: EpochWord;
  readonly #pending = new Map<number, Pending>();
  #unsent: Pending[] = [];
  #connection: Connection | undefined;
  #connecting: Promise<void> | undefined;
  #reading: Promise<void> = Promise.resolve();
  #nextId = 1;
  /** Requests sent so far that may not be repeated. */
  #turns = 0;
  #token: Uint8Array = NOTHING;
  #isPumping = false;
  #isPumpScheduled = false;
  #isClosed = false;
  #sweeper: ReturnType<typeof setTimeout> | undefined;
  #lastError: string | undefined;
  readonly #closing = new AbortController();
  readonly #out = new Uint8Array(WRITE_SIZE);
  readonly #outView = new DataView(this.#out.buffer);

  /** @param epoch shared by all channels of this process. */
  constructor(host: string, port: number, epoch: EpochWord) {
    this.host = host;
    this.port = port;
    this.#epoch = epoch;
  }

  /** `host:port`. */
  get name(): string {
    return this.host.includes(":") ? `[${this.host}]:${this.port}` : `${this.host}:${this.port}`;
  }

  /** Whether there is a connection now. */
  get isConnected(): boolean {
    return this.#connection !== undefined;
  }

  /**
   * Reads `size` bytes of the region from `offset`.
   *
   * @throws SystemError (EINVAL: out of the region), TimeoutError, PeerLostError, or the signal's reason.
   */
  read(offset: number, size: number, options?: RequestOptions): Promise<Uint8Array<ArrayBuffer>> {
    return new Promise((resolve, reject) => {
      this.#submit(
        new Pending(
          "read",
          this.#takeId(),
          offset,
          size,
          NOTHING,
          undefined,
          true,
          this.#deadline(options),
          resolve,
          reject,
        ),
        options,
      );
    });
  }

  /** Writes `bytes` at `offset`. Do not change `bytes` before it resolves. @throws as `read`. */
  write(offset: number, bytes: Uint8Array, options?: RequestOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#submit(
        new Pending(
          "write",
          this.#takeId(),
          offset,
          bytes.length,
          bytes,
          undefined,
          true,
          this.#deadline(options),
          resolve as (value: never) => void,
          reject,
        ),
        options,
      );
    });
  }

  /**
   * Any other request, and its answer.
   *
   * @param isRepeatable whether it may be carried out twice.
   * @throws as `read`.
   */
  request<N extends MessageName>(
    name: N,
    fields: Fields<N>,
    isRepeatable: boolean,
    options?: RequestOptions,
    payload: Uint8Array = NOTHING,
  ): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const id = this.#takeId();
      const frame = encodeFrame(name, this.#envelope(id), fields, payload.length);
      this.#submit(
        new Pending("other", id, 0, 0, payload, frame, isRepeatable, this.#deadline(options), resolve as never, reject),
        options,
      );
    });
  }

  #takeId(): number {
    const id = this.#nextId;
    this.#nextId = id === 0xffff_ffff ? 1 : id + 1;
    return id;
  }

  #envelope(id: number): Envelope {
    return { id, incarnation: this.#epoch.incarnation, epoch: this.#epoch.epoch };
  }

  #deadline(options?: RequestOptions): number {
    return nowMs() + (options?.timeoutMs ?? TIMEOUT_MS);
  }

  #submit(pending: Pending, options?: RequestOptions): void {
    const signal = options?.signal;
    if (signal) {
      if (signal.aborted) return pending.reject(signal.reason);
      const abort = (): void => this.#settle(pending, () => pending.reject(signal.reason));
      signal.addEventListener("abort", abort, { once: true });
      pending.forgetSignal = () => signal.removeEventListener("abort", abort);
    }
    if (this.#isClosed) {
      return pending.reject(new PeerLostError(`the connection to ${this.name} was closed by this program`, "no"));
    }
    this.#pending.set(pending.id, pending);
    this.#unsent.push(pending);
    this.#sweeper ??= setTimeout(() => this.#sweep(), SWEEP_MS);
    if (!this.#isPumping && !this.#isPumpScheduled) {
      this.#isPumpScheduled = true;
      queueMicrotask(() => {
        this.#isPumpScheduled = false;
        if (this.#connection) this.#pump(this.#connection);
        else this.#connect();
      });
    }
  }

  #settle(pending: Pending, settle: () => void): void {
    if (pending.isDone) return;
    pending.isDone = true;
    this.#pending.delete(pending.id);
    pending.forgetSignal?.();
    settle();
  }

  // ---- connections

  #connect(): Promise<void> {
    return this.#connecting ??= this.#connectWhileWanted().finally(() => this.#connecting = undefined);
  }

  async #connectWhileWanted(): Promise<void> {
    let waitMs = RETRY_MS_MIN;
    while (this.#pending.size > 0 && !this.#isClosed && !this.#connection) {
      try {
        await this.#connectOnce();
        return;
      } catch (error) {
        this.#lastError = (error as Error).message;
        if (error instanceof ProtocolError) return this.#failAll(error);
      }
      await pause(waitMs, this.#closing.signal);
      waitMs = Math.min(RETRY_MS_MAX, waitMs * 2);
    }
  }

  async #connectOnce(): Promise<void> {
    const stream = await withTimeout(
      Deno.connect({ hostname: this.host, port: this.port }),
      CONNECT_MS_MAX,
      "no answer",
      (late) => late.close(),
    );
    const timer = setTimeout(() => stream.close(), HELLO_MS_MAX);
    const abort = (): void => stream.close();
    this.#closing.signal.addEventListener("abort", abort);
    try {
      stream.setNoDelay(true);
      const isResumed = await this.#greet(stream);
      this.#adopt(new Connection(stream), isResumed);
    } catch (error) {
      tryClose(stream);
      throw error;
    } finally {
      clearTimeout(timer);
      this.#closing.signal.removeEventListener("abort", abort);
    }
  }

  /** Says hello and hears welcome, skipping a config server's classic greeting. Returns whether the session was resumed. */
  async #greet(stream: Deno.TcpConn): Promise<boolean> {
    const hello = encodeFrame("hello", this.#envelope(0), {
      versionMin: PROTOCOL_VERSION,
      versionMax: PROTOCOL_VERSION,
      software: SOFTWARE,
      token: this.#token,
    });
    await writeAll(stream, MAGIC);
    await writeAll(stream, hello);
    let first = await readExactly(stream, MAGIC.length);
    if (!MAGIC.every((byte, i) => byte === first[i])) {
      const rest = await readExactly(stream, GREETING_PREFIX_SIZE - MAGIC.length);
      const size = new DataView(rest.buffer).getUint32(0);
      if (size > GREETING_SIZE_MAX) {
        throw new ProtocolError(`${this.name} is not a dsm server: it does not speak the protocol`);
      }
      await readExactly(stream, size);
      first = await readExactly(stream, MAGIC.length);
      if (!MAGIC.every((byte, i) => byte === first[i])) throw new ProtocolError(`${this.name} is not a dsm server`);
    }
    const prefix = await readExactly(stream, PREFIX_SIZE);
    const { headerSize } = frameSizes(new DataView(prefix.buffer), 0);
    const header = decodeHeader(await readExactly(stream, headerSize));
    if (header.name !== "welcome") throw new ProtocolError(`${this.name} answered hello with ${header.name}`);
    this.role = header.fields.role;
    this.#token = header.fields.token.slice();
    return header.fields.resumed;
  }

  #adopt(connection: Connection, isResumed: boolean): void {
    if (this.#isClosed) {
      tryClose(connection.stream);
      return;
    }
    this.#connection = connection;
    this.#lastError = undefined;
    this.#unsent = [];
    for (const pending of this.#pending.values()) {
      // the server remembers the latest answers only; what it has forgotten it would carry out again
      const isRemembered = isResumed && this.#turns - pending.turn < REMEMBERED_MAX;
      if (pending.wasSent && !pending.isRepeatable && !isRemembered) {
        this.#settle(
          pending,
          () => pending.reject(this.#lost("unknown", "the connection broke before its answer came")),
        );
      } else this.#unsent.push(pending);
    }
    this.#reading = this.#readAll(connection).catch((error) => {
      this.#drop(connection, error);
    });
    this.onConnected();
    this.#pump(connection);
  }

  #drop(connection: Connection, error?: unknown): void {
    if (connection.isOver) return;
    connection.isOver = true;
    tryClose(connection.stream);
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    if (error instanceof ProtocolError) return this.#failAll(error);
    this.#lastError = error instanceof Error ? error.message : "it closed the connection";
    if (this.#pending.size > 0 && !this.#isClosed) this.#connect();
  }

  #lost(outcome: Outcome, reason?: string): PeerLostError {
    const why = reason ?? this.#lastError ?? "it did not answer";
    return new PeerLostError(`${this.name} cannot be reached: ${why}; see whether it runs (dsm status)`, outcome);
  }

  #failAll(error: unknown): void {
    for (const pending of [...this.#pending.values()]) this.#settle(pending, () => pending.reject(error));
  }

  #sweep(): void {
    this.#sweeper = undefined;
    if (this.#pending.size === 0) return;
    const now = nowMs();
    let isStuck = false;
    for (const pending of [...this.#pending.values()]) {
      if (now < pending.deadlineMs) continue;
      const outcome: Outcome = pending.wasSent && pending.kind !== "read" ? "unknown" : "no";
      const error = this.#connection
        ? new TimeoutError(`${this.name} did not answer in time; a block it needs may be held (dsm blocks)`, outcome)
        : this.#lost(outcome);
      isStuck ||= this.#connection !== undefined && pending.wasSent;
      this.#settle(pending, () => pending.reject(error));
    }
    // a connection that answers nothing may lead nowhere: the next one resumes its session
    if (isStuck && this.#connection) this.#drop(this.#connection);
    if (this.#pending.size > 0) this.#sweeper = setTimeout(() => this.#sweep(), SWEEP_MS);
  }

  // ---- sending

  async #pump(connection: Connection): Promise<void> {
    if (this.#isPumping) return;
    this.#isPumping = true;
    try {
      while (this.#unsent.length > 0 && !connection.isOver) await this.#writeSome(connection);
    } catch (error) {
      this.#drop(connection, error);
    } finally {
      this.#isPumping = false;
    }
    if (this.#unsent.length > 0 && this.#connection && this.#connection !== connection) this.#pump(this.#connection);
  }

  async #writeSome(connection: Connection): Promise<void> {
    const queue = this.#unsent;
    const { incarnation, epoch } = this.#epoch;
    let at = 0;
    let count = 0;
    let large: Uint8Array | undefined;
    while (count < queue.length && large === undefined) {
      const pending = queue[count] as Pending;
      const headSize = pending.kind === "read"
        ? READ_REQUEST_SIZE
        : pending.kind === "write"
        ? WRITE_REQUEST_SIZE
        : (pending.frame as Uint8Array).length;
      const isLarge = pending.payload.length > COPY_SIZE_MAX;
      const needed = headSize + (isLarge ? 0 : pending.payload.length);
      if (at + needed > WRITE_SIZE) break;
      count++;
      if (pending.isDone) continue;
      if (!pending.wasSent && !pending.isRepeatable) pending.turn = ++this.#turns;
      pending.wasSent = true;
      if (pending.kind === "read") {
        putReadRequest(this.#outView, at, pending.id, incarnation, epoch, pending.offset, pending.size);
      } else if (pending.kind === "write") {
        putWriteRequest(this.#outView, at, pending.id, incarnation, epoch, pending.offset, pending.size);
      } else this.#out.set(pending.frame as Uint8Array, at);
      at += headSize;
      if (isLarge) large = pending.payload;
      else if (pending.payload.length > 0) {
        this.#out.set(pending.payload, at);
        at += pending.payload.length;
      }
    }
    if (count === queue.length) this.#unsent = [];
    else queue.splice(0, count);
    if (at > 0) await writeAll(connection.stream, this.#out.subarray(0, at));
    if (large) await writeAll(connection.stream, large);
  }

  // ---- receiving

  async #readAll(connection: Connection): Promise<void> {
    const buffer = new Uint8Array(READ_SIZE);
    const view = new DataView(buffer.buffer);
    let have = 0;
    for (;;) {
      const count = await connection.stream.read(have === 0 ? buffer : buffer.subarray(have));
      if (count === null) return this.#drop(connection);
      have += count;
      let at = 0;
      for (;;) {
        if (have - at >= REPLY_SIZE && isPlainReply(view, at)) {
          const { payloadSize } = frameSizes(view, at);
          const end = at + REPLY_SIZE + payloadSize;
          if (end <= have) {
            this.#meetEpoch(templateIncarnation(view, at), templateEpoch(view, at));
            this.#finishPlain(templateId(view, at), buffer, at + REPLY_SIZE, end);
            at = end;
            continue;
          }
        }
        if (have - at < PREFIX_SIZE) break;
        const { headerSize, payloadSize } = frameSizes(view, at);
        const dataAt = at + PREFIX_SIZE + headerSize;
        const end = dataAt + payloadSize;
        if (dataAt > have || (end > have && end - at <= READ_SIZE)) break;
        const header = decodeHeader(buffer.subarray(at + PREFIX_SIZE, dataAt));
        requirePayload(header.name, payloadSize);
        this.#finish(
          header,
          end <= have
            ? buffer.slice(dataAt, end)
            : await receiveRest(connection.stream, buffer.subarray(dataAt, have), payloadSize),
        );
        at = Math.min(end, have);
      }
      if (at === have) have = 0;
      else if (at > 0) {
        buffer.copyWithin(0, at, have);
        have -= at;
      }
    }
  }

  #meetEpoch(incarnation: number, epoch: number): void {
    const known = this.#epoch;
    if (incarnation !== known.incarnation) {
      known.incarnation = incarnation;
      known.epoch = epoch;
    } else if (epoch > known.epoch) known.epoch = epoch;
  }

  #finishPlain(id: number, buffer: Uint8Array<ArrayBuffer>, start: number, end: number): void {
    const pending = this.#pending.get(id);
    if (!pending || pending.isDone) return;
    requireReadSize(pending, end - start);
    pending.isDone = true;
    this.#pending.delete(id);
    pending.forgetSignal?.();
    pending.resolve((pending.kind === "write" ? undefined : this.#plainValue(pending, buffer, start, end)) as never);
  }

  #plainValue(pending: Pending, buffer: Uint8Array<ArrayBuffer>, start: number, end: number): unknown {
    if (pending.kind === "read") return buffer.slice(start, end);
    const header = decodeHeader(buffer.subarray(start - REPLY_SIZE + PREFIX_SIZE, start));
    return { header, payload: buffer.slice(start, end) };
  }

  #finish(header: Header, payload: Uint8Array<ArrayBuffer>): void {
    this.#meetEpoch(header.incarnation, header.epoch);
    const pending = this.#pending.get(header.id);
    if (!pending) return;
    if (header.name === "error") {
      const { code, message } = header.fields;
      return this.#settle(pending, () => {
        pending.reject(
          new SystemError(
            pending.kind === "other" ? "request" : pending.kind,
            code,
            `${this.name}: ${code}: ${message}`,
          ),
        );
      });
    }
    requireReadSize(pending, payload.length);
    this.#settle(pending, () => {
      if (pending.kind === "read") pending.resolve(payload as never);
      else if (pending.kind === "write") pending.resolve(undefined as never);
      else pending.resolve({ header, payload } as never);
    });
  }

  /** Closes the channel; what is in flight fails. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#sweeper);
    this.#closing.abort();
    if (this.#connection) this.#drop(this.#connection);
    this.#failAll(new PeerLostError(`the connection to ${this.name} was closed by this program`, "unknown"));
    await this.#connecting;
    await this.#reading;
  }

  /** The same as {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function tryClose(stream: Deno.TcpConn): void {
  try {
    stream.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error; // closed already, by a deadline or an abort
  }
}

async function writeAll(stream: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await stream.write(at === 0 ? bytes : bytes.subarray(at));
}

/** What is left of a payload too large for the buffer, behind its `start`. */
async function receiveRest(stream: Deno.TcpConn, start: Uint8Array, size: number): Promise<Uint8Array<ArrayBuffer>> {
  const payload = new Uint8Array(size);
  payload.set(start);
  for (let have = start.length; have < size;) {
    const count = await stream.read(payload.subarray(have));
    if (count === null) throw new Error("it closed the connection in the middle of a reply");
    have += count;
  }
  return payload;
}

function requireReadSize(pending: Pending, size: number): void {
  if (pending.kind !== "read" || pending.size === size) return;
  throw new ProtocolError(`a reply of ${size} bytes to a read of ${pending.size}`);
}

async function readExactly(stream: Deno.TcpConn, size: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size;) {
    const count = await stream.read(bytes.subarray(at));
    if (count === null) throw new Error("it closed the connection");
    at += count;
  }
  return bytes;
}

async function withTimeout<T>(promise: Promise<T>, ms: number, message: string, late: (value: T) => void): Promise<T> {
  let isLate = false;
  const { promise: timeout, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    isLate = true;
    reject(new Error(message));
  }, ms);
  promise.then((value) => isLate && late(value), () => {});
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
