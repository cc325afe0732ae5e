/** The numbers of System V shared memory, as Linux has them (include/uapi/linux/shm.h); see ../common/flags.ts. */

/** `shmat`: read only. */
export const SHM_RDONLY = 0o10000;
/** `shmat`: replace what is mapped at the address given. No address is ever given here, so it is always refused. */
export const SHM_REMAP = 0o40000;
/** `shmat`: for execution too, so that the mode's execute bits count. */
export const SHM_EXEC = 0o100000;
/** Mode bit: it goes with its last attachment. */
export const SHM_DEST = 0o1000;
/** Mode bit: somebody has locked it. */
export const SHM_LOCKED = 0o2000;
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
