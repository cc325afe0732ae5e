/**
 * Several processes count together: each adds 1 to the same word of the space again and again, and no count is lost.
 *
 *     dsm up --local 3                                 in another terminal
 *     deno run -A examples/counter.ts [PROCESSES] [TIMES]
 *
 * The word has 64 bits, because the operand is a bigint, and lies at address 0. `fetchAdd` takes the guard of the word's
 * block, whether it goes through memory or over TCP, and returns the word as it was before.
 */
import { connect } from "../mod.ts";

const ADDRESS = 0;

/** What one process does. */
async function count(times: number): Promise<void> {
  await using cluster = await connect(); // DSM_CONFIG, else 127.0.0.1:9740
  for (let done = 0; done < times; done++) await cluster.fetchAdd(ADDRESS, 1n);
}

/** Starts `processes` of them, and looks at the word before and after. */
async function countTogether(processes: number, times: number): Promise<void> {
  await using cluster = await connect();
  const before = await cluster.fetchAdd(ADDRESS, 0n);
  const script = new URL(import.meta.url).pathname;
  const children = Array.from(
    { length: processes },
    () => new Deno.Command(Deno.execPath(), { args: ["run", "-A", script, "--one", String(times)] }).spawn(),
  );
  const ends = await Promise.all(children.map((child) => child.status));
  if (!ends.every((end) => end.success)) throw new Error("a process failed");
  const after = await cluster.fetchAdd(ADDRESS, 0n);
  console.log(`${processes} processes added 1 ${times} times each: ${before} became ${after}`);
}

if (Deno.args[0] === "--one") await count(Number(Deno.args[1]));
else await countTogether(Number(Deno.args[0] ?? 4), Number(Deno.args[1] ?? 1000));
