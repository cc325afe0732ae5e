/**
 * The numbers of System V shared memory, as Linux has them (include/uapi/linux/ipc.h and shm.h).
 *
 * lib/sys has those of them that it hands to this host's kernel; a pure folder cannot import it, so a test holds the two
 * together.
 */

/** The key that names nothing: a new segment each time. */
export const IPC_PRIVATE = 0;

/** `shmget`: make it when it is not there. */
export const IPC_CREAT = 0o1000;
/** `shmget`, with IPC_CREAT: fail when it is there. */
export const IPC_EXCL = 0o2000;

/** `shmat`: read only. */
export const SHM_RDONLY = 0o10000;
/** `shmat`: replace what is mapped at the address given. No address is ever given here, so it is always refused. */
export const SHM_REMAP = 0o40000;
/** `shmat`: for execution too, so that the mode's execute bits count. */
export const SHM_EXEC = 0o100000;

/** The part of a mode, and of `shmget`'s flags, that says who may do what. */
export const PERMISSION_BITS = 0o777;
/** Mode bit: it goes with its last attachment. */
export const SHM_DEST = 0o1000;
/** Mode bit: somebody has locked it. */
export const SHM_LOCKED = 0o2000;

/** `shmctl`: remove. */
export const IPC_RMID = 0;
/** `shmctl`: change owner, group and permissions. */
export const IPC_SET = 1;
/** `shmctl`: tell all of a segment. */
export const IPC_STAT = 2;
/** `shmctl`: tell the limits. */
export const IPC_INFO = 3;
/** `shmctl`: lock. */
export const SHM_LOCK = 11;
/** `shmctl`: unlock. */
export const SHM_UNLOCK = 12;
/** `shmctl`: IPC_STAT by index. */
export const SHM_STAT = 13;
/** `shmctl`: tell what is used. */
export const SHM_INFO = 14;
/** `shmctl`: SHM_STAT without asking for the right to read. */
export const SHM_STAT_ANY = 15;
