/**
 * A client's side of one server: requests go in, answers come out, over as many connections as it takes.
 *
 *   - Many requests are in flight at once; those made in one turn of the event loop leave in one write.
 *   - When a connection breaks, what may be repeated (read, write, fill, questions) is sent again over the next one until
 *     its deadline. What may not is sent again only where the server resumed the session and so remembers it; else it
 *     fails with `outcome: "unknown"`, never with a second application.
 *   - A request made while the server is away waits for it, until its deadline.
 *   - A request that is meant for certain memory never reaches a server that has come back with other.
 */
import { nowMs, pause } from "../base/clock.ts";
import { PeerLostError, ProtocolError, SystemError, TimeoutError } from "../base/errors.ts";
import type { Outcome } from "../base/errors.ts";
import { formatEndpoint } from "../base/units.ts";
import { meetEpoch } from "../wire/epoch.ts";
import type { EpochWord } from "../wire/epoch.ts";
import { decodeHeader, encodeFrame } from "../wire/frame.ts";
import type { Envelope, Header } from "../wire/frame.ts";
import { PREFIX_SIZE, REMEMBERED_MAX } from "../wire/messages.ts";
import type { Fields, MessageName } from "../wire/messages.ts";
import { REPLY_SIZE } from "../wire/templates.ts";
import { NO_CREDENTIALS } from "./credentials.ts";
import type { Credentials } from "./credentials.ts";
import { dial } from "./greet.ts";
import { PendingTable } from "./pending_table.ts";
import { readReplies } from "./reply_reader.ts";
import type { ReplySink } from "./reply_reader.ts";
import { Pending } from "./request.ts";
import type { ChannelRequestOptions, Reply, RequestOptions } from "./request.ts";
import { RequestWriter } from "./request_writer.ts";
import { tryClose } from "./stream.ts";
import type { Stream } from "./stream.ts";

/** How long a request may take unless asked otherwise. */
export const TIMEOUT_MS = 10_000;
/** How soon a request is made again that came from an epoch its server had not heard of. */
const BEHIND_MS = 5;
const RETRY_MS_MIN = 10;
const RETRY_MS_MAX = 250;
/** How often deadlines are looked at. */
const SWEEP_MS = 50;

const NOTHING = new Uint8Array(0);

/** See the head of this file. */
export class Channel implements AsyncDisposable, ReplySink {
  /** The server's host, as given. */
  readonly host: string;
  /** Its port. */
  readonly port: number;
  /** `host:port`. */
  readonly name: string;
  /** What the server is; "" before the first connection. */
  role = "";
  /** What tells its memory from any other; "" before the first connection, and where the server has none. */
  cookie = "";
  /** Called after each new connection; what it asks for is sent before anything that waits. */
  onConnected: () => void = () => {};
  /** Called when a connection breaks, before another is tried. */
  onDropped: () => void = () => {};
  readonly #epoch: EpochWord;
  readonly #credentials: Credentials;
  readonly #pending = new PendingTable();
  #unsent: Pending[] = [];
  #stream: Stream | undefined;
  #connecting: Promise<void> | undefined;
  #reading: Promise<void> = Promise.resolve();
  #nextId = 1;
  #token: Uint8Array = NOTHING;
  #turnMs = 0;
  #isPumping = false;
  #isPumpScheduled = false;
  #isClosed = false;
  #sweeper: ReturnType<typeof setTimeout> | undefined;
  #lastError: string | undefined;
  readonly #closing = new AbortController();
  readonly #writer = new RequestWriter();

  /** @param epoch shared by all channels of this process; @param credentials for servers that want any. */
  constructor(host: string, port: number, epoch: EpochWord, credentials: Credentials = NO_CREDENTIALS) {
    this.host = host;
    this.port = port;
    this.name = formatEndpoint({ host, port });
    this.#epoch = epoch;
    this.#credentials = credentials;
  }

  /** The token of its session, in hexadecimal digits: another one means that the server has begun another session. */
  get session(): string {
    return this.#token.toHex();
  }

