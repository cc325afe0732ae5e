/**
 * The way to the local logger of one server, always on the port after the server's: its questions and steps, with their
 * deadlines, and errors that name server and logger and say how it is started.
 *
 * A checkpoint lives as long as the connection it was prepared on: when that breaks, its steps fail at once.
 */
import { PeerLostError, SystemError, TimeoutError } from "../../base/errors.ts";
import { formatEndpoint } from "../../base/units.ts";
import { placeName } from "../../config/space.ts";
import type { Place } from "../../config/space.ts";
import { Channel } from "../../net/channel.ts";
import type { Credentials } from "../../net/credentials.ts";
import type { Reply } from "../../net/request.ts";
import type { EpochWord } from "../../wire/epoch.ts";
import type { Fields, MessageName } from "../../wire/messages.ts";
import type { Gathered } from "./logger_requests.ts";

/** How long the answer to a question or a step may take. */
const ANSWER_MS_MAX = 5_000;
/** How long one `gather` may take: somebody may hold a block. */
const GATHER_MS_MAX = 20_000;
/** How long is waited for the answer to `abandon`. */
const ABANDON_MS_MAX = 2_000;

/** What a logger tells of itself, and the epoch of its server. */
export type LoggerState = Fields<"loggerInfoReply"> & Readonly<EpochWord>;

/** A logger in this very process, whose bytes need no connection. */
export interface LoggerHere {
  /** Its server's name. */
  readonly server: string;
  /** The next part of its picture; the bytes last until the next call. @throws SystemError EINVAL, ECANCELED, EIDRM. */
  gather(epoch: number, since: number): Promise<Gathered>;
}

/** See the head of this file. */
export class LoggerLink {
  /** The server's name, `host:port`. */
  readonly server: string;
  /** The logger's. */
  readonly name: string;
  readonly #port: number;
  readonly #channel: Channel;
  /** Aborted when the connection breaks on which the checkpoint under way was prepared. */
  #lost = new AbortController();

  readonly #here: LoggerHere | undefined;

  /** @param place of the server; @param epoch of this process; @param here the logger itself, if it is in this process. */
  constructor(place: Pick<Place, "host" | "port">, epoch: EpochWord, credentials: Credentials, here?: LoggerHere) {
    this.server = placeName(place);
    this.#here = here;
    this.#port = place.port + 1;
    this.name = formatEndpoint({ host: place.host, port: this.#port });
    this.#channel = new Channel(place.host, this.#port, epoch, credentials);
    this.#channel.onDropped = () => this.#lost.abort(this.#notThere());
  }

  /** Whether it is in this process: then what it gathers is not copied. */
  get isHere(): boolean {
    return this.#here !== undefined;
  }

  #refused(call: string, error: SystemError): SystemError {
    return new SystemError(call, error.code, `server ${this.server}, logger ${error.message}`, error);
  }

  #notThere(cause?: PeerLostError): SystemError {
    return new SystemError(
      "connect",
      "EHOSTUNREACH",
      `no logger answers at ${this.name} for server ${this.server}; start it there: ` +
        `dsm logger 0 ${this.#port} SHMKEY SEMKEY`,
      cause,
    );
  }

