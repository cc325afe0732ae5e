/** The users of this host, as /etc/passwd and /etc/group have them: whom a config server knows the groups of. */
import { groupsOf } from "../../lib/node/common/user_groups.ts";
import type { Identity } from "./kernel_process.ts";

/** All of them but root and nobody. */
export function usersOfThisHost(): Identity[] {
  const uids = Deno.readTextFileSync("/etc/passwd").split("\n").map((line) => Number(line.split(":")[2] || 0));
  const isUser = (uid: number): boolean => uid > 0 && uid < 65_534;
  return [...new Set(uids)].filter(isUser).map((uid) => ({ uid, ...groupsOf(uid) }));
}
