/**
 * The thread of a registry's epoll transport: the state, the service and the loop are all in it, so that a batch is stored
 * and answered without a step to another thread.
 *
 * It is told once, by message, what to serve. Its main thread signals an eventfd to end it.
 */
import { DsmError } from "../../base/errors.ts";
import { EpollTransport } from "../../net/epoll_transport.ts";
import type { TransportOptions } from "../../net/transport.ts";
import { Eventfd } from "../../sys/epoll.ts";
import { Door } from "../common/door.ts";
import type { DoorSettings } from "../common/door.ts";
import { registryHost } from "./registry_host.ts";
import { RegistryService } from "./registry_service.ts";
import { RegistryState } from "./registry_state.ts";

/** What the main thread tells it, once. */
export interface ThreadStart {
  /** A listening descriptor. */
  readonly listener: number;
  /** Who comes in. */
  readonly door: DoorSettings;
  /** The file of the state. */
  readonly state: string;
  /** Signalled when it is to end. */
  readonly eventfd: number;
  /** This process. */
  readonly pid: number;
  /** For the transport. */
  readonly transport: TransportOptions;
}

/** What it tells the main thread. */
export type ThreadEvent =
  | { readonly kind: "log"; readonly level: "debug" | "info" | "warn" | "error"; readonly message: string }
  | { readonly kind: "ready"; readonly nameCount: number; readonly queueCount: number }
  /** Before `ready` the start is refused for that reason. `code` is "" where it is no error of dsm's. */
  | { readonly kind: "failed"; readonly code: string; readonly message: string; readonly stack: string }
  | { readonly kind: "stopped" };

const self = globalThis as unknown as {
  onmessage: ((event: MessageEvent<ThreadStart>) => void) | null;
  postMessage(event: ThreadEvent): void;
  close(): void;
};

function serve({ listener, door, state: file, eventfd, pid, transport: options }: ThreadStart): void {
  const log = (level: "debug" | "info" | "warn" | "error", message: string): void =>
    self.postMessage({ kind: "log", level, message });
  const state = RegistryState.open(file);
  try {
    const service = new RegistryService(
      state,
      registryHost(log),
      { pid, transport: "epoll" },
      new Door(door, "registry", log),
    );
    const transport = new EpollTransport(listener, undefined, service, { log }, options);
    const bell = new Eventfd(eventfd);
    transport.watch(eventfd, () => {
      bell.clear();
      service.end();
      transport.stop();
    });
    self.postMessage({ kind: "ready", nameCount: service.nameCount, queueCount: service.queueCount });
    transport.run();
  } finally {
    state.close();
  }
}

self.onmessage = (event: MessageEvent<ThreadStart>): void => {
  try {
    serve(event.data);
    self.postMessage({ kind: "stopped" });
  } catch (error) {
    const { message, stack } = error as Error;
    const code = error instanceof DsmError ? error.code : "";
    self.postMessage({ kind: "failed", code, message, stack: stack ?? message });
  }
  self.close();
};