  async #ask<N extends MessageName>(
    name: N,
    fields: Fields<N>,
    signal: AbortSignal,
    timeoutMs: number = ANSWER_MS_MAX,
  ): Promise<Reply> {
    try {
      // never sent again over another connection: with the old one the logger has abandoned what it was about
      const isRepeatable = name === "loggerInfo" || name === "progress";
      return await this.#channel.request(name, fields, isRepeatable, { timeoutMs, signal });
    } catch (error) {
      if (error instanceof PeerLostError) throw this.#notThere(error);
      if (error instanceof TimeoutError) {
        throw new SystemError(
          name,
          "ETIMEDOUT",
          `the logger at ${this.name} for server ${this.server} did not answer ${name} within ${timeoutMs / 1000} s; ` +
            `it may be stopped, or a block it needs held (dsm blocks)`,
          error,
        );
      }
      if (error instanceof SystemError && error !== signal.reason) {
        throw this.#refused(name, error);
      }
      throw error;
    }
  }

  /** A step of the checkpoint that was prepared. */
  #step<N extends MessageName>(
    name: N,
    fields: Fields<N>,
    signal: AbortSignal,
    timeoutMs: number = ANSWER_MS_MAX,
  ): Promise<Reply> {
    return this.#ask(name, fields, AbortSignal.any([signal, this.#lost.signal]), timeoutMs);
  }

  async #state(reply: Promise<Reply>): Promise<LoggerState> {
    const { header } = await reply;
    if (header.name !== "loggerInfoReply") throw this.#unexpected(header.name);
    return { ...header.fields, incarnation: header.incarnation, epoch: header.epoch };
  }

  #unexpected(name: string): SystemError {
    return new SystemError("request", "EPROTO", `the logger at ${this.name} answered with ${name}`);
  }

  /** What it is. @param timeoutMs how long it may take to be there. @throws SystemError naming it. */
  info(signal: AbortSignal, timeoutMs?: number): Promise<LoggerState> {
    return this.#state(this.#ask("loggerInfo", {}, signal, timeoutMs));
  }

  /** Makes it ready for the cut of `epoch`. @throws SystemError: EBUSY, ESTALE, ENOMEM and others, naming it. */
  prepare(epoch: number, signal: AbortSignal): Promise<LoggerState> {
    this.#lost = new AbortController();
    return this.#state(this.#step("prepare", { epoch }, signal));
  }

  /** Moves its server to `epoch`. @throws SystemError naming it. */
  async cut(epoch: number, signal: AbortSignal): Promise<void> {
    await this.#step("cut", { epoch }, signal);
  }

  /** Lets those go on there who carry no epoch. @throws SystemError naming it. */
  async release(epoch: number, signal: AbortSignal): Promise<void> {
    await this.#step("release", { epoch }, signal);
  }

  /** The next part of its picture; `isHere`, the bytes last until the next call. @throws SystemError naming it. */
  async gather(epoch: number, since: number, signal: AbortSignal): Promise<Gathered> {
    if (this.#here) return await this.#gatherHere(this.#here, epoch, since, signal);
    const { header, payload } = await this.#step("gather", { epoch, since }, signal, GATHER_MS_MAX);
    if (header.name !== "gathered") throw this.#unexpected(header.name);
    return { fields: header.fields, payload };
  }

  async #gatherHere(here: LoggerHere, epoch: number, since: number, signal: AbortSignal): Promise<Gathered> {
    signal.throwIfAborted();
    this.#lost.signal.throwIfAborted();
    try {
      return await here.gather(epoch, since);
    } catch (error) {
      throw error instanceof SystemError ? this.#refused("gather", error) : error;
    }
  }

  /** Whether its picture is whole and stands. @throws SystemError: ECANCELED and others, naming it. */
  confirm(epoch: number, signal: AbortSignal): Promise<LoggerState> {
    return this.#state(this.#step("confirm", { epoch }, signal));
  }

  /** Lets it go of everything; resolves at the latest after ABANDON_MS_MAX, and never rejects for what the logger does. */
  async abandon(epoch: number): Promise<void> {
    if (!this.#channel.isConnected) return; // with the connection the logger has abandoned it by itself
    await this.#ask("abandon", { epoch }, new AbortController().signal, ABANDON_MS_MAX).catch((error) => {
      if (!(error instanceof SystemError)) throw error;
    });
  }

  /** Has the master take a checkpoint; resolves when it is complete. @throws SystemError saying why it is not. */
  async take(signal: AbortSignal, timeoutMs: number): Promise<Fields<"taken">> {
    const { header } = await this.#ask("take", {}, signal, timeoutMs);
    if (header.name !== "taken") throw this.#unexpected(header.name);
    return header.fields;
  }

  /** How far the master's checkpoint is. @throws SystemError naming it. */
  async progress(signal: AbortSignal): Promise<Fields<"progressReply">> {
    const { header } = await this.#ask("progress", {}, signal);
    if (header.name !== "progressReply") throw this.#unexpected(header.name);
    return header.fields;
  }

  /** Keeps the master from taking any checkpoint until this link is closed. @throws SystemError naming it. */
  async suspend(signal: AbortSignal): Promise<void> {
    await this.#ask("suspend", {}, signal);
  }

  /** Closes the connection: what is under way there is abandoned. */
  close(): Promise<void> {
    return this.#channel.close();
  }
}
