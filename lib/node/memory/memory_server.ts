/**
 * A memory server: a region, a port, and the transport between them.
 *
 *   - The port is bound before anything is made in the kernel, so of two servers started at once on the same port and
 *     keys one hears that the port is taken and has touched nothing.
 *   - The thread that serves never waits for a table of segments: requests of the simple dialect are carried out here.
 *   - What is lost under a running server (its segment or set removed by somebody) ends it: `lost` resolves.
 */
import { invariant } from "../../base/assert.ts";
import { UsageError } from "../../base/errors.ts";
import { formatEndpoint } from "../../base/units.ts";
import type { Endpoint } from "../../base/units.ts";
import { closeRegion, isSegmentThere, leaveRegion, openRegion, reclaimFromLogger, whyLost } from "../../memory/open.ts";
import type { RegionRequest, StartKind } from "../../memory/open.ts";
import { growOwnedExtent } from "../../memory/owned_extent.ts";
import type { Region } from "../../memory/region.ts";
import { DenoTransport } from "../../net/deno_transport.ts";
import type { TransportOptions } from "../../net/transport.ts";
import { Eventfd } from "../../sys/epoll.ts";
import { IPC_PRIVATE } from "../../sys/shared_memory.ts";
import { closeFd, listen, localAddress, numericHost } from "../../sys/sockets.ts";
import { listenDeno } from "../common/deno_listener.ts";
import { defaultDoor } from "../common/door.ts";
import type { Listening as ListeningSettings } from "../common/listening.ts";
import type { LogSink } from "../common/log_sink.ts";
import type { WorkerEvent, WorkerStart } from "./epoll_worker.ts";
import { GuardWaiter } from "./guard_waiter.ts";
import { Mailbox, STOP } from "./mailbox.ts";
import { MemoryService } from "./memory_service.ts";
import { openRestored } from "./restore_image.ts";
import type { ImageChoice } from "./restore_image.ts";
import type { ExchangeBytes, SimpleCalls, SimpleHome } from "./simple_calls.ts";

/** Which transport to use; `auto` is epoll where there is one. */
export type TransportChoice = "auto" | "epoll" | "deno";

/** What a memory server is to be. */
export interface MemoryServerRequest extends RegionRequest, Partial<ListeningSettings> {
  /** Where to listen. */
  readonly host: string;
  /** The port; 0 lets the kernel choose. */
  readonly port: number;
  /** The transport. */
  readonly transport: TransportChoice;
  /** How long each operation keeps its guards, in ms; 0: not at all. */
  readonly holdMs: number;
  /** How long a peer may leave its replies untaken, in ms. */
  readonly stallMsMax: number;
  /** Who carries out requests of the simple dialect. @throws what keeps it from that: the server does not start then. */
  readonly simple: (home: SimpleHome) => SimpleCalls;
  /** The image of a checkpoint to begin with; none unless asked. */
  readonly restore?: ImageChoice;
}

/** How a server came to its bytes. */
export type ServerStart = StartKind | "restored";

/** How often it is looked at whether segment and set are still there. */
const LOSS_CHECK_MS = 500;

interface Running {
  stop(): Promise<void>;
}

interface Listening {
  readonly kind: "epoll" | "deno";
  readonly host: string;
  readonly port: number;
  serve(region: Region, waiter: GuardWaiter, simple: SimpleCalls, onLost: (reason: string) => void): Running;
  abandon(): void;
}

/** A memory server that runs. */
export class MemoryServer {
  /** The port, the real one where 0 was asked for. */
  readonly port: number;
  /** The address it listens on. */
  readonly host: string;
  /** How it came to its bytes. */
  readonly start: ServerStart;
  /** Its region. */
  readonly region: Region;
  /** The transport it chose. */
  readonly transport: "epoll" | "deno";
  /** Resolves with the reason when the server can no longer serve. */
  readonly lost: Promise<string>;
  readonly #shmkey: number;
  readonly #running: Running;
  readonly #waiter: GuardWaiter;
  readonly #simple: SimpleCalls;
  readonly #lossCheck: ReturnType<typeof setInterval>;

