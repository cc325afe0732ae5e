/**
 * SHM_LOCK, counted, charged and refused as on Linux (ipc/shm.c `shmctl_do_lock`, mm/mlock.c `user_shm_lock`), and without
 * effect otherwise: what is swapped out every host decides for itself.
 *
 *   - A lock is charged to the user who took it, in whole pages of the segment's size, until it is undone, by whomever, or
 *     the segment goes.
 *   - uid 0 is charged too, and never refused.
 *   - There is one limit for all, where Linux has one per process.
 */
import { PAGE_SIZE, pageCount } from "./limits.ts";
import type { Limits } from "./limits.ts";
import { isPrivileged } from "../common/permissions.ts";
import type { Principal } from "../common/permissions.ts";
import { refusal } from "../common/refusal.ts";
import type { Segment } from "./segment.ts";

/**
 * Checks that `who`, its owner or creator, may lock `segment`; one that is locked already costs nothing.
 *
 * @param segments all there are.
 * @throws SystemError of `shmctl`, EPERM: nobody may lock anything; ENOMEM: `who` has too much locked.
 */
export function requireLockable(segments: readonly Segment[], limits: Limits, who: Principal, segment: Segment): void {
  if (isPrivileged(who)) return;
  const what = `lock segment ${segment.id}`;
  if (limits.memlock === 0) {
    throw refusal("shmctl", "EPERM", what, "only uid 0 may lock memory here (RLIMIT_MEMLOCK is 0)");
  }
  if (segment.lockerUid !== null) return;
  const charged = segments.filter(({ lockerUid }) => lockerUid === who.uid);
  const pages = [...charged, segment].reduce((sum, { size }) => sum + pageCount(size), 0);
  if (pages > Math.floor(limits.memlock / PAGE_SIZE)) {
    const next = `a user may lock ${limits.memlock} bytes (RLIMIT_MEMLOCK); unlock another one first`;
    throw refusal("shmctl", "ENOMEM", what, next);
  }
}
