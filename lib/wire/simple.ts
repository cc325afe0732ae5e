/**
 * The simple dialect: System V's calls as fixed-width words, so that a client in any language is fifty lines. The second
 * ancestor, a shared memory server in C, gave the commands their names and their order, and the requests their five words.
 *
 *   - A request is five 32-bit words in network order (command, size, shmid, flags, offset) and `size` bytes of data; after
 *     a read nothing follows: there `size` is how many bytes are wanted.
 *   - A reply is three words (result, error, dataSize) and the data. `error` is 0 or Linux's number of an errno, and then
 *     `result` is -1.
 *   - Numbers in the data are little-endian.
 *
 * `include/distributed_shm.h` and the tables of docs/PROTOCOL.md are made from here.
 */

/** One command, for people and for the header; what its sizes must be is in {@linkcode fitsCommand}. */
export interface SimpleCommandShape {
  /** Its number on the wire. */
  readonly code: number;
  /** What the shmid word is. */
  readonly shmid: string;
  /** What the flags word is. */
  readonly flags: string;
  /** The data of the request. */
  readonly sends: string;
  /** The result. */
  readonly result: string;
  /** The data of the reply. */
  readonly gives: string;
}

/** The commands, under the ancestor's names. */
export const SIMPLE_COMMANDS = {
  CMD_CREATE_SEGMENT: {
    code: 1,
    shmid: "the key",
    flags: "of `shmget`",
    sends: "the size, 8 bytes",
    result: "the id",
    gives: "",
  },
  CMD_ATTACH_SEGMENT: { code: 2, shmid: "the id", flags: "of `shmat`", sends: "", result: "0", gives: "" },
  CMD_DETACH_SEGMENT: { code: 3, shmid: "the id", flags: "", sends: "", result: "0", gives: "" },
  CMD_REMOVE_SEGMENT: { code: 4, shmid: "the id", flags: "", sends: "", result: "0", gives: "" },
  CMD_READ_DATA: {
    code: 5,
    shmid: "the id",
    flags: "",
    sends: "nothing: `size` is how many bytes are wanted",
    result: "how many bytes",
    gives: "the bytes from `offset`",
  },
  CMD_WRITE_DATA: {
    code: 6,
    shmid: "the id",
    flags: "",
    sends: "the bytes for `offset`",
    result: "how many bytes",
    gives: "",
  },
  CMD_GET_STATUS: {
    code: 7,
    shmid: "the id",
    flags: "",
    sends: "",
    result: "0",
    gives: "size (8 bytes), nattch (4), mode (4)",
  },
  CMD_SHMCTL: {
    code: 8,
    shmid: "the id",
    flags: "the command: 0 IPC_RMID, 1 IPC_SET, 2 IPC_STAT",
    sends: "with IPC_SET a `struct shmid_ds`",
    result: "0",
    gives: "with IPC_STAT a `struct shmid_ds`",
  },
} as const satisfies Record<string, SimpleCommandShape>;

/** A command's name. */
export type SimpleCommandName = keyof typeof SIMPLE_COMMANDS;

const NAMES: (SimpleCommandName | undefined)[] = [];
for (const [name, { code }] of Object.entries(SIMPLE_COMMANDS)) NAMES[code] = name as SimpleCommandName;

/** The first byte of this dialect: no command needs 2^24. */
export const SIMPLE_START = 0;
/** Bytes of a request without its data. */
export const SIMPLE_REQUEST_SIZE = 20;
/** Bytes of a reply without its data. */
export const SIMPLE_REPLY_SIZE = 12;
/** The most data of one request or reply. */
export const SIMPLE_DATA_SIZE_MAX: number = 64 * 1024 * 1024;
/** Bytes of a size. */
export const SIMPLE_SIZE_SIZE = 8;
/** Bytes of what CMD_GET_STATUS gives. */
export const SIMPLE_STATUS_SIZE = 16;
/** Bytes of Linux's `struct shmid_ds` on 64-bit processors (include/uapi/asm-generic/shmbuf.h). */
export const SHMID_DS_SIZE = 112;
/** The command of CMD_SHMCTL that sends a `struct shmid_ds`. */
export const SIMPLE_IPC_SET = 1;
/** The command of CMD_SHMCTL that gives one. */
export const SIMPLE_IPC_STAT = 2;

/** The words of a request. */
export interface SimpleRequest {
  /** Which command; undefined for a number that is none. */
  readonly name: SimpleCommandName | undefined;
  /** Bytes of data, or how many are wanted. */
  readonly size: number;
  /** A segment's id; the key of one to be made. */
  readonly shmid: number;
  /** Of `shmget` and `shmat`; the command of `shmctl`. */
  readonly flags: number;
  /** Where in the segment. */
  readonly offset: number;
}

