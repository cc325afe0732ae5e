/**
 * Names asked of dsm's registry, as a program of its own.
 *
 *     dsm_name_client.ts HOST PORT IN_FLIGHT SECONDS SIZE REGION_SIZE
 */
import { Registry } from "../../mod.ts";
import { measureInFlight, parseLoad } from "./in_flight.ts";

const NAME_COUNT = 1_000;

const [host, port, ...words] = Deno.args;
const load = parseLoad(words);
await using registry = new Registry({ registry: `${host}:${port}` });
const value = "x".repeat(load.size);
for (let i = 0; i < NAME_COUNT; i++) await registry.bind(`name/${i}`, value, { replaces: true });
await measureInFlight(load, async (offset) => (await registry.query(`name/${offset % NAME_COUNT}`))?.value.length ?? 0);
