/**
 * Messages through dsm's registry and back, as a program of its own: each operation sends one and receives one.
 *
 *     dsm_queue_client.ts HOST PORT IN_FLIGHT SECONDS SIZE REGION_SIZE
 */
import { Registry } from "../../mod.ts";
import { measureInFlight, parseLoad } from "./in_flight.ts";

const [host, port, ...words] = Deno.args;
const load = parseLoad(words);
await using registry = new Registry({ registry: `${host}:${port}` });
const queue = await registry.queues.create();
const text = new Uint8Array(load.size);
await measureInFlight(load, async () => {
  const [message] = await Promise.all([queue.receive(), queue.send(1, text)]);
  return message.data.length;
});
await queue.remove();
