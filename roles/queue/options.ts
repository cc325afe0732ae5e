/** What the commands on one queue share: which it is. */
import type { Params } from "../../lib/cli/command.ts";
import { IPC_CREAT } from "../../lib/ipc/common/flags.ts";
import { Queue } from "../../lib/node/queues/queue.ts";
import type { Queues } from "../../lib/node/queues/queues.ts";

/** Its key. */
export const KEY = { kind: "key", about: "the queue's key, decimal or 0x…" } as const;

/** Whose, and whether it may be a new one. */
export const WHICH = {
  create: { kind: "boolean", about: "make the queue where there is none, with mode 0600" },
  host: { kind: "boolean", about: "work on this host's kernel, not on the registry" },
} as const satisfies Params;

const NEW_MODE = 0o600;

/** The queue under `key`. @throws SystemError ENOENT: there is none; EACCES. */
export async function openQueue(queues: Queues, key: number, create: boolean): Promise<Queue> {
  if (!create) return await queues.open(key);
  return new Queue(queues.calls, await queues.calls.msgget(key, IPC_CREAT | NEW_MODE));
}
