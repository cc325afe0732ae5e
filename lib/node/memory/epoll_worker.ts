/**
 * The thread of a memory server's epoll transport.
 *
 * It is told once, by message, what to serve, and from then on sits in a synchronous loop. Its main thread reaches it
 * through the mailbox; it reaches its main thread by messages, which need no turn of its own event loop.
 */
import { SystemError } from "../../base/errors.ts";
import type { Endpoint } from "../../base/units.ts";
import { recognise } from "../../memory/layout.ts";
import type { GuardPlan } from "../../memory/guards.ts";
import { Region } from "../../memory/region.ts";
import { EpollTransport } from "../../net/epoll_transport.ts";
import type { TransportOptions } from "../../net/transport.ts";
import { Eventfd } from "../../sys/epoll.ts";
import { SharedMemory } from "../../sys/shared_memory.ts";
import { Mailbox, STOP } from "./mailbox.ts";
import { MemoryService } from "./memory_service.ts";
import type { MemoryServiceOptions } from "./memory_host.ts";
import type { Exchange } from "./exchange_pool.ts";

/** What the main thread tells it, once. */
export interface WorkerStart {
  /** A listening descriptor. */
  readonly listener: number;
  /** Segment and guard set of the region. */
  readonly shmid: number;
  /** See shmid. */
  readonly semid: number;
  /** The mailbox and the eventfd that is signalled when something is in it. */
  readonly mailbox: SharedArrayBuffer;
  /** See mailbox. */
  readonly eventfd: number;
  /** For the service. */
  readonly service: MemoryServiceOptions;
  /** For the transport. */
  readonly transport: TransportOptions;
}

/** What it tells the main thread. */
export type WorkerEvent =
  | { readonly kind: "log"; readonly level: "debug" | "info" | "warn" | "error"; readonly message: string }
  | { readonly kind: "take"; readonly ticket: number; readonly guards: Uint16Array }
  | {
    readonly kind: "call";
    readonly ticket: number;
    readonly caller: number;
    readonly uid: number;
    /** The number of the exchange; with its memory the first time. */
    readonly number: number;
    readonly memory?: SharedArrayBuffer;
  }
  | { readonly kind: "ended"; readonly caller: number }
  | { readonly kind: "adopted"; readonly config: Endpoint }
  | { readonly kind: "lost" }
  | { readonly kind: "failed"; readonly message: string; readonly stack: string }
  | { readonly kind: "stopped" };

const self = globalThis as unknown as {
  onmessage: ((event: MessageEvent<WorkerStart>) => void) | null;
  postMessage(event: WorkerEvent): void;
  close(): void;
};

/** The largest ticket: letters are 32-bit integers. */
const TICKET_MAX = 0x7fff_ffff;

function serve(start: WorkerStart): void {
  const memory = SharedMemory.attach(start.shmid);
  const found = recognise(memory.bytes);
  if ("foreign" in found) throw new SystemError("shmat", "EINVAL", `the region cannot be served: ${found.foreign}`);
  const region = new Region(memory, found.layout, start.semid);
  /** What a letter with that ticket lets go on. */
  const waiting = new Map<number, () => void>();
  let ticketCount = 0;
  /** How many exchanges the main thread has: they come into use in the order of their numbers. */
  let exchangeCount = 0;
  const ticketFor = (goOn: () => void): number => {
    // tickets begin anew long after the first ones are back; none is the letter STOP
    ticketCount = ticketCount % TICKET_MAX + 1;
    waiting.set(ticketCount, goOn);
    return ticketCount;
  };
  const service = new MemoryService(region, {
    takeInBackground(plan: GuardPlan, taken: () => void): void {
      self.postMessage({ kind: "take", ticket: ticketFor(taken), guards: plan.indices.slice(0, plan.count) });
    },
    callSimple(caller, uid, { number, bytes }: Exchange, done: () => void): void {
      const isNew = number === exchangeCount;
      if (isNew) exchangeCount++;
      const ticket = ticketFor(done);
      self.postMessage({ kind: "call", ticket, caller, uid, number, ...isNew && { memory: bytes.buffer } });
    },
    endSimple: (caller) => self.postMessage({ kind: "ended", caller }),
    adopted: (config) => self.postMessage({ kind: "adopted", config }),
    log: (level, message) => self.postMessage({ kind: "log", level, message }),
    lost: () => self.postMessage({ kind: "lost" }),
  }, start.service);
  const events = {
    log: (level: "debug" | "info" | "warn" | "error", message: string): void =>
      self.postMessage({ kind: "log", level, message }),
  };
  const transport = new EpollTransport(start.listener, memory, service, events, start.transport);
  const mailbox = new Mailbox(start.mailbox);
  const bell = new Eventfd(start.eventfd);
  transport.watch(start.eventfd, () => {
    bell.clear();
    for (let letter = mailbox.take(); letter !== undefined; letter = mailbox.take()) {
      if (letter === STOP) {
        transport.stop();
        continue;
      }
      waiting.get(letter)?.();
      waiting.delete(letter);
    }
  });
  transport.run();
  memory.detach();
}

self.onmessage = (event: MessageEvent<WorkerStart>): void => {
  try {
    serve(event.data);
    self.postMessage({ kind: "stopped" });
  } catch (error) {
    const { message, stack } = error as Error;
    self.postMessage({ kind: "failed", message, stack: stack ?? message });
  }
  self.close();
};
