/** The numbers of System V message queues, as Linux has them (include/uapi/linux/msg.h); see ../common/flags.ts. */

/** `msgrcv`: cut a text that is longer than asked for. */
export const MSG_NOERROR = 0o10000;
/** `msgrcv`: the first message that is *not* of the type. */
export const MSG_EXCEPT = 0o20000;
/** `msgrcv`, with IPC_NOWAIT: a copy of the message at an index, that stays where it is. */
export const MSG_COPY = 0o40000;
/** `msgctl`: IPC_STAT by index. */
export const MSG_STAT = 11;
/** `msgctl`: tell what is used. */
export const MSG_INFO = 12;
/** `msgctl`: MSG_STAT without asking for the right to read. */
export const MSG_STAT_ANY = 13;
