/**
 * dsm's promise client over TCP, as a program of its own.
 *
 *     dsm_client.ts CONFIG_HOST CONFIG_PORT IN_FLIGHT SECONDS SIZE REGION_SIZE
 */
import { connect } from "../../mod.ts";
import { measureInFlight, parseLoad } from "./in_flight.ts";

const [host, port, ...words] = Deno.args;
await using cluster = await connect({ config: `${host}:${port}`, attach: false });
await measureInFlight(parseLoad(words), async (address, size) => (await cluster.read(address, size)).length);
