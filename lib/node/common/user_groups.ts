/** The groups of a user of this host, by /etc/passwd and /etc/group: no other source is asked. */
import { NOBODY_UID } from "./peer_uid.ts";

/** The group of whom no file knows. */
const NOBODY_GID = NOBODY_UID;

/** The groups of one user. */
export interface UserGroups {
  /** His own. */
  readonly gid: number;
  /** The others. */
  readonly groups: readonly number[];
}

/**
 * The groups of user `uid`; `nobody`'s for one who is not in `passwd`.
 *
 * @param passwd the text of /etc/passwd. @param group the text of /etc/group.
 */
export function groupsIn(uid: number, passwd: string, group: string): UserGroups {
  const user = rowsOf(passwd).find(([, , id]) => id !== "" && Number(id) === uid);
  const [name = "", , , gid = ""] = user ?? [];
  if (!/^\d+$/.test(gid)) return { gid: NOBODY_GID, groups: [] };
  const groups = rowsOf(group).flatMap(([, , id = "", members = ""]) => {
    return /^\d+$/.test(id) && members.split(",").includes(name) ? [Number(id)] : [];
  });
  return { gid: Number(gid), groups };
}

function rowsOf(text: string): string[][] {
  return text.split("\n").filter((line) => line.includes(":")).map((line) => line.split(":"));
}

/** The same from this host's files; who cannot read them knows of no groups. */
export function groupsOf(uid: number): UserGroups {
  return groupsIn(uid, textOf("/etc/passwd"), textOf("/etc/group"));
}

function textOf(file: string): string {
  try {
    return Deno.readTextFileSync(file);
  } catch {
    return "";
  }
}
