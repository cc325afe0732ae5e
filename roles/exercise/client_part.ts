/** A client of the exercise: it picks a server at random, asks the registry for its queue, and sends it its messages. */
import { Deadline, pause } from "../../lib/base/clock.ts";
import { TimeoutError } from "../../lib/base/errors.ts";
import { isGone } from "./gone.ts";
import {
  BODY_SIZE_MAX,
  decodeAboutServer,
  encodeAboutServer,
  encodeService,
  MessageType,
  NO_QUEUE,
} from "./messages.ts";
import type { Part } from "./part.ts";

/** A message carries a random integer from 0 to this. */
const VALUE_MAX = 10;
/** How long a client waits before it asks again for a server that is not bound yet. */
const ASK_AGAIN_MS = 50;
/** How long a server may take to be bound. */
const BOUND_MS_MAX = 20_000;

/** What a client is told. */
export interface ClientWork {
  /** The registry's two mailboxes. */
  readonly requests: number;
  /** The one with the answers. */
  readonly results: number;
  /** How many servers there are. */
  readonly servers: number;
  /** How many messages to send. */
  readonly messages: number;
  /** The time between two of them. */
  readonly intervalMs: number;
}

/** Runs it to its end, or until `signal`. @throws TimeoutError when its server is never bound. */
export async function runClientPart(part: Part, work: ClientWork): Promise<number> {
  const { queues, say, signal } = part;
  const server = 1 + Math.floor(Math.random() * work.servers);
  try {
    const queue = await query(part, work, server);
    for (let i = 0; i < work.messages; i++) {
      if (i > 0) await pause(work.intervalMs, signal);
      signal.throwIfAborted();
      const value = Math.floor(Math.random() * (VALUE_MAX + 1));
      await queues.msgsnd(queue, MessageType.service, encodeService(value), { signal });
      say(`service: ${value} to server ${server}`);
    }
    return 0;
  } catch (error) {
    if (!isGone(error) && !signal.aborted) throw error;
    say(`server ${server} is gone`);
    return 1;
  }
}

/** The queue of `server`, asked for until it is bound. */
async function query(
  { queues, say, signal }: Part,
  { requests, results }: ClientWork,
  server: number,
): Promise<number> {
  const deadline = new Deadline(BOUND_MS_MAX);
  for (;;) {
    await queues.msgsnd(requests, MessageType.query, encodeAboutServer({ server, queue: 0 }), { signal });
    const { data } = await queues.msgrcv(results, BODY_SIZE_MAX, server, { signal });
    const queue = decodeAboutServer(data)?.queue ?? NO_QUEUE;
    say(`query: server ${server}? ${queue}`);
    if (queue !== NO_QUEUE) return queue;
    if (deadline.passed) throw new TimeoutError(`server ${server} was not bound within ${BOUND_MS_MAX / 1000} s`);
    await pause(ASK_AGAIN_MS, signal);
    signal.throwIfAborted();
  }
}
