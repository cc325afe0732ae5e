/**
 * Who may do what with a System V object, as Linux decides it (ipc/util.c: `ipcperms`, `ipcctl_obtain_check`).
 *
 *   - ONE class of the mode's bits counts, the first that fits: the owner's for the owner and for the creator; else the
 *     group's for members of the owner's or of the creator's group; else the others'. An owner whom the owner's bits
 *     forbid is not helped by the others'.
 *   - What is wanted counts in whichever class it is written: 0o200 and 0o002 both ask for writing.
 *   - Changing and removing has nothing to do with the bits: it is for owner and creator.
 *   - uid 0 may do everything (CAP_IPC_OWNER, CAP_SYS_ADMIN and CAP_IPC_LOCK in one).
 *
 * The caller makes an error of a refusal: EACCES where bits forbid, EPERM where one is neither owner nor creator.
 */

/** Who makes a call. Where he comes from is the caller's business; here he is believed. */
export interface Principal {
  /** User id. */
  readonly uid: number;
  /** Group id. */
  readonly gid: number;
  /** Supplementary group ids, with or without `gid`. */
  readonly groups: readonly number[];
  /** Process id. */
  readonly pid: number;
}

/** Whose an object is, and what its mode allows. */
export interface Ownership {
  /** Owner's user id. */
  readonly uid: number;
  /** Owner's group id. */
  readonly gid: number;
  /** Creator's user id. */
  readonly cuid: number;
  /** Creator's group id. */
  readonly cgid: number;
  /** Permission bits in its last nine bits. */
  readonly mode: number;
}

/** To want reading: `S_IRUGO`. */
export const READ = 0o444;
/** To want writing: `S_IWUGO`. */
export const WRITE = 0o222;
/** To want execution: `S_IXUGO`. */
export const EXECUTE = 0o111;

const CLASS_BITS = 0o7;

/** Whether `who` has every capability. */
export function isPrivileged(who: Principal): boolean {
  return who.uid === 0;
}

/** Whether `who` may have all that the bits of `wanted` ask for, such as {@linkcode READ}; 0 wants nothing. */
export function mayAccess(object: Ownership, who: Principal, wanted: number): boolean {
  const asked = (wanted >> 6 | wanted >> 3 | wanted) & CLASS_BITS;
  return (asked & ~grantedBits(object, who)) === 0 || isPrivileged(who);
}

function grantedBits({ uid, gid, cuid, cgid, mode }: Ownership, who: Principal): number {
  if (who.uid === uid || who.uid === cuid) return mode >> 6;
  if (isInGroup(who, gid) || isInGroup(who, cgid)) return mode >> 3;
  return mode;
}

function isInGroup(who: Principal, gid: number): boolean {
  return who.gid === gid || who.groups.includes(gid);
}

/** Whether `who` may change, remove, lock and unlock the object: its owner, its creator, uid 0. */
export function mayControl({ uid, cuid }: Ownership, who: Principal): boolean {
  return who.uid === uid || who.uid === cuid || isPrivileged(who);
}
