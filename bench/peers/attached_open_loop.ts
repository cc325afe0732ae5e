/**
 * Attached writes on a fixed schedule, whatever they take: write number i is due at start + i / rate, and its latency runs
 * from then, so a pause is charged to everything that had to wait. It spins between writes; give it a CPU of its own.
 *
 *     attached_open_loop.ts CONFIG_HOST CONFIG_PORT REGION_SIZE RATE SECONDS
 *
 * Prints p50Us, p99Us, maxUs and opsPerSecond as one line of JSON.
 */
import { connect } from "../../mod.ts";

const SIZE = 64;
const BLOCK_SIZE = 4096;
const PICK_COUNT = 65_536;
const WARM_UP_SECONDS = 0.3;

const [host, port, regionSize, rateWord, secondsWord] = Deno.args;
const [rate, seconds] = [Number(rateWord), Number(secondsWord)];
await using cluster = await connect({ config: `${host}:${port}`, attach: true });
await cluster.read(0, 1); // a server is reached, and attached, when it is first asked
const region = cluster.attachments[0];
if (region === undefined) throw new Error("the cluster's server is not attached; the benchmark needs it on this host");
const blockCount = Number(regionSize) / BLOCK_SIZE;
const offsets = Float64Array.from({ length: PICK_COUNT }, () => Math.floor(Math.random() * blockCount) * BLOCK_SIZE);
const bytes = crypto.getRandomValues(new Uint8Array(SIZE));

/** Latencies in µs, in the order of the schedule. */
function run(count: number): Float64Array {
  const latencies = new Float64Array(count);
  const startMs = performance.now();
  for (let i = 0; i < count; i++) {
    const dueMs = startMs + i * 1000 / rate;
    while (performance.now() < dueMs);
    region?.write(offsets[i % PICK_COUNT] as number, bytes);
    latencies[i] = (performance.now() - dueMs) * 1000;
  }
  return latencies;
}

run(Math.ceil(rate * WARM_UP_SECONDS));
const startMs = performance.now();
const latencies = run(Math.ceil(rate * seconds));
const opsPerSecond = latencies.length * 1000 / (performance.now() - startMs);
latencies.sort();
const quantile = (fraction: number): number => latencies[Math.floor(fraction * (latencies.length - 1))] as number;
console.log(JSON.stringify({ opsPerSecond, p50Us: quantile(0.5), p99Us: quantile(0.99), maxUs: quantile(1) }));
