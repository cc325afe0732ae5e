/** `dsm blocks`: a map of one server's blocks: which are held, by whom, and which are suspect. */
import { UsageError } from "../lib/base/errors.ts";
import { formatEndpoint } from "../lib/base/units.ts";
import { command } from "../lib/cli/command.ts";
import { print } from "../lib/cli/output.ts";
import { styleFor } from "../lib/cli/style.ts";
import { connect } from "../lib/node/cluster/cluster.ts";
import { blockMap, drawMap } from "./cluster/block_map.ts";
import { watch } from "./cluster/watch.ts";

const CONNECT_MS_MAX = 1_500;
const SIZE_WITHOUT_TERMINAL = { columns: 82, rows: 30 };

function screenSize(): { columns: number; rows: number } {
  return Deno.stdout.isTerminal() ? Deno.consoleSize() : SIZE_WITHOUT_TERMINAL;
}

/** See the head of this file. */
export const blocks = command({
  name: "blocks",
  about: "a map of one server's blocks: free, held, waited for, suspect",
  details: "SERVER is its place in the space, from 0. Blocks that share a guard are held together.",
  examples: [
    ["dsm blocks", "the first server's blocks"],
    ["dsm blocks 1 --watch", "the second server's, once a second"],
    ["dsm blocks --json", "only the blocks that are not free"],
  ],
  args: { server: { kind: "integer", about: "the server's place in the space", default: 0 } },
  options: { watch: { kind: "boolean", short: "w", about: "look once a second" } },
  async run({ server }, options, shared) {
    await using cluster = await connect({
      config: formatEndpoint(shared.config),
      secret: shared.secret,
      tlsCa: shared.tlsCa,
      attach: false,
      timeoutMs: CONNECT_MS_MAX,
    });
    const place = cluster.places[server];
    if (!place) {
      throw new UsageError(`there is no server ${server}; the space has ${cluster.places.length}, counted from 0`);
    }
    const title = `${place.host}:${place.port}`;
    const style = styleFor(Deno.stdout);
    const look = async (): Promise<string> => {
      const { guardCount } = await cluster.regionInfo(server);
      const map = blockMap(await cluster.blockStates(server), guardCount);
      if (!shared.json) return drawMap(map, title, screenSize().columns, screenSize().rows, style);
      const pids = new Map(map.held.map((held) => [held.guard, held]));
      return JSON.stringify(map.states.flatMap((state, block) => {
        if (state === "free") return [];
        const held = pids.get(block % guardCount);
        return [{ block, state, lastPid: held?.lastPid ?? null, waiters: held?.waiters ?? 0 }];
      }));
    };
    if (options.watch) return await watch(look, shared);
    print(await look());
    return 0;
  },
});
