/**
 * A client of a registry that does random things to names and to one queue, and says on stdout what it does: a line of JSON
 * before each call, and one after it. For tests/support/registry_consistency.ts, which kills it.
 *
 * Arguments: the registry, a seed, how many calls, the client's name.
 */
import { PeerLostError, SystemError, TimeoutError } from "../../../lib/base/errors.ts";
import { Random } from "../../../lib/base/random.ts";
import { IPC_CREAT, IPC_NOWAIT } from "../../../lib/ipc/common/flags.ts";
import { MSG_EXCEPT } from "../../../lib/ipc/queues/flags.ts";
import type { QueueMessage } from "../../../lib/node/queues/queue_message.ts";
import { Registry } from "../../../lib/node/registry_client/registry.ts";

/** What a call is, and how far it has come. */
export interface LoadLine {
  /** Its number in this client. */
  readonly id: number;
  /** On the clock of all processes of this host, in ns. */
  readonly at: number;
  /** What is called; with the line before the call only. */
  readonly call?: Readonly<Record<string, unknown>>;
  /** What came of it; with the line after it only. */
  readonly result?: Readonly<Record<string, unknown>>;
}

const CLOCK_MONOTONIC = 1;
const NAMES = ["a", "b"];
/** The queue of all clients. */
const QUEUE_KEY = 7;

const libc = Deno.dlopen("libc.so.6", { clock_gettime: { parameters: ["i32", "buffer"], result: "i32" } });
const cell = new BigInt64Array(2);

/** The clock of all processes of this host, in ns. */
function clock(): number {
  libc.symbols.clock_gettime(CLOCK_MONOTONIC, new Uint8Array(cell.buffer));
  return Number((cell[0] as bigint) * 1_000_000_000n + (cell[1] as bigint));
}

function say(line: LoadLine): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(line)}\n`));
}

/** What is noted of a call that failed. @throws what is no failure of the registry's. */
function failure(error: unknown): Readonly<Record<string, unknown>> {
  if (error instanceof SystemError) return { code: error.code };
  if (error instanceof PeerLostError || error instanceof TimeoutError) return { unknown: error.outcome === "unknown" };
  throw error;
}

async function main([address = "", seed = "", count = "", client = ""]: readonly string[]): Promise<void> {
  const random = new Random(Number(seed));
  await using registry = new Registry({ registry: address });
  const { calls } = registry.queues;
  let queue = -1;
  let id = 0;
  const held: QueueMessage[] = [];
  const noted = async (
    call: LoadLine["call"],
    run: () => Promise<Readonly<Record<string, unknown>>>,
  ): Promise<void> => {
    const number = ++id;
    say({ id: number, at: clock(), call: call ?? {} });
    const result = await run().catch(failure);
    say({ id: number, at: clock(), result });
  };

  const bind = async (): Promise<void> => {
    const [name, value] = [random.pick(NAMES), `${random.below(4)}`];
    const [isLeased, replaces] = [random.isOneIn(2), random.isOneIn(2)];
    await noted({ kind: "bind", name, value, isLeased, replaces }, async () => {
      if (!isLeased) return { revision: await registry.bind(name, value, { replaces }) };
      return { revision: (await registry.lease(name, value, { replaces })).revision };
    });
  };
  const receive = async (): Promise<void> => {
    const type = random.pick([0, 0, 1, 2, -2, -3]);
    const isOther = type > 0 && random.isOneIn(2);
    const flags = (random.isOneIn(8) ? 0 : IPC_NOWAIT) | (isOther ? MSG_EXCEPT : 0);
    await noted({ kind: "receive", wanted: { type, isOther } }, async () => {
      const message = await calls.msgrcv(queue, 100, type, { flags, acknowledge: "later" });
      held.push(message);
      return { message: message.text };
    });
  };
  const acknowledge = async (): Promise<void> => {
    const message = held.shift();
    if (!message) return;
    await noted({ kind: "acknowledge", message: message.text }, async () => {
      await message.acknowledge();
      return {};
    });
  };
  const send = async (): Promise<void> => {
    const [message, type] = [`${client}-${id}`, random.between(1, 3)];
    await noted({ kind: "send", message, type }, async () => {
      await calls.msgsnd(queue, type, new TextEncoder().encode(message));
      return {};
    });
  };
  const unbind = async (): Promise<void> => {
    const name = random.pick(NAMES);
    await noted({ kind: "unbind", name }, async () => ({ revision: await registry.unbind(name) }));
  };
  const query = async (): Promise<void> => {
    const name = random.pick(NAMES);
    await noted({ kind: "query", name }, async () => ({ value: (await registry.query(name))?.value ?? null }));
  };

  while (queue < 0) queue = await calls.msgget(QUEUE_KEY, IPC_CREAT | 0o600).catch((error) => failure(error) && -1);
  const steps = [bind, unbind, query, send, send, receive, receive, acknowledge, acknowledge];
  for (let step = 0; step < Number(count); step++) await random.pick(steps)();
}

await main(Deno.args);
