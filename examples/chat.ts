/**
 * A chat without a server of its own: the lines are in the space, and whoever waits for one is told when it comes.
 *
 *     dsm up --local 3                                 in another terminal
 *     deno run -A examples/chat.ts NAME                in as many more as you like
 *
 * A ring of slots of 256 bytes lies behind a 32-bit counter at address 4096. Who says something draws a ticket
 * (`fetchAdd`) and writes its slot: the ticket plus one, the length, the text. A slot lies on one server, so it is written
 * and read as a whole. Who listens waits (`waitUntil`) for the next slot's ticket; nothing is polled over the network.
 */
import { connect } from "../mod.ts";
import type { Cluster } from "../mod.ts";

const COUNTER = 4096;
const SLOTS = 8192;
const SLOT_SIZE = 256;
const SLOT_COUNT = 64;
const TEXT_AT = 8;

const slotOf = (ticket: number): number => SLOTS + (ticket % SLOT_COUNT) * SLOT_SIZE;

async function say(cluster: Cluster, line: string): Promise<void> {
  const ticket = await cluster.fetchAdd(COUNTER, 1);
  const slot = new Uint8Array(SLOT_SIZE);
  const view = new DataView(slot.buffer);
  const { written } = new TextEncoder().encodeInto(line, slot.subarray(TEXT_AT));
  view.setUint32(0, ticket + 1, true);
  view.setUint32(4, written, true);
  await cluster.write(slotOf(ticket), slot);
}

/** Prints every line from ticket `next` on, until `signal`. */
async function listen(cluster: Cluster, next: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await cluster.waitUntil(slotOf(next), (ticket) => ticket > next, { signal });
    const slot = await cluster.read(slotOf(next), SLOT_SIZE);
    const view = new DataView(slot.buffer);
    console.log(new TextDecoder().decode(slot.subarray(TEXT_AT, TEXT_AT + view.getUint32(4, true))));
    next = view.getUint32(0, true); // one more than its ticket: the next, even when the ring has gone round meanwhile
  }
}

await using cluster = await connect();
const name = Deno.args[0] ?? "somebody";
const leaving = new AbortController();
const listening = listen(cluster, await cluster.fetchAdd(COUNTER, 0), leaving.signal).catch((error) => {
  if (error !== leaving.signal.reason) throw error;
});
console.error(`you are ${name}; say something, end with Ctrl-D`);
let rest = "";
for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
  const lines = (rest + text).split("\n");
  rest = lines.pop() ?? "";
  for (const line of lines) await say(cluster, `${name}: ${line}`);
}
leaving.abort(new Error("over"));
await listening;