  /** Whether there is a connection now. */
  get isConnected(): boolean {
    return this.#stream !== undefined;
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
    options?: ChannelRequestOptions,
    payload: Uint8Array = NOTHING,
  ): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const id = this.#takeId();
      options?.onId?.(id);
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
    // requests made in one turn share one look at the clock
    if (!this.#isPumpScheduled) this.#turnMs = nowMs();
    return this.#turnMs + (options?.timeoutMs ?? TIMEOUT_MS);
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
    pending.cookie = options?.memory?.get(this.name);
    if (this.#stream && this.#isForOtherMemory(pending)) return pending.reject(memoryLost(this.name));
    this.#pending.add(pending);
    this.#unsent.push(pending);
    this.#sweeper ??= setTimeout(() => this.#sweep(), SWEEP_MS);
    if (!this.#isPumping && !this.#isPumpScheduled) {
      this.#isPumpScheduled = true;
      queueMicrotask(() => {
        this.#isPumpScheduled = false;
        if (this.#stream) this.#pump(this.#stream);
        else this.#connect();
      });
    }
  }

  #isForOtherMemory({ cookie }: Pending): boolean {
    return cookie !== undefined && cookie !== this.cookie;
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
    while (this.#pending.size > 0 && !this.#isClosed && !this.#stream) {
      try {
        await this.#connectOnce();
        return;
      } catch (error) {
        this.#lastError = (error as Error).message;
        // neither changes by trying again: the peer speaks something else, or does not let this program in
        if (error instanceof ProtocolError || error instanceof SystemError) return this.#failAll(error);
      }
      await pause(waitMs, this.#closing.signal);
      waitMs = Math.min(RETRY_MS_MAX, waitMs * 2);
    }
  }

  async #connectOnce(): Promise<void> {
    const { stream, role, token, isResumed, cookie } = await dial(
      this,
      this.#epoch,
      this.#token,
      this.#credentials,
      this.#closing.signal,
    );
    this.role = role;
    this.cookie = cookie;
    this.#token = token;
    this.#adopt(stream, isResumed);
  }

  #adopt(stream: Stream, isResumed: boolean): void {
    if (this.#isClosed) return tryClose(stream);
    this.#stream = stream;
    this.#lastError = undefined;
    this.#unsent = [];
    const waiting = this.#pending.all();
    this.#reading = readReplies(stream, this).then(() => this.#drop(stream), (error) => this.#drop(stream, error));
    this.onConnected();
    for (const pending of waiting) {
      if (pending.isDone) continue;
      if (this.#isForOtherMemory(pending)) {
        this.#settle(pending, () => pending.reject(memoryLost(this.name)));
        continue;
      }
      // the server remembers the latest answers only; what it has forgotten it would carry out again
      const isRemembered = isResumed && this.#writer.turns - pending.turn < REMEMBERED_MAX;
      if (pending.wasSent && !pending.isRepeatable && !isRemembered) {
        this.#settle(
          pending,
          () => pending.reject(this.#lost("unknown", "the connection broke before its answer came")),
        );
      } else this.#unsent.push(pending);
    }
    this.#pump(stream);
  }

  #drop(stream: Stream, error?: unknown): void {
    tryClose(stream);
    if (this.#stream !== stream) return;
    this.#stream = undefined;
    this.onDropped();
    if (error instanceof ProtocolError) return this.#failAll(error);
    this.#lastError = error instanceof Error ? error.message : "it closed the connection";
    if (this.#pending.size > 0 && !this.#isClosed) this.#connect();
  }

  #lost(outcome: Outcome, reason?: string): PeerLostError {
    const why = reason ?? this.#lastError ?? "it did not answer";
    return new PeerLostError(`${this.name} cannot be reached: ${why}; see whether it runs (dsm status)`, outcome);
  }

  #failAll(error: unknown): void {
    for (const pending of this.#pending.all()) this.#settle(pending, () => pending.reject(error));
  }

  #sweep(): void {
    this.#sweeper = undefined;
    if (this.#pending.size === 0) return;
    const now = nowMs();
    let isStuck = false;
    for (const pending of this.#pending.all()) {
      if (now < pending.deadlineMs) continue;
      const outcome: Outcome = pending.wasSent && pending.kind !== "read" ? "unknown" : "no";
      const error = this.#stream ? new TimeoutError(`${this.name} ${whyLate(pending)}`, outcome) : this.#lost(outcome);
      isStuck ||= this.#stream !== undefined && pending.wasSent && !pending.isAhead;
      this.#settle(pending, () => pending.reject(error));
    }
    // a connection that answers nothing may lead nowhere: the next one resumes its session
    if (isStuck && this.#stream) this.#drop(this.#stream);
    if (this.#pending.size > 0) this.#sweeper = setTimeout(() => this.#sweep(), SWEEP_MS);
  }

  // ---- sending

  async #pump(stream: Stream): Promise<void> {
    if (this.#isPumping) return;
    this.#isPumping = true;
    try {
      while (this.#unsent.length > 0 && this.#stream === stream) {
        await this.#writer.writeSome(stream, this.#unsent, this.#epoch);
      }
    } catch (error) {
      this.#drop(stream, error);
    } finally {
      this.#isPumping = false;
    }
    if (this.#unsent.length > 0 && this.#stream && this.#stream !== stream) this.#pump(this.#stream);
  }

  // ---- receiving

  /** For the reader of replies. */
  plain(
    id: number,
    incarnation: number,
    epoch: number,
    buffer: Uint8Array<ArrayBuffer>,
    start: number,
    end: number,
  ): void {
    meetEpoch(this.#epoch, incarnation, epoch);
    const pending = this.#pending.get(id);
    if (!pending || pending.isDone) return;
    requireReadSize(pending, end - start);
    pending.isDone = true;
    this.#pending.delete(id);
    pending.forgetSignal?.();
    pending.resolve((pending.kind === "write" ? undefined : this.#plainValue(pending, buffer, start, end)) as never);
  }

  #plainValue(pending: Pending, buffer: Uint8Array<ArrayBuffer>, start: number, end: number): unknown {
    if (pending.kind === "read") return copyOf(buffer, start, end);
    const header = decodeHeader(buffer.subarray(start - REPLY_SIZE + PREFIX_SIZE, start));
    return { header, payload: buffer.slice(start, end) };
  }

  /** Whether whoever sent a frame has yet to hear of the epoch known here. */
  #isAheadOf({ incarnation, epoch }: Envelope): boolean {
    if (incarnation === 0) return this.#epoch.incarnation !== 0;
    return incarnation === this.#epoch.incarnation && epoch < this.#epoch.epoch;
  }

  /** Makes a request once more that was refused, and so changed nothing. */
  async #submitAgain(pending: Pending): Promise<void> {
    pending.wasSent = false;
    pending.isAhead = true;
    await pause(BEHIND_MS, this.#closing.signal);
    if (pending.isDone || pending.wasSent || this.#unsent.includes(pending)) return;
    this.#unsent.push(pending);
    if (this.#stream) this.#pump(this.#stream);
    else this.#connect();
  }

  /** For the reader of replies. */
  reply(header: Header, payload: Uint8Array<ArrayBuffer>): void {
    meetEpoch(this.#epoch, header.incarnation, header.epoch);
    const pending = this.#pending.get(header.id);
    if (!pending) return;
    if (header.name === "error") {
      const { code, message } = header.fields;
      if (code === "ESTALE" && this.#isAheadOf(header)) return void this.#submitAgain(pending);
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
    if (this.#stream) this.#drop(this.#stream);
    this.#failAll(new PeerLostError(`the connection to ${this.name} was closed by this program`, "unknown"));
    await this.#connecting;
    await this.#reading;
  }

  /** The same as {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** The error of a request for memory that `server` does not have any more. */
export function memoryLost(server: string): SystemError {
  const message =
    "it has come back without the memory that is meant, and what was in it is lost; make the segment anew";
  return new SystemError("request", "EIDRM", `${server}: EIDRM: ${message}`);
}

function whyLate(pending: Pending): string {
  return pending.isAhead
    ? "has not come to the epoch of this program in time; it may have started anew without its config server"
    : "did not answer in time; a block it needs may be held (dsm blocks)";
}

function requireReadSize(pending: Pending, size: number): void {
  if (pending.kind !== "read" || pending.size === size) return;
  throw new ProtocolError(`a reply of ${size} bytes to a read of ${pending.size}`);
}

/** The same as `slice`, whose look for a species costs several times the copy of a few bytes. */
function copyOf(bytes: Uint8Array<ArrayBuffer>, start: number, end: number): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(end - start);
  copy.set(bytes.subarray(start, end));
  return copy;
}
