/**
 * The numbers that System V's three kinds of object share, as Linux has them (include/uapi/linux/ipc.h).
 *
 * lib/sys has those of them that it hands to this host's kernel; a pure folder cannot import it, so a test holds the two
 * together.
 */

/** The key that names nothing: a new object each time. */
export const IPC_PRIVATE = 0;
/** `shmget`, `msgget`: make it when it is not there. */
export const IPC_CREAT = 0o1000;
/** With IPC_CREAT: fail when it is there. */
export const IPC_EXCL = 0o2000;
/** `msgsnd`, `msgrcv`: fail instead of waiting. */
export const IPC_NOWAIT = 0o4000;
/** The part of a mode, and of `shmget`'s and `msgget`'s flags, that says who may do what. */
export const PERMISSION_BITS = 0o777;
/** `shmctl`, `msgctl`: remove. */
export const IPC_RMID = 0;
/** `shmctl`, `msgctl`: change owner, group and permissions. */
export const IPC_SET = 1;
/** `shmctl`, `msgctl`: tell all of an object. */
export const IPC_STAT = 2;
/** `shmctl`, `msgctl`: tell the limits. */
export const IPC_INFO = 3;
