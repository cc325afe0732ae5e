/** A server of the exercise: a queue of its own, bound under its number, and one resource that clients overwrite. */
import { IPC_CREAT, IPC_PRIVATE, IPC_RMID } from "../../lib/ipc/common/flags.ts";
import { ignoringGone, isGone } from "./gone.ts";
import { BODY_SIZE_MAX, decodeService, encodeAboutServer, MessageType } from "./messages.ts";
import type { Part } from "./part.ts";

/** What a server says last. */
export const FINAL_LINE = /^final resource (-?\d+)$/;

/** What a server is told. */
export interface ServerWork {
  /** Its number, 1 and more. */
  readonly number: number;
  /** The registry's mailbox for what it is told and asked. */
  readonly requests: number;
}

/** Runs it until it is told to exit, its queue is removed, or `signal`. */
export async function runServerPart({ queues, say, signal }: Part, { number, requests }: ServerWork): Promise<number> {
  const queue = await queues.msgget(IPC_PRIVATE, IPC_CREAT | 0o600);
  let resource = 0;
  try {
    await queues.msgsnd(requests, MessageType.bind, encodeAboutServer({ server: number, queue }), { signal });
    say(`bound to queue ${queue}`);
    for (;;) {
      const { type, data } = await queues.msgrcv(queue, BODY_SIZE_MAX, 0, { signal });
      if (type === MessageType.exit) break;
      const value = decodeService(data);
      if (type !== MessageType.service || value === undefined) {
        say(`a message of type ${type} that is no service: dropped`);
        continue;
      }
      resource = value;
      say(`resource is ${resource}`);
    }
    say(`final resource ${resource}`);
    return 0;
  } catch (error) {
    if (!isGone(error) && !signal.aborted) throw error;
    return 1;
  } finally {
    await ignoringGone(queues.msgctl(queue, IPC_RMID));
  }
}
