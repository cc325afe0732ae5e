/**
 * Attaches a server's region, begins to write, and never ends: to be killed.
 *
 *   hold_for_ever.ts CONFIG ADDRESS SIZE     prints "writing" once half of it is written
 */
import { connect } from "../../../mod.ts";

const [config = "", address = "0", size = "0"] = Deno.args;
const cluster = await connect({ config });
await cluster.lend(Number(address), Number(size), "w", (bytes) => {
  bytes.fill(0xee, 0, bytes.length / 2);
  Deno.stdout.writeSync(new TextEncoder().encode("writing\n"));
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});
