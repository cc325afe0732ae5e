/**
 * One process of the exercise, seen from within.
 *
 * Its parent holds the other end of its standard input. When that ends, the parent has ended, in whatever way: then each
 * part removes what it made and goes.
 */
import type { MessageQueues } from "../../lib/node/queues/message_queues.ts";

/** What every part has. */
export interface Part {
  /** Where its messages go. */
  readonly queues: MessageQueues;
  /** Tells a step. */
  readonly say: (line: string) => void;
  /** Aborted when the exercise is over for everybody. */
  readonly signal: AbortSignal;
}

/** A signal that is aborted when standard input ends, or on SIGTERM. */
export function untilParentEnds(): AbortSignal {
  const ending = new AbortController();
  const end = (): void => ending.abort(new DOMException("the parent has ended", "AbortError"));
  Deno.addSignalListener("SIGTERM", end);
  Deno.stdin.readable.pipeTo(new WritableStream()).then(end, end);
  return ending.signal;
}
