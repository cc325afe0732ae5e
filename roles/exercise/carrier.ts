/** What carries the messages of the exercise: this host's kernel, or a registry of dsm over TCP. */
import { formatEndpoint } from "../../lib/base/units.ts";
import type { LogSink } from "../../lib/node/common/log_sink.ts";
import { KernelQueues } from "../../lib/node/queues/kernel_queues.ts";
import type { MessageQueues } from "../../lib/node/queues/message_queues.ts";
import { RegistryServer } from "../../lib/node/registry/registry_server.ts";
import { Registry } from "../../lib/node/registry_client/registry.ts";
import { STALL_MS_MAX } from "../../lib/net/transport.ts";

/** The two ways. */
export const CARRIERS = ["kernel", "tcp"] as const;

/** One of them. */
export type CarrierName = (typeof CARRIERS)[number];

/** A way for messages that is open. */
export interface Carrier extends AsyncDisposable {
  /** The queues. */
  readonly queues: MessageQueues;
  /** What another process opens it with; "" for the kernel's. */
  readonly address: string;
}

/** The carrier at `address`, as the registry of the exercise has told it; "" is the kernel. */
export function openCarrier(address: string): Carrier {
  if (address === "") return { queues: new KernelQueues(), address, [Symbol.asyncDispose]: () => Promise.resolve() };
  const registry = new Registry({ registry: address });
  return {
    queues: registry.queues.calls,
    address,
    [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose](),
  };
}

/** A carrier for a new exercise. Over TCP this process is the registry that the others reach, and it ends with it. */
export async function beginCarrier(name: CarrierName, log: LogSink): Promise<Carrier> {
  if (name === "kernel") return openCarrier("");
  await using stack = new AsyncDisposableStack();
  const where = { host: "127.0.0.1", port: 0, transport: "auto", stallMsMax: STALL_MS_MAX } as const;
  const server = await RegistryServer.start(where, log);
  stack.defer(() => server.stop());
  const { queues, address } = stack.use(openCarrier(formatEndpoint(server)));
  const open = stack.move();
  return { queues, address, [Symbol.asyncDispose]: () => open.disposeAsync() };
}
