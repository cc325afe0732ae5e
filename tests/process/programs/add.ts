/**
 * Adds 1 to a word again and again, eight at a time, and prints what it was each time.
 *
 *   add.ts CONFIG ADDRESS COUNT memory|tcp
 */
import { connect } from "../../../mod.ts";

const [config = "", address = "0", count = "0", way] = Deno.args;
await using cluster = await connect({ config, attach: way === "memory" });
const before: number[] = [];
const add = async (): Promise<void> => {
  for (let i = 0; i < Number(count) / 8; i++) before.push(await cluster.fetchAdd(Number(address), 1));
};
await Promise.all(Array.from({ length: 8 }, add));
const used = (await cluster.info()).map((server) => server.way);
console.log(JSON.stringify({ before, way: used[0] }));
