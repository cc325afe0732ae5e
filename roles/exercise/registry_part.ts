/**
 * The registry of the exercise: two mailboxes, one for what it is told and asked, one for its answers.
 *
 *   - An answer has the server's number as its type, so that whoever asked takes that one, among answers to others.
 *   - With the mailboxes it removes the queues of all servers that are bound: one that still waits at its own hears of it.
 */
import { IPC_CREAT, IPC_PRIVATE, IPC_RMID } from "../../lib/ipc/common/flags.ts";
import { BODY_SIZE_MAX, decodeAboutServer, encodeAboutServer, MessageType, NO_QUEUE } from "./messages.ts";
import { ignoringGone, isGone } from "./gone.ts";
import type { Part } from "./part.ts";

/** What the registry says first, for the parent to read: the ids of its mailboxes, and over TCP where they are. */
export const MAILBOXES_LINE = /^mailboxes (\d+) and (\d+)(?: at (\S+))?$/;
/** What it says of each server that binds: its number and queue. */
export const BOUND_LINE = /^bind: server (\d+) has queue (\d+)$/;

/** Runs it until it is told to exit, its mailboxes are removed, or `signal`. @param address where its mailboxes are, over TCP. */
export async function runRegistryPart({ queues, say, signal }: Part, address: string): Promise<number> {
  const requests = await queues.msgget(IPC_PRIVATE, IPC_CREAT | 0o600);
  const results = await queues.msgget(IPC_PRIVATE, IPC_CREAT | 0o600);
  const bound = new Map<number, number>();
  try {
    say(`mailboxes ${requests} and ${results}${address === "" ? "" : ` at ${address}`}`);
    for (;;) {
      const { type, data } = await queues.msgrcv(requests, BODY_SIZE_MAX, 0, { signal });
      if (type === MessageType.exit) break;
      const about = decodeAboutServer(data);
      if (about === undefined || about.server < 1) {
        say(`a message of type ${type} that says nothing: dropped`);
      } else if (type === MessageType.bind) {
        bound.set(about.server, about.queue);
        say(`bind: server ${about.server} has queue ${about.queue}`);
      } else if (type === MessageType.query) {
        const queue = bound.get(about.server) ?? NO_QUEUE;
        say(`query: server ${about.server}? ${queue}`);
        await queues.msgsnd(results, about.server, encodeAboutServer({ server: about.server, queue }), { signal });
      } else say(`a message of type ${type}: dropped`);
    }
    for (const [server, queue] of bound) {
      say(`exit: to server ${server}`);
      await ignoringGone(queues.msgsnd(queue, MessageType.exit, new Uint8Array(0), { signal }));
    }
    return 0;
  } catch (error) {
    if (!isGone(error) && !signal.aborted) throw error;
    for (const queue of bound.values()) await ignoringGone(queues.msgctl(queue, IPC_RMID));
    return 1;
  } finally {
    for (const queue of [requests, results]) await ignoringGone(queues.msgctl(queue, IPC_RMID));
  }
}
