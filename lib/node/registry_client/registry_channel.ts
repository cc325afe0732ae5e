/**
 * A client's way to a registry: a channel whose errors say what to do about a registry, whose session is kept alive while
 * anything hangs on it, and whose requests that wait there can be cancelled there.
 *
 *   - While there is something to keep (a lease, a request that waits, a message in delivery), the registry is pinged: a
 *     connection that leads nowhere is found out and made again within the time that the registry keeps the session.
 *   - When the registry has begun another session, `onSessionLost` says so: what the old one had is gone.
 */
import { Deadline, pause } from "../../base/clock.ts";
import { DsmError, PeerLostError, SystemError, TimeoutError } from "../../base/errors.ts";
import type { Endpoint } from "../../base/units.ts";
import { Channel, TIMEOUT_MS } from "../../net/channel.ts";
import type { Credentials } from "../../net/credentials.ts";
import type { ChannelRequestOptions, Reply, RequestOptions } from "../../net/request.ts";
import type { EpochWord } from "../../wire/epoch.ts";
import type { Fields, MessageName } from "../../wire/messages.ts";

/** How often the registry is asked whether it is there, and how soon it must answer; well within its lease of 10 s. */
const PING_MS = 3_000;
/** How long one request waits at the registry before it is made anew. */
export const WAIT_MS_MAX = 30_000;

/** How a request is made. */
export interface AskOptions extends ChannelRequestOptions {
  /** Whether it may be carried out twice. */
  readonly isRepeatable: boolean;
  /** Whether it may wait at the registry: then giving it up ends that. */
  readonly waits?: boolean;
  /** Whether what it is answered with is to go back when it was given up before. */
  readonly isGivenBack?: boolean;
  /** What follows the header. */
  readonly payload?: Uint8Array;
}

/** See the head of this file. */
export class RegistryChannel {
  /** Called when the session, and all that hung on it, is gone. */
  onSessionLost: () => void = () => {};
  readonly #channel: Channel;
  readonly #timeoutMs: number;
  readonly #closing = new AbortController();
  #keeping = 0;
  #session = "";
  #pinging: Promise<void> | undefined;

  /** @param credentials for a registry that wants any. @param timeoutMs how long a request may take unless it says itself. */
  constructor(
    { host, port }: Endpoint,
    epoch: EpochWord,
    credentials: Credentials,
    timeoutMs: number = TIMEOUT_MS,
  ) {
    this.#channel = new Channel(host, port, epoch, credentials);
    this.#timeoutMs = timeoutMs;
    this.#channel.onConnected = () => this.#connected();
    this.#channel.onDropped = () => this.#dropped();
  }

  /** `host:port`. */
  get name(): string {
    return this.#channel.name;
  }

  /** The token of the session; another one than before: what hung on that is gone. */
  get session(): string {
    return this.#channel.session;
  }

  #connected(): void {
    const isLost = this.#session !== "" && this.#session !== this.#channel.session;
    this.#session = this.#channel.session;
    if (isLost) this.onSessionLost();
  }

  /** The registry gives a session up to which nobody comes back. */
  #dropped(): void {
    if (this.#keeping > 0) this.#ping();
  }

  /** Keeps the session alive until `release`, to be called once. */
  keep(): void {
    this.#keeping++;
    this.#pinging ??= this.#pingWhileKept().finally(() => this.#pinging = undefined);
  }

  /** See {@linkcode RegistryChannel.keep}. */
  release(): void {
    this.#keeping--;
  }

  async #pingWhileKept(): Promise<void> {
    for (;;) {
      await pause(PING_MS, this.#closing.signal);
      if (this.#keeping === 0 || this.#closing.signal.aborted) return;
      await this.#ping();
    }
  }

  async #ping(): Promise<void> {
    try {
      await this.#channel.request("ping", {}, true, { timeoutMs: PING_MS });
    } catch (error) {
      if (!(error instanceof DsmError)) throw error; // the next request says that nobody is there
    }
  }

  /**
   * Asks, and hands over the reply, which must be of that name.
   *
   * @throws SystemError: refused, with the name of the request as its call; EPROTO: it is no registry that answers;
   * PeerLostError, TimeoutError; the signal's reason.
   */
  async ask<N extends MessageName, R extends MessageName>(
    name: N,
    fields: Fields<N>,
    replyName: R,
    options: AskOptions,
  ): Promise<{ readonly fields: Fields<R>; readonly payload: Uint8Array<ArrayBuffer> }> {
    const { header, payload } = await this.#request(name, fields, options);
    if (header.name !== replyName) throw this.#notOne(name);
    return { fields: header.fields as unknown as Fields<R>, payload };
  }

  async #request<N extends MessageName>(name: N, fields: Fields<N>, options: AskOptions): Promise<Reply> {
    const { isRepeatable, waits = false, isGivenBack = false, timeoutMs = this.#timeoutMs, signal, payload } = options;
    let id = 0;
    const onId = (given: number): void => {
      id = given;
      options.onId?.(given);
    };
    try {
      if (waits) this.keep();
      const asked = { timeoutMs, onId, ...(signal ? { signal } : {}) };
      return await this.#channel.request(name, fields, isRepeatable, asked, payload);
    } catch (error) {
      const isGivenUp = signal?.aborted || error instanceof TimeoutError;
      if (isGivenUp && (waits || isGivenBack)) this.cancel(id);
      throw this.#inOurWords(error, name);
    } finally {
      if (waits) this.release();
    }
  }

  /** Says that the answer to request `id` is not wanted any more. */
  cancel(id: number): void {
    this.#channel.request("cancel", { request: id }, true, { timeoutMs: this.#timeoutMs }).catch((error) => {
      if (!(error instanceof DsmError)) throw error; // with the connection its session has ended, and its waiting
    });
  }

  #inOurWords(error: unknown, call: string): unknown {
    if (error instanceof PeerLostError && !this.#closing.signal.aborted) {
      return new PeerLostError(
        `the registry ${this.name} does not answer; start one with dsm registry, or name another one with --registry or ` +
          "DSM_REGISTRY",
        error.outcome,
        error,
      );
    }
    if (!(error instanceof SystemError)) return error;
    if (error.code === "ENOSYS") return this.#notOne(call, error);
    return new SystemError(call, error.code, error.message, error);
  }

  #notOne(call: string, cause?: SystemError): SystemError {
    const role = this.#channel.role;
    const what = role !== "" && role !== "registry" ? ` but a ${role}` : "";
    const next = "name one with --registry or DSM_REGISTRY";
    return new SystemError(call, "EPROTO", `${this.name} is not a registry${what}; ${next}`, cause);
  }

  /**
   * Asks again and again for something that the registry waits for, until `look` has something or the time is up.
   *
   * @param look makes one request that waits at most so many ms. @returns undefined when nothing came in time.
   */
  async poll<T>(
    waitMs: number,
    options: RequestOptions,
    look: (waitMs: number, options: AskOptions) => Promise<T | undefined>,
  ): Promise<T | undefined> {
    const deadline = new Deadline(waitMs);
    const answerMs = options.timeoutMs ?? this.#timeoutMs;
    for (;;) {
      const stepMs = Math.min(WAIT_MS_MAX, Math.ceil(deadline.leftMs));
      const waits = stepMs > 0;
      const found = await look(stepMs, { ...options, isRepeatable: true, waits, timeoutMs: stepMs + answerMs });
      if (found !== undefined || deadline.passed) return found;
    }
  }

  /** Ends the session. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#channel.close();
    await this.#pinging;
  }
}