/** Puts the words of a request at `at`. */
export function putSimpleRequest(view: DataView, at: number, code: number, request: Omit<SimpleRequest, "name">): void {
  const { size, shmid, flags, offset } = request;
  [code, size, shmid, flags, offset].forEach((word, index) => view.setUint32(at + 4 * index, word));
}

/** The words of the request at `at`, of which SIMPLE_REQUEST_SIZE bytes are there. */
export function simpleRequest(view: DataView, at: number): SimpleRequest {
  return {
    name: NAMES[view.getUint32(at)],
    size: view.getUint32(at + 4),
    shmid: view.getInt32(at + 8),
    flags: view.getUint32(at + 12),
    offset: view.getUint32(at + 16),
  };
}

/** How many bytes of data follow the words of a request. */
export function sentSize({ name, size }: SimpleRequest): number {
  return name === "CMD_READ_DATA" ? 0 : size;
}

/** Whether a request's size is one that its command has. */
export function fitsCommand({ name, size, flags }: SimpleRequest): boolean {
  switch (name) {
    case "CMD_CREATE_SEGMENT":
      return size === SIMPLE_SIZE_SIZE;
    case "CMD_READ_DATA":
    case "CMD_WRITE_DATA":
      return size <= SIMPLE_DATA_SIZE_MAX;
    case "CMD_SHMCTL":
      return size === (flags === SIMPLE_IPC_SET ? SHMID_DS_SIZE : 0);
    default:
      return size === 0;
  }
}

/** The most bytes of data that the reply to a request has. */
export function givenSizeMax({ name, size, flags }: SimpleRequest): number {
  switch (name) {
    case "CMD_READ_DATA":
      return size;
    case "CMD_GET_STATUS":
      return SIMPLE_STATUS_SIZE;
    case "CMD_SHMCTL":
      return flags === SIMPLE_IPC_STAT ? SHMID_DS_SIZE : 0;
    default:
      return 0;
  }
}

/** Puts the words of a reply at `at`. @param error an errno's number, or 0. */
export function putSimpleReply(view: DataView, at: number, result: number, error: number, dataSize: number): void {
  [result, error, dataSize].forEach((word, index) => view.setInt32(at + 4 * index, word));
}

/** Bytes of the whole reply at `at`. */
export function simpleReplySize(view: DataView, at: number): number {
  return SIMPLE_REPLY_SIZE + view.getUint32(at + 8);
}

/** What a `struct shmid_ds` tells of a segment. Times are in seconds since 1970. */
export interface ShmidDs {
  /** What it is found by. */
  readonly key: number;
  /** Owner's user id. */
  readonly uid: number;
  /** Owner's group id. */
  readonly gid: number;
  /** Creator's user id. */
  readonly cuid: number;
  /** Creator's group id. */
  readonly cgid: number;
  /** Permissions and what else `shm_perm.mode` tells. */
  readonly mode: number;
  /** Bytes. */
  readonly size: number;
  /** Time of the last attach. */
  readonly atime: number;
  /** Time of the last detach. */
  readonly dtime: number;
  /** Time of the last change. */
  readonly ctime: number;
  /** Process that made it. */
  readonly cpid: number;
  /** Process of the last attach or detach. */
  readonly lpid: number;
  /** How many attachments there are. */
  readonly nattch: number;
}

/** A segment's status as a `struct shmid_ds`. */
export function encodeShmidDs(status: ShmidDs): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(SHMID_DS_SIZE);
  const view = new DataView(bytes.buffer);
  const { key, uid, gid, cuid, cgid, mode, size, atime, dtime, ctime, cpid, lpid, nattch } = status;
  [key, uid, gid, cuid, cgid, mode].forEach((word, index) => view.setUint32(4 * index, word, true));
  [size, atime, dtime, ctime].forEach((long, index) => view.setBigUint64(48 + 8 * index, BigInt(long), true));
  view.setInt32(80, cpid, true);
  view.setInt32(84, lpid, true);
  view.setBigUint64(88, BigInt(nattch), true);
  return bytes;
}

/** What IPC_SET takes from a `struct shmid_ds`. */
export function decodeOwnership(view: DataView): { readonly uid: number; readonly gid: number; readonly mode: number } {
  return { uid: view.getUint32(4, true), gid: view.getUint32(8, true), mode: view.getUint32(20, true) };
}

/** A segment's status as CMD_GET_STATUS gives it. */
export function encodeStatus({ size, nattch, mode }: ShmidDs): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(SIMPLE_STATUS_SIZE);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(size), true);
  view.setUint32(8, nattch, true);
  view.setUint32(12, mode, true);
  return bytes;
}
