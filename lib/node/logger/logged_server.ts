/**
 * The memory server a logger sits beside: found by its port, attached by the ids it tells, let go of when it stops, and
 * attached again when it is back.
 *
 *   - The keys a logger was given must name the very segment and set its server told, so that a logger with the keys of
 *     another server is an error and not another server's picture.
 *   - `region` is undefined from the moment the server is lost; before it is detached, `onLost` has been waited for.
 */
import { nowMs, pause } from "../../base/clock.ts";
import { DsmError, PeerLostError, SystemError, TimeoutError } from "../../base/errors.ts";
import { formatEndpoint } from "../../base/units.ts";
import type { Endpoint } from "../../base/units.ts";
import { FooterWord } from "../../memory/layout.ts";
import { attachForLogger, whyLost } from "../../memory/open.ts";
import type { LoggedRegion } from "../../memory/open.ts";
import type { Region } from "../../memory/region.ts";
import { Channel } from "../../net/channel.ts";
import type { Credentials } from "../../net/credentials.ts";
import { findSet } from "../../sys/semaphores.ts";
import { findSegment, IPC_PRIVATE } from "../../sys/shared_memory.ts";
import type { Fields } from "../../wire/messages.ts";
import type { LogSink } from "../common/log_sink.ts";

/** Which server. */
export interface LoggedServerRequest {
  /** Where it listens. */
  readonly server: Endpoint;
  /** Key of its shared memory; 0: not said. */
  readonly shmkey: number;
  /** Key of its semaphores; 0: not said. */
  readonly semkey: number;
  /** What is shown to it. */
  readonly credentials: Credentials;
}

/** How often it is looked at whether the region is still the server's, and whether a server that was lost is back. */
const LOOK_MS = 200;
/** How long a server may take to answer before that is worth a line. */
const PATIENCE_MS = 500;
/** How long one question to a server that was there before may take. */
const ASK_MS_MAX = 1_000;

/** See the head of this file. */
export class LoggedServer implements AsyncDisposable {
  /** `host:port`. */
  readonly name: string;
  /** Why there is no region; empty while there is one. */
  reason = "it has not answered yet";
  /** Called when the region was lost, before it is detached. */
  onLost: () => Promise<void> = () => Promise.resolve();
  readonly #request: LoggedServerRequest;
  readonly #log: LogSink;
  readonly #channel: Channel;
  readonly #ending = new AbortController();
  #attached: LoggedRegion | undefined;
  #watching: Promise<void> = Promise.resolve();

  /** Finds nothing yet: see `find`. */
  constructor(request: LoggedServerRequest, log: LogSink) {
    this.#request = request;
    this.#log = log;
    this.name = formatEndpoint(request.server);
    // the question must reach a server of any life and epoch, so it carries none
    const { host, port } = request.server;
    this.#channel = new Channel(host, port, { incarnation: 0, epoch: 0 }, request.credentials);
  }

  /** The region; undefined while there is none. Not to be kept over an await. */
  get region(): Region | undefined {
    return this.#attached?.region;
  }

  /**
   * Waits for the server, attaches its region, and keeps looking from then on.
   *
   * @throws SystemError: ENOENT (no server within `waitMsMax`), EINVAL (keys of another server), EBUSY (it has a logger),
   * EACCES; the signal's reason.
   */
  async find(waitMsMax: number, signal: AbortSignal): Promise<void> {
    const endMs = nowMs() + waitMsMax;
    let isSaid = false;
    for (;;) {
      try {
        const timeoutMs = isSaid ? endMs - nowMs() : Math.min(PATIENCE_MS, waitMsMax);
        this.#attach(await this.#ask(timeoutMs, signal));
        break;
      } catch (error) {
        signal.throwIfAborted();
        const isAway = error instanceof PeerLostError || error instanceof TimeoutError ||
          (error instanceof SystemError && error.code === "ESTALE");
        if (!isAway) throw error;
        if (nowMs() >= endMs) throw this.#notFound(waitMsMax);
        if (!isSaid) this.#log("info", `waiting for the server on ${this.name}, at most ${waitMsMax / 1000} s`);
        isSaid = true;
        await pause(LOOK_MS, signal);
      }
    }
    this.#watching = this.#watch();
  }

  #notFound(waitMs: number): SystemError {
    const { server, shmkey, semkey } = this.#request;
    return new SystemError(
      "connect",
      "ENOENT",
      `no server answers on ${this.name} (a logger's port is its server's plus 1) after ${waitMs / 1000} s; ` +
        `start it: dsm server ${server.port} ${shmkey} ${semkey}`,
    );
  }

  async #ask(timeoutMs: number, signal: AbortSignal): Promise<Fields<"regionInfoReply">> {
    const { header } = await this.#channel.request("regionInfo", {}, true, { timeoutMs, signal });
    if (header.name === "regionInfoReply") return header.fields;
    throw new SystemError("regionInfo", "EPROTO", `${this.name} is not a memory server`);
  }

  #attach(info: Fields<"regionInfoReply">): void {
    const { shmkey, semkey } = this.#request;
    const isKeyOf = (key: number, find: (key: number) => number | undefined, id: number): boolean => {
      return key === IPC_PRIVATE || find(key) === id;
    };
    if (!isKeyOf(shmkey, findSegment, info.shmid) || !isKeyOf(semkey, findSet, info.semid)) {
      throw new SystemError(
        "shmget",
        "EINVAL",
        `keys ${shmkey} and ${semkey} are not those of the server on ${this.name} (its segment is id ${info.shmid}, its ` +
          `set id ${info.semid}: ipcs -ms shows their keys); give that server's keys, or 0 0`,
      );
    }
    this.#attached = attachForLogger(info);
    this.reason = "";
  }

  async #watch(): Promise<void> {
    const { signal } = this.#ending;
    for (;;) {
      await pause(LOOK_MS, signal);
      if (signal.aborted) return;
      if (this.#attached) await this.#look(this.#attached);
      else await this.#tryAgain();
    }
  }

  async #look(attached: LoggedRegion): Promise<void> {
    const { region } = attached;
    const isGone = !attached.isCurrent || region.word(FooterWord.guardSetId) !== region.guards.id;
    const why = whyLost(region) ?? (isGone ? "it stopped" : undefined);
    if (why === undefined) return;
    await this.#letGo(`the server on ${this.name} is gone: ${why}`);
    this.#log("warn", `${this.reason}; waiting for it to come back`);
  }

  async #tryAgain(): Promise<void> {
    try {
      this.#attach(await this.#ask(ASK_MS_MAX, this.#ending.signal));
      this.#log("info", `the server on ${this.name} is back: attached again`);
    } catch (error) {
      if (this.#ending.signal.aborted || error instanceof PeerLostError || error instanceof TimeoutError) return;
      if (!(error instanceof DsmError)) throw error;
      if (this.reason !== error.message) this.#log("warn", error.message);
      this.reason = error.message;
    }
  }

  async #letGo(reason: string): Promise<void> {
    const attached = this.#attached;
    this.#attached = undefined;
    this.reason = reason;
    await this.onLost();
    attached?.[Symbol.dispose]();
  }

  /** Lets go of the region and looks no more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    await this.#watching;
    await this.#letGo("the logger is stopping");
    await this.#channel.close();
  }
}