  private constructor(
    listening: Listening,
    { region, start, waiter, simple }: Opened & { readonly waiter: GuardWaiter; readonly simple: SimpleCalls },
    shmkey: number,
    log: LogSink,
  ) {
    this.#shmkey = shmkey;
    this.host = listening.host;
    this.port = listening.port;
    this.transport = listening.kind;
    this.region = region;
    this.start = start;
    const { promise, resolve } = Promise.withResolvers<string>();
    this.lost = promise;
    this.#waiter = waiter;
    this.#simple = simple;
    this.#running = listening.serve(region, waiter, simple, resolve);
    this.#lossCheck = setInterval(() => {
      const reason = whyLost(region);
      if (reason !== undefined) return resolve(reason);
      if (reclaimFromLogger(region)) log("warn", "its logger ended in the middle of a checkpoint, which is void");
      region.forgetShadow();
    }, LOSS_CHECK_MS);
  }

  /**
   * Binds the port, opens the region, begins to serve.
   *
   * @throws what `openRegion` and `openRestored` throw; SystemError EADDRINUSE when the port is taken. Nothing is left
   * behind then.
   */
  static async start(request: MemoryServerRequest, log: LogSink): Promise<MemoryServer> {
    const listening = await bind(request, log);
    try {
      const opened = await open(request, listening);
      const { host, port } = listening;
      const waiter = new GuardWaiter(opened.region.guards);
      const simple = await withRegion(opened, () => request.simple({ host, port, region: opened.region, waiter }));
      return new MemoryServer(listening, { ...opened, waiter, simple }, request.shmkey, log);
    } catch (error) {
      listening.abandon();
      throw error;
    }
  }

  /**
   * Stops serving. With `keep` the region stays as it is, for the next server on its keys; else segment and set go.
   *
   * @returns false when a guard was not given back in time.
   */
  async stop(keep: boolean): Promise<boolean> {
    clearInterval(this.#lossCheck);
    if (!keep) this.region.setState("closing");
    // first of all, so that no guards are taken for a transport that is not there any more to give them back
    const quiet = this.#waiter.stop();
    await this.#running.stop();
    await quiet;
    await this.#simple.close(keep);
    if (!keep) return await closeRegion(this.region);
    leaveRegion(this.region);
    return true;
  }

  /**
   * Stops serving once it is `lost`. Bytes that are still there under a key are left for the next server; whatever else
   * is left goes.
   *
   * @returns whether bytes are left.
   */
  async abandon(): Promise<boolean> {
    const hasBytes = this.#shmkey !== IPC_PRIVATE && isSegmentThere(this.region);
    await this.stop(hasBytes);
    return hasBytes;
  }
}

interface Opened {
  readonly region: Region;
  readonly start: ServerStart;
}

async function open(request: MemoryServerRequest, place: Endpoint): Promise<Opened> {
  if (!request.restore) return await openRegion(request);
  const region = await openRestored(request, formatEndpoint(place), request.restore);
  // nobody has told yet whose the bytes of that checkpoint were
  growOwnedExtent(region, { base: 0, size: region.layout.size });
  return { region, start: "restored" };
}

/** What `use` returns; when it throws, a region that was made for this start goes again. */
async function withRegion<T>({ region, start }: Opened, use: () => T): Promise<T> {
  try {
    return use();
  } catch (error) {
    if (start === "taken-over") leaveRegion(region);
    else await closeRegion(region);
    throw error;
  }
}

async function bind(request: MemoryServerRequest, log: LogSink): Promise<Listening> {
  const host = await numericHost(request.host);
  const isEpoll = request.transport === "epoll" || (request.transport === "auto" && Deno.build.os === "linux");
  if (isEpoll && request.tls) {
    throw new UsageError("TLS needs Deno's transport: add --transport deno, or leave --tls-cert and --tls-key out");
  }
  return isEpoll ? bindEpoll(host, request, log) : bindDeno(host, request, log);
}

