/**
 * This host's message queues from Deno, as a program of its own: does what bench/c/queue_baseline.c does, through
 * KernelQueues, and prints the same names.
 *
 *     queues_client.ts COUNT PEER_CPU                  measures
 *     queues_client.ts peer THERE BACK COUNT ALL|LAST  the other process: receives COUNT messages, and answers all or the last
 */
import { hostQueues } from "../../mod.ts";
import { pinned } from "../harness/pin.ts";

const SIZE = 64;
/** Until the compiler has seen enough. */
const WARM_UP_COUNT = 20_000;
const text = new Uint8Array(SIZE);
const { calls } = hostQueues();
const [first = "", ...rest] = Deno.args;
const peerCpu = Number(rest[0]);

async function sendAndReceive(id: number, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await calls.msgsnd(id, 1, text);
    await calls.msgrcv(id, SIZE, 0);
  }
}

async function warmUp(): Promise<void> {
  const queue = await hostQueues().create();
  await sendAndReceive(queue.id, WARM_UP_COUNT).finally(() => queue.remove());
}

async function answer(there: number, back: number, count: number, answersAll: boolean): Promise<void> {
  console.log("ready");
  for (let i = 1; i <= count; i++) {
    await calls.msgrcv(there, SIZE, 0);
    if (answersAll || i === count) await calls.msgsnd(back, 1, text);
  }
}

/** Runs `work` against another process that is ready. @returns nanoseconds per message. */
async function withPeer(args: readonly (string | number)[], count: number, work: () => Promise<void>): Promise<number> {
  const words = [Deno.execPath(), "run", "-A", "--no-lock", new URL(import.meta.url).pathname, "peer"];
  const [command = "", ...rest] = pinned(peerCpu, [...words, ...args.map(String)]);
  const child = new Deno.Command(command, { args: rest, stdout: "piped" }).spawn();
  const output = child.stdout.getReader();
  await output.read();
  const begin = performance.now();
  await work();
  const nanoseconds = (performance.now() - begin) * 1e6 / count;
  await output.cancel();
  const { success } = await child.status;
  if (!success) throw new Error("the other process has failed");
  return nanoseconds;
}

async function measure(count: number): Promise<void> {
  await using there = await hostQueues().create();
  await using back = await hostQueues().create();
  try {
    const begin = performance.now();
    await sendAndReceive(there.id, count);
    const pairNs = (performance.now() - begin) * 1e6 / count;
    const streamNs = await withPeer([there.id, back.id, count, "LAST"], count, async () => {
      for (let i = 0; i < count; i++) await calls.msgsnd(there.id, 1, text);
      await calls.msgrcv(back.id, SIZE, 0);
    });
    const tripCount = Math.floor(count / 10);
    const roundTripNs = await withPeer([there.id, back.id, tripCount, "ALL"], tripCount, async () => {
      for (let i = 0; i < tripCount; i++) {
        await calls.msgsnd(there.id, 1, text);
        await calls.msgrcv(back.id, SIZE, 0);
      }
    });
    console.log(JSON.stringify({ pairNs, streamNs, roundTripNs }));
  } finally {
    await there.remove();
    await back.remove();
  }
}

await warmUp();
if (first === "peer") await answer(Number(rest[0]), Number(rest[1]), Number(rest[2]), rest[3] === "ALL");
else await measure(Number(first));
