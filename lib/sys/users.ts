/** Users and groups of this host by name, from wherever its C library has them. */
import { isFfiAvailable, libc } from "./libc.ts";

/** The name of user `uid`; undefined when he has none here. */
export function userName(uid: number): string | undefined {
  return isFfiAvailable() ? firstString(libc().getpwuid(uid)) : undefined;
}

/** The name of group `gid`; undefined when it has none here. */
export function groupName(gid: number): string | undefined {
  return isFfiAvailable() ? firstString(libc().getgrgid(gid)) : undefined;
}

/** Both `struct passwd` and `struct group` begin with a pointer to the name. */
function firstString(record: Deno.PointerValue): string | undefined {
  const name = record && new Deno.UnsafePointerView(record).getPointer();
  return name ? new Deno.UnsafePointerView(name).getCString() : undefined;
}
