/**
 * A registry that runs: a port, a state, and the transport between them.
 *
 *   - The port is bound before the state is touched: of two started at once on one port one hears that it is taken.
 *   - The epoll transport serves it where FFI sockets are to be had, with its state in the same thread; else Deno's does.
 *   - What ends its transport (a state that cannot be written any more) ends it: `lost` resolves.
 */
import { SystemError, UsageError } from "../../base/errors.ts";
import { DenoTransport } from "../../net/deno_transport.ts";
import type { TransportOptions } from "../../net/transport.ts";
import { Eventfd } from "../../sys/epoll.ts";
import { closeFd, listen, localAddress, numericHost } from "../../sys/sockets.ts";
import { listenDeno } from "../common/deno_listener.ts";
import { defaultDoor, Door } from "../common/door.ts";
import type { Listening } from "../common/listening.ts";
import type { LogSink } from "../common/log_sink.ts";
import { stateDirectory } from "../common/state_directory.ts";
import { IN_MEMORY } from "../common/state_file.ts";
import { registryHost } from "./registry_host.ts";
import { RegistryService } from "./registry_service.ts";
import { RegistryState } from "./registry_state.ts";
import type { ThreadEvent, ThreadStart } from "./registry_thread.ts";

/** What a registry is to be. */
export interface RegistryRequest extends Partial<Listening> {
  /** Where to listen. */
  readonly host: string;
  /** The port; 0 lets the kernel choose. */
  readonly port: number;
  /** The transport; `auto` is epoll where there is one. */
  readonly transport: "auto" | "epoll" | "deno";
  /**
   * The file for the state. Default: registry-PORT.sqlite in the directory for state; on a port of the kernel's choice,
   * which nobody would find again, none: names and messages end with the process.
   */
  readonly state?: string | undefined;
  /** How long a peer may leave its replies untaken, in ms. */
  readonly stallMsMax: number;
}

/** What a state had when it was opened. */
export interface Kept {
  /** Names. */
  readonly nameCount: number;
  /** Message queues. */
  readonly queueCount: number;
}

interface Running {
  readonly transport: "epoll" | "deno";
  readonly port: number;
  readonly kept: Kept;
  readonly lost: Promise<string>;
  stop(): Promise<void>;
}

/** See the head of this file. */
export class RegistryServer {
  /** The address it listens on. */
  readonly host: string;
  /** The port, the real one where 0 was asked for. */
  readonly port: number;
  /** The transport it chose. */
  readonly transport: "epoll" | "deno";
  /** What its state had. */
  readonly kept: Kept;
  /** Resolves with the reason when it can no longer serve. */
  readonly lost: Promise<string>;
  readonly #running: Running;

  private constructor(host: string, running: Running) {
    this.host = host;
    this.port = running.port;
    this.transport = running.transport;
    this.kept = running.kept;
    this.lost = running.lost;
    this.#running = running;
  }

  /**
   * Binds the port, opens the state, begins to serve.
   *
   * @throws SystemError EADDRINUSE, EBUSY, EIO; CheckpointError: the state is no registry's. Nothing is left behind then.
   */
  static async start(request: RegistryRequest, log: LogSink): Promise<RegistryServer> {
    const host = await numericHost(request.host);
    const isEpoll = request.transport === "epoll" || (request.transport === "auto" && Deno.build.os === "linux");
    if (isEpoll && request.tls) {
      throw new UsageError("TLS needs Deno's transport: add --transport deno, or leave --tls-cert and --tls-key out");
    }
    return new RegistryServer(
      host,
      await (isEpoll ? serveByEpoll(host, request, log) : serveByDeno(host, request, log)),
    );
  }

  /** Stops serving. Sessions go on in the state: whoever comes back to the next registry in time has what it had. */
  stop(): Promise<void> {
    return this.#running.stop();
  }
}

function stateFile({ state, port }: RegistryRequest): string {
  if (state !== undefined) return state;
  return port === 0 ? IN_MEMORY : `${stateDirectory()}/registry-${port}.sqlite`;
}

async function serveByEpoll(host: string, request: RegistryRequest, log: LogSink): Promise<Running> {
  const listener = listen(host, request.port);
  const { port } = localAddress(listener);
  const bell = new Eventfd();
  const transport: TransportOptions = { stallMsMax: request.stallMsMax };
  const start: ThreadStart = {
    listener,
    door: request.door ?? defaultDoor(),
    state: stateFile(request),
    eventfd: bell.fd,
    pid: Deno.pid,
    transport,
  };
  const worker = new Worker(new URL("./registry_thread.ts", import.meta.url), { type: "module" });
  const ready = Promise.withResolvers<Kept>();
  const lost = Promise.withResolvers<string>();
  const ended = Promise.withResolvers<void>();
  const failed = (error: Error): void => {
    ready.reject(error);
    lost.resolve(error.message);
    ended.resolve();
  };
  worker.onmessage = ({ data }: MessageEvent<ThreadEvent>): void => {
    switch (data.kind) {
      case "log":
        return log(data.level, data.message);
      case "ready":
        return ready.resolve(data);
      case "failed":
        log("debug", data.stack);
        return failed(new SystemError("serve", data.code === "" ? "EIO" : data.code, data.message));
      case "stopped":
        return ended.resolve();
    }
  };
  worker.onerror = (event): void => {
    event.preventDefault();
    failed(new SystemError("serve", "EIO", `the registry's thread failed: ${event.message}`));
  };
  const release = (): void => {
    worker.terminate();
    closeFd(listener);
    bell[Symbol.dispose]();
  };
  worker.postMessage(start);
  try {
    const kept = await ready.promise;
    return {
      transport: "epoll",
      port,
      kept,
      lost: lost.promise,
      async stop(): Promise<void> {
        bell.signal();
        await ended.promise;
        release();
      },
    };
  } catch (error) {
    release();
    throw error;
  }
}

function serveByDeno(host: string, request: RegistryRequest, log: LogSink): Running {
  const listener = listenDeno(host, request.port, request.tls);
  const { port } = listener.addr as Deno.NetAddr;
  let state: RegistryState | undefined;
  try {
    const opened = state = RegistryState.open(stateFile(request));
    const about = { pid: Deno.pid, transport: "deno" } as const;
    const door = new Door(request.door ?? defaultDoor(), "registry", log);
    const service = new RegistryService(opened, registryHost(log), about, door);
    const transport = new DenoTransport(listener, new Uint8Array(0), service, { log }, request);
    return {
      transport: "deno",
      port,
      kept: { nameCount: service.nameCount, queueCount: service.queueCount },
      lost: new Promise(() => {}), // what its service throws ends the process
      async stop(): Promise<void> {
        service.end();
        await transport.stop();
        opened.close();
      },
    };
  } catch (error) {
    state?.close();
    listener.close();
    throw error;
  }
}
