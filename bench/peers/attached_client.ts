/**
 * Attached access from Deno, as a program of its own: measures what bench/c/memory_baseline.c measures, on a region of
 * dsm's, and prints the same names (and sequenceCopy1MiBNs, whose peer is the same memcpy).
 *
 *     attached_client.ts CONFIG_HOST CONFIG_PORT REGION_SIZE MILLISECONDS_PER_RUN
 *
 * Medians of several runs in turns, in nanoseconds per operation, as one line of JSON. The region must have been written
 * before, so that no page is touched for the first time here.
 */
import { type Attachment, connect } from "../../mod.ts";

const BLOCK_SIZE = 4096;
const MIB = 2 ** 20;
const RUN_COUNT = 7;
const PICK_COUNT = 4096;
const CALIBRATION_ROUNDS = 100;
const WARM_UP_MS = 100;

type Operation = (offset: number) => void;

function operationsOf(region: Attachment): Record<string, Operation> {
  const small = new Uint8Array(64);
  const block = new Uint8Array(BLOCK_SIZE);
  const large = new Uint8Array(MIB);
  return {
    lockedRead64: (offset) => region.readInto(offset, small),
    lockedWrite64: (offset) => region.write(offset, small),
    lockedRead4KiB: (offset) => region.readInto(offset, block),
    sequenceRead64: (offset) => {
      while (!region.readOptimistic(offset, small));
    },
    copy1MiB: (offset) => region.readInto(offset, large),
    sequenceCopy1MiB: (offset) => {
      while (!region.readOptimistic(offset, large));
    },
  };
}

/** Starts of random blocks from which 1 MiB may be read. */
function randomOffsets(regionSize: number): Float64Array {
  const places = (regionSize - MIB) / BLOCK_SIZE + 1;
  return Float64Array.from({ length: PICK_COUNT }, () => Math.floor(Math.random() * places) * BLOCK_SIZE);
}

function runNs(operation: Operation, offsets: Float64Array, rounds: number): number {
  const begin = performance.now();
  for (let i = 0; i < rounds; i++) operation(offsets[i % PICK_COUNT] as number);
  return (performance.now() - begin) * 1e6 / rounds;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] as number;
}

const [host, port, regionSize, milliseconds] = Deno.args;
await using cluster = await connect({ config: `${host}:${port}`, attach: true });
await cluster.read(0, 1); // a server is reached, and attached, when it is first asked
const region = cluster.attachments[0];
if (region === undefined) throw new Error("the cluster's server is not attached; the benchmark needs it on this host");
const offsets = randomOffsets(Number(regionSize));
const plans = Object.entries(operationsOf(region)).map(([name, operation]) => {
  const roughNs = runNs(operation, offsets, CALIBRATION_ROUNDS);
  const warmNs = runNs(operation, offsets, Math.ceil(WARM_UP_MS * 1e6 / roughNs)); // compiled for good after that
  const rounds = Math.ceil(Number(milliseconds) * 1e6 / warmNs);
  return { name, operation, rounds, samples: [] as number[] };
});
for (let run = 0; run < RUN_COUNT; run++) {
  for (const { operation, rounds, samples } of plans) samples.push(runNs(operation, offsets, rounds));
}
console.log(JSON.stringify(Object.fromEntries(plans.map(({ name, samples }) => [`${name}Ns`, median(samples)]))));
