/** `dsm ipcs`: segments and message queues of a cluster, or of this host, as util-linux's `ipcs` shows them. */
import { UsageError } from "../lib/base/errors.ts";
import { command } from "../lib/cli/command.ts";
import type { Values } from "../lib/cli/command.ts";
import { print, say } from "../lib/cli/output.ts";
import type { Shared } from "../lib/cli/shared.ts";
import { openQueues } from "./ipc/open_queues.ts";
import { HOST, openSegments } from "./ipc/options.ts";
import { viewQueue, viewQueues, VIEWS, viewSegment, viewSegments } from "./ipc/views.ts";
import type { Shown, View } from "./ipc/views.ts";

const OPTIONS = {
  shmems: { kind: "boolean", short: "m", about: "shared memory segments (the default)" },
  queues: { kind: "boolean", short: "q", about: "message queues" },
  all: { kind: "boolean", short: "a", about: "everything there is: segments and queues" },
  id: { kind: "integer", short: "i", about: "all about this one", optional: true },
  time: { kind: "boolean", short: "t", about: "times of attach, detach, send, receive and change" },
  pid: { kind: "boolean", short: "p", about: "processes: the creator, and the last ones to do something" },
  creator: { kind: "boolean", short: "c", about: "creators and owners" },
  limits: { kind: "boolean", short: "l", about: "the limits" },
  summary: { kind: "boolean", short: "u", about: "how many there are, and what they take" },
  ...HOST,
} as const;

type Options = Values<typeof OPTIONS>;
type Resource = "segments" | "queues";

function viewOf(options: Options): View | undefined {
  const [view, another] = VIEWS.filter((each) => options[each]);
  if (another) throw new UsageError(`--${view} and --${another} are two different views: give one`);
  if (view && options.id !== undefined) throw new UsageError(`--id shows all about one: leave out --${view}`);
  return view;
}

function resourcesOf({ shmems, queues, all, id }: Options): Resource[] {
  const both = all || (shmems && queues);
  if (both && id !== undefined) throw new UsageError("--id is a segment's or a queue's: give either -m or -q");
  if (both) return ["segments", "queues"];
  return queues ? ["queues"] : ["segments"];
}

/** Undefined where there is none with that id. */
async function show(resource: Resource, options: Options, shared: Shared): Promise<Shown | undefined> {
  const view = viewOf(options);
  const { id, host } = options;
  if (resource === "segments") {
    await using segments = await openSegments(host, shared);
    return await (id === undefined ? viewSegments(segments, view) : viewSegment(segments, id));
  }
  await using open = openQueues(host, shared);
  return await (id === undefined ? viewQueues(open.queues, view) : viewQueue(open.queues, id));
}

/** See the head of this file. */
export const ipcs = command({
  name: "ipcs",
  about: "the segments and message queues of a cluster, as ipcs of util-linux shows a host's",
  details:
    `Letters, columns and line breaks are util-linux's. With --json each is always all of its fields; where both kinds are
asked for, its kind comes first. Segments are the config server's to tell, queues the registry's.`,
  examples: [
    ["dsm ipcs -m", "segments: keys, ids, owners, permissions, sizes"],
    ["dsm ipcs -q", "message queues, and what is in them"],
    ["dsm ipcs -m -p", "who made them, and who touched them last"],
    ["dsm ipcs -q -i 5", "all about one"],
    ["dsm ipcs -a -l --host", "what this host's kernel allows"],
    ["dsm ipcs -m --json", "for programs"],
  ],
  options: OPTIONS,
  async run(_args, options, shared) {
    const resources = resourcesOf(options);
    viewOf(options);
    const rows = [];
    for (const resource of resources) {
      const shown = await show(resource, options, shared);
      if (!shown) {
        say(`dsm: id ${options.id} not found`);
        return 1;
      }
      const kind = resources.length > 1 ? { kind: resource === "segments" ? "segment" : "queue" } : {};
      rows.push(...shown.rows.map((row) => ({ ...kind, ...row })));
      if (!shared.json) print(shown.text);
    }
    if (shared.json) print(JSON.stringify(rows));
    return 0;
  },
});
