/**
 * A local logger: a port, the server beside it, and the requests that come about its region.
 *
 * The port is bound first: of two loggers started at once on one port, one hears that it is taken and has touched nothing.
 */
import type { Endpoint } from "../../base/units.ts";
import { Hasher } from "../../checkpoint/checksum.ts";
import { NO_CREDENTIALS } from "../../net/credentials.ts";
import type { Credentials } from "../../net/credentials.ts";
import { DenoTransport } from "../../net/deno_transport.ts";
import { STALL_MS_MAX } from "../../net/transport.ts";
import { numericHost } from "../../sys/sockets.ts";
import { LoggedServer } from "./logged_server.ts";
import type { LoggerHere } from "./logger_link.ts";
import { LoggerRequests } from "./logger_requests.ts";
import type { Master } from "./logger_requests.ts";
import { LoggerService } from "./logger_service.ts";
import { listenDeno } from "../common/deno_listener.ts";
import { defaultDoor } from "../common/door.ts";
import type { Listening } from "../common/listening.ts";
import type { LogSink } from "../common/log_sink.ts";

/** How long a logger waits for its server. */
export const SERVER_WAIT_MS_MAX = 30_000;

/** What a local logger is to be. */
export interface LocalLoggerRequest extends Partial<Listening> {
  /** Where to listen, and where its server is. */
  readonly host: string;
  /** The port; the server's is one less. */
  readonly port: number;
  /** Key of the server's shared memory; 0: not said. */
  readonly shmkey: number;
  /** Key of its semaphores; 0: not said. */
  readonly semkey: number;
  /** How long to wait for the server, in ms. */
  readonly waitMsMax: number;
  /** How long a master may say nothing in the middle of a checkpoint, in ms. */
  readonly masterSilentMsMax: number;
  /** What it shows to its server. */
  readonly credentials?: Credentials;
}

/** A local logger that is attached and serves. */
export class LocalLogger implements AsyncDisposable {
  /** Where it listens. */
  readonly endpoint: Endpoint;
  readonly #server: LoggedServer;
  readonly #requests: LoggerRequests;
  readonly #transport: DenoTransport;

  private constructor(endpoint: Endpoint, server: LoggedServer, requests: LoggerRequests, transport: DenoTransport) {
    this.endpoint = endpoint;
    this.#server = server;
    this.#requests = requests;
    this.#transport = transport;
  }

  /**
   * Binds the port, waits for the server, attaches, serves.
   *
   * @throws SystemError EADDRINUSE, EACCES (the port); what `LoggedServer.find` throws. Nothing is left then.
   */
  static async start(request: LocalLoggerRequest, log: LogSink, signal: AbortSignal): Promise<LocalLogger> {
    const host = await numericHost(request.host);
    const listener = listenDeno(host, request.port, request.tls);
    const credentials = request.credentials ?? NO_CREDENTIALS;
    const server = new LoggedServer({ ...request, server: { host, port: request.port - 1 }, credentials }, log);
    const requests = new LoggerRequests(server, await Hasher.create(), request.masterSilentMsMax);
    const service = new LoggerService(server, requests, request.door ?? defaultDoor(), log);
    server.onLost = async () => {
      service.lost();
      await requests.lost();
    };
    const nothing = new Uint8Array(0);
    const transport = new DenoTransport(listener, nothing, service, { log }, { stallMsMax: STALL_MS_MAX });
    const logger = new LocalLogger({ host, port: request.port }, server, requests, transport);
    try {
      await server.find(request.waitMsMax, signal);
      return logger;
    } catch (error) {
      await logger[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The name of its server, `host:port`. */
  get serverName(): string {
    return this.#server.name;
  }

  /** For the master in this process. */
  get here(): LoggerHere {
    return { server: this.serverName, gather: (epoch, since) => this.#requests.gatherHere(epoch, since) };
  }

  /** Makes it the master too. */
  promote(master: Master): void {
    this.#requests.master = master;
  }

  /** Closes every connection, which abandons what is under way, and lets go of the region. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#transport.stop();
    await this.#server[Symbol.asyncDispose]();
  }
}
