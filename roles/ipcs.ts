/** `dsm ipcs`: the segments of a cluster, or of this host, as util-linux's `ipcs` shows them. */
import { UsageError } from "../lib/base/errors.ts";
import { command } from "../lib/cli/command.ts";
import type { Values } from "../lib/cli/command.ts";
import { print, say } from "../lib/cli/output.ts";
import { groupName, userName } from "../lib/sys/users.ts";
import { HOST, openSegments } from "./ipc/options.ts";
import { limitsRow, segmentRow, usageRow } from "./ipc/rows.ts";
import type { Row } from "./ipc/rows.ts";
import type { Segments } from "./ipc/segments.ts";
import { creatorsText, limitsText, pidsText, segmentsText, segmentText, timesText, usageText } from "./ipc/text.ts";

const OPTIONS = {
  shmems: { kind: "boolean", short: "m", about: "shared memory segments (the default)" },
  all: { kind: "boolean", short: "a", about: "everything there is: shared memory segments" },
  id: { kind: "integer", short: "i", about: "all about this one", optional: true },
  time: { kind: "boolean", short: "t", about: "times of attach, detach and change" },
  pid: { kind: "boolean", short: "p", about: "processes: the creator, and the last to attach or detach" },
  creator: { kind: "boolean", short: "c", about: "creators and owners" },
  limits: { kind: "boolean", short: "l", about: "the limits" },
  summary: { kind: "boolean", short: "u", about: "how many there are, and what they take" },
  ...HOST,
} as const;

/** The options that say what is shown; at most one is given. */
const VIEWS = ["time", "pid", "creator", "limits", "summary"] as const;
type View = typeof VIEWS[number];

const LISTS = { time: timesText, pid: pidsText, creator: creatorsText, segments: segmentsText };
const NAMES = { user: userName, group: groupName };

/** What is to be printed: for people, and for programs. */
interface Shown {
  readonly text: string;
  readonly rows: readonly Row[];
}

function viewOf(options: Values<typeof OPTIONS>): View | undefined {
  const [view, another] = VIEWS.filter((each) => options[each]);
  if (another) throw new UsageError(`--${view} and --${another} are two different views: give one`);
  if (view && options.id !== undefined) throw new UsageError(`--id shows all about one segment: leave out --${view}`);
  return view;
}

async function show(segments: Segments, view: View | undefined): Promise<Shown> {
  if (view === "limits") {
    const limits = await segments.limits();
    return { text: limitsText(limits), rows: [limitsRow(limits)] };
  }
  if (view === "summary") {
    const usage = await segments.usage();
    return { text: usageText(usage), rows: [usageRow(usage)] };
  }
  const list = await segments.list();
  return { text: LISTS[view ?? "segments"](list, NAMES), rows: list.map(segmentRow) };
}

async function showOne(segments: Segments, id: number): Promise<Shown | undefined> {
  const segment = (await segments.list()).find((each) => each.id === id);
  return segment && { text: segmentText(segment), rows: [segmentRow(segment)] };
}

/** See the head of this file. */
export const ipcs = command({
  name: "ipcs",
  about: "the segments of a cluster, as ipcs of util-linux shows a host's",
  details: `Letters, columns and line breaks are util-linux's. With --json a segment is always all of its fields.`,
  examples: [
    ["dsm ipcs -m", "keys, ids, owners, permissions, sizes"],
    ["dsm ipcs -m -p", "who made them, and who touched them last"],
    ["dsm ipcs -m -i 5", "all about one"],
    ["dsm ipcs -m -l --host", "what this host's kernel allows"],
    ["dsm ipcs -m --json", "for programs"],
  ],
  options: OPTIONS,
  async run(_args, options, shared) {
    const view = viewOf(options);
    await using segments = await openSegments(options.host, shared);
    const shown = await (options.id === undefined ? show(segments, view) : showOne(segments, options.id));
    if (!shown) {
      say(`dsm: id ${options.id} not found`);
      return 1;
    }
    print(shared.json ? JSON.stringify(shown.rows) : shown.text);
    return 0;
  },
});
