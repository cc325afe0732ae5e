/**
 * Reads and writes of a segment through its attachment, and of the same bytes by address, in turns, as a program of its own.
 *
 *     segment_access.ts CONFIG attach|tcp SIZE PAIR_COUNT MILLISECONDS_PER_RUN
 *
 * Prints the samples of every operation in nanoseconds, as one line of JSON: {"readNs": […], "readByAddressNs": […], …}.
 * Which of a pair comes first changes from pair to pair.
 */
import { connect } from "../../mod.ts";

const SEGMENT_SIZE = 2 ** 20;
const WARM_UP_MS = 300;

type Operation = (offset: number) => Promise<unknown>;

const [config = "", way = "", ...numbers] = Deno.args;
const [size = 0, pairCount = 0, milliseconds = 0] = numbers.map(Number);
await using cluster = await connect({ config, attach: way === "attach" });
await using segment = await cluster.segments.create({ size: SEGMENT_SIZE });
await segment.fill(0, SEGMENT_SIZE, 1); // so that no page is touched for the first time here
if (way === "attach" && cluster.attachments[0] === undefined) {
  throw new Error("the server cannot be attached from here");
}

const bytes = new Uint8Array(size);
const pairs: readonly (readonly [string, Operation, Operation])[] = [
  ["read", (offset) => segment.read(offset, size), (offset) => cluster.read(segment.base + offset, size)],
  ["write", (offset) => segment.write(offset, bytes), (offset) => cluster.write(segment.base + offset, bytes)],
];

function randomOffset(): number {
  return Math.floor(Math.random() * (SEGMENT_SIZE / size)) * size;
}

async function run(operation: Operation, limitMs: number): Promise<number> {
  const begin = performance.now();
  let count = 0;
  for (; count === 0 || performance.now() - begin < limitMs; count++) await operation(randomOffset());
  return (performance.now() - begin) * 1e6 / count;
}

const samples: Record<string, number[]> = {};
for (const [name, through, byAddress] of pairs) {
  await run(through, WARM_UP_MS);
  await run(byAddress, WARM_UP_MS);
  const [ours, peer] = [samples[`${name}Ns`] = [], samples[`${name}ByAddressNs`] = []] as [number[], number[]];
  for (let pair = 0; pair < pairCount; pair++) {
    const isPeerFirst = pair % 2 === 1;
    if (isPeerFirst) peer.push(await run(byAddress, milliseconds));
    ours.push(await run(through, milliseconds));
    if (!isPeerFirst) peer.push(await run(byAddress, milliseconds));
  }
}
console.log(JSON.stringify(samples));
