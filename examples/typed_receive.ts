/**
 * The three kinds of type that a receiver of System V messages can ask for, drawn as it happens. A queue is not only first
 * in, first out: whoever receives says which message it wants.
 *
 *     deno run -A examples/typed_receive.ts            on this host's own kernel queues
 *     deno run -A examples/typed_receive.ts tcp        on those of a registry: dsm registry, in another terminal
 *
 *   - **0**: the first message, whatever its type.
 *   - **above 0**: the first of that type; with `isOtherType` (MSG_EXCEPT) the first of any other.
 *   - **below 0**: the first of the least type, up to the absolute value: types are priorities, and 1 is the highest.
 *
 * What is drawn is the queue, oldest first, with the message that is received in brackets. The queue's real content is not
 * looked at; only what was sent and what came is known here, as to any program.
 */
import { hostQueues, Registry } from "../mod.ts";
import type { Queue, ReceiveOptions } from "../mod.ts";

interface Sent {
  readonly type: number;
  readonly text: string;
}

/** What happens, in order: messages go in, or one comes out. */
const STEPS: readonly (readonly Sent[] | ReceiveOptions)[] = [
  [5, 2, 9, 2].map((type, i) => ({ type, text: "abcd".charAt(i) })),
  { type: -4 },
  { type: -10 },
  { type: 0 },
  [7, 9, 3].map((type, i) => ({ type, text: "efg".charAt(i) })),
  { type: 3 },
  { type: 9, isOtherType: true },
  { type: 4 },
  { type: 9 },
  { type: 9 },
];

const draw = (queue: readonly Sent[], taken?: Sent): string => {
  const cells = queue.map((message) => {
    const cell = `${message.type}${message.text}`;
    return message === taken ? `[${cell}]` : ` ${cell} `;
  });
  return cells.join("") || " (empty)";
};

function wantedBy({ type = 0, isOtherType }: ReceiveOptions): string {
  if (isOtherType) return `receive, not ${type}`;
  return `receive ${type}`;
}

async function show(queue: Queue): Promise<void> {
  let there: Sent[] = [];
  for (const step of STEPS) {
    if (Array.isArray(step)) {
      for (const { type, text } of step) await queue.send(type, text);
      there = [...there, ...step];
      console.log(`${"send".padEnd(16)}${draw(there)}`);
      continue;
    }
    const wanted = step as ReceiveOptions;
    const received = await queue.receive({ ...wanted, wait: false });
    const taken = there.find(({ type, text }) => type === received?.type && text === received.text);
    console.log(`${wantedBy(wanted).padEnd(16)}${draw(there, taken)}${received ? "" : "   none: it would wait"}`);
    there = there.filter((each) => each !== taken);
  }
}

await using registry = Deno.args[0] === "tcp" ? new Registry() : undefined;
const queue = await (registry?.queues ?? hostQueues()).create();
try {
  await show(queue);
} finally {
  await queue.remove();
}
