/**
 * Attaches segments and never ends: to be killed.
 *
 *   attach_segment.ts CONFIG ID…     prints "attached" once it has all of them
 */
import { connect } from "../../../mod.ts";

const [config = "", ...ids] = Deno.args;
const cluster = await connect({ config });
for (const id of ids) await cluster.shmat(Number(id));
console.log("attached");
await new Promise(() => setInterval(() => {}, 1_000));