function bindEpoll(host: string, request: MemoryServerRequest, log: LogSink): Listening {
  const listener = listen(host, request.port);
  const transport: TransportOptions = { stallMsMax: request.stallMsMax };
  return {
    kind: "epoll",
    host,
    port: localAddress(listener).port,
    serve: (region, waiter, simple, onLost) =>
      startWorker(
        {
          listener,
          shmid: region.memory.id,
          semid: region.guards.id,
          mailbox: Mailbox.memory(),
          eventfd: new Eventfd().fd,
          service: {
            door: request.door ?? defaultDoor(),
            isStandalone: simple.isStandalone,
            transport: "epoll",
            holdMs: request.holdMs,
          },
          transport,
        },
        waiter,
        simple,
        onLost,
        log,
      ),
    abandon: () => closeFd(listener),
  };
}

function startWorker(
  start: WorkerStart,
  waiter: GuardWaiter,
  simple: SimpleCalls,
  onLost: (reason: string) => void,
  log: LogSink,
): Running {
  const worker = new Worker(new URL("./epoll_worker.ts", import.meta.url), { type: "module" });
  const mailbox = new Mailbox(start.mailbox);
  const bell = new Eventfd(start.eventfd);
  const ended = Promise.withResolvers<void>();
  const exchanges: ExchangeBytes[] = [];
  let isStopping = false;
  const send = (letter: number): void => {
    if (isStopping) return; // a call that ends now is nobody's any more
    invariant(mailbox.put(letter), "a mailbox has room for every connection's letter");
    bell.signal();
  };
  worker.onmessage = ({ data }: MessageEvent<WorkerEvent>): void => {
    switch (data.kind) {
      case "log":
        return log(data.level, data.message);
      case "take":
        return waiter.take(data.guards, () => send(data.ticket));
      case "call": {
        if (data.memory) exchanges.push(new Uint8Array(data.memory));
        const bytes = exchanges[data.number];
        invariant(bytes !== undefined, "an exchange comes with its memory the first time");
        return void simple.call(data.caller, data.uid, bytes).then(() => send(data.ticket));
      }
      case "ended":
        return simple.ended(data.caller);
      case "adopted":
        return simple.adopted(data.config);
      case "lost":
        return onLost("its semaphore set was removed (ipcrm -s or -S)");
      case "failed":
        log("error", data.message);
        log("debug", data.stack);
        onLost(`its transport failed: ${data.message}`);
        return ended.resolve();
      case "stopped":
        return ended.resolve();
    }
  };
  worker.onerror = (event): void => {
    event.preventDefault();
    onLost(`its transport failed: ${event.message}`);
    ended.resolve();
  };
  worker.postMessage(start);
  return {
    async stop(): Promise<void> {
      send(STOP);
      isStopping = true;
      await ended.promise;
      worker.terminate();
      closeFd(start.listener);
      bell[Symbol.dispose]();
    },
  };
}

function bindDeno(host: string, request: MemoryServerRequest, log: LogSink): Listening {
  const listener = listenDeno(host, request.port, request.tls);
  return {
    kind: "deno",
    host,
    port: listener.addr.port,
    serve(region, waiter, simple, onLost): Running {
      const service = new MemoryService(region, {
        takeInBackground: (plan, taken) => waiter.take(plan.indices.slice(0, plan.count), taken),
        callSimple: (caller, uid, exchange, done) => void simple.call(caller, uid, exchange.bytes).then(done),
        endSimple: (caller) => simple.ended(caller),
        adopted: (config) => simple.adopted(config),
        log,
        lost: () => onLost("its semaphore set was removed (ipcrm -s or -S)"),
      }, {
        door: request.door ?? defaultDoor(),
        isStandalone: simple.isStandalone,
        transport: "deno",
        holdMs: request.holdMs,
      });
      return new DenoTransport(listener, region.memory.bytes, service, { log }, { stallMsMax: request.stallMsMax });
    },
    abandon: () => listener.close(),
  };
}
