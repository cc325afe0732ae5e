/** Removing objects one by one, each with an answer of its own, in the words of util-linux's `ipcrm`. */
import { SystemError } from "../../lib/base/errors.ts";
import { keyText } from "../../lib/ipc/common/refusal.ts";
import { IPC_PRIVATE } from "../../lib/ipc/common/flags.ts";

/** Whose objects are removed; both calls throw SystemError with the errno of System V's own. */
export interface Removable {
  /** The id of the one under `key`. */
  find(key: number): Promise<number>;
  /** Removes it. */
  remove(id: number): Promise<void>;
}

/** What somebody named, and what came of it. */
export interface Removal {
  /** Null where the key names none. */
  readonly id: number | null;
  /** Null where the id was given. */
  readonly key: number | null;
  /** Whether it is gone, or goes with its last attachment. */
  readonly removed: boolean;
  /** Why not, such as `invalid id (5)`; empty when it was. */
  readonly reason: string;
}

/** `ipcrm`'s words for an errno. */
const REASONS: ReadonlyMap<string, string> = new Map([
  ["EACCES", "permission denied for"],
  ["EPERM", "permission denied for"],
  ["EINVAL", "invalid"],
  ["ENOENT", "invalid"],
  ["EIDRM", "already removed"],
]);

/** Removes the object `id`. */
export async function removeById(objects: Removable, id: number): Promise<Removal> {
  const reason = await reasonAgainst(() => objects.remove(id), `id (${id})`);
  return { id, key: null, removed: reason === "", reason };
}

/** Removes the object under `key`; IPC_PRIVATE names none. */
export async function removeByKey(objects: Removable, key: number): Promise<Removal> {
  if (key === IPC_PRIVATE) return { id: null, key, removed: false, reason: "illegal key (0)" };
  let id: number | null = null;
  const reason = await reasonAgainst(async () => {
    id = await objects.find(key);
    await objects.remove(id);
  }, `key (${keyText(key)})`);
  return { id, key, removed: reason === "", reason };
}

/** Empty when `work` is done; an error that is not about the object goes on its way. */
async function reasonAgainst(work: () => Promise<void>, what: string): Promise<string> {
  try {
    await work();
    return "";
  } catch (error) {
    const words = error instanceof SystemError ? REASONS.get(error.code) : undefined;
    if (words === undefined) throw error;
    return `${words} ${what}`;
  }
}
