/**
 * System V message queues of this host's kernel: `msgget`, `msgsnd`, `msgrcv`, `msgctl`.
 *
 *   - **The event loop never blocks.** A call is first made with IPC_NOWAIT, for {@linkcode ASK_AT_ONCE_MS} again and again.
 *     Then it is made on one of the runtime's threads, where it waits in the kernel: in the kernel's order, woken by the
 *     kernel, without a cost while nothing happens. An abort ends it there (interrupt.ts).
 *   - The runtime has 32 such threads, and file access needs them too. So at most {@linkcode WAITING_COUNT_MAX} calls wait
 *     in the kernel; any more, and all where calls cannot be ended, ask again and again, with pauses that grow. Those have
 *     no place in the kernel's line.
 *   - What a call on another thread failed with is lost (libc.ts), so it is asked for once more with IPC_NOWAIT. EINVAL then,
 *     of a queue that was there, is EIDRM. Whoever got E2BIG while waiting, and finds that another has taken that message
 *     since, waits on as if he had come later.
 *   - Types are numbers: one that a C program sent beyond 2^53 is received rounded.
 */
import { Deadline, pause } from "../base/clock.ts";
import { ERRNO } from "../base/errno.ts";
import { SystemError } from "../base/errors.ts";
import { yieldProcessor } from "./host.ts";
import { canInterrupt, untilEnded } from "./interrupt.ts";
import { addressOf, errnoError, lastErrno, libc } from "./libc.ts";
import { kernelSetting } from "./sysvipc.ts";

/** `msgsnd`, `msgrcv`: fail instead of waiting. */
export const IPC_NOWAIT = 0o4000;
/** `msgrcv`: cut a text that is longer than asked for. */
export const MSG_NOERROR = 0o10000;
/** `msgrcv`, with IPC_NOWAIT: a copy of the message at an index. */
export const MSG_COPY = 0o40000;

/** How many calls of a thread wait in the kernel at most; see the head of this file. */
export const WAITING_COUNT_MAX = 16;
/** How long a call is made again and again before it waits: in that time a busy peer has sent or received. */
const ASK_AT_ONCE_MS = 0.05;
const ASK_AGAIN_MS_MIN = 1;
const ASK_AGAIN_MS_MAX = 16;

const IPC_SET = 1;
const STATUS_COMMANDS: readonly number[] = [2, 11, 13];
const INFO_COMMANDS: readonly number[] = [3, 12];
const MSQID_DS_SIZE = 120;
const TYPE_SIZE = 8;
const WORD = 2 ** 32;
/** Linux's MSGMAX unless somebody has raised it: the buffers begin with this. */
const TEXT_SIZE = 8192;
/** What small texts share: as much as one large one may have. */
const SLAB_SIZE = 8192;
const SEE_IPCS = "ipcs -q names its owner and mode";

/** A message of the kernel's. */
export interface KernelMessage {
  /** At least 1. */
  readonly type: number;
  /** Its text. */
  readonly data: Uint8Array<ArrayBuffer>;
}

/** What `struct msqid_ds` tells. Times are in seconds since 1970; 0: never. Pids are 0 where nobody did it yet. */
export interface KernelQueueStatus {
  /** Unsigned. */
  readonly key: number;
  /** Owner's user id. */
  readonly uid: number;
  /** Owner's group id. */
  readonly gid: number;
  /** Creator's user id. */
  readonly cuid: number;
  /** Creator's group id. */
  readonly cgid: number;
  /** Permissions. */
  readonly mode: number;
  /** Time of the last `msgsnd`. */
  readonly stime: number;
  /** Time of the last `msgrcv`. */
  readonly rtime: number;
  /** Time it was made or changed. */
  readonly ctime: number;
  /** Bytes of text in it. */
  readonly cbytes: number;
  /** Messages in it. */
  readonly qnum: number;
  /** Bytes of text that it may hold, and just as many messages. */
  readonly qbytes: number;
  /** Process of the last `msgsnd`. */
  readonly lspid: number;
  /** Process of the last `msgrcv`; a thread of it, where that had to wait. */
  readonly lrpid: number;
}

/** What `struct msginfo` tells. */
export interface KernelQueueInfo {
  /** Bytes of one message. */
  readonly msgmax: number;
  /** Bytes of a new queue. */
  readonly msgmnb: number;
  /** How many queues there may be. */
  readonly msgmni: number;
  /** MSG_INFO: how many queues there are. */
  readonly queueCount: number;
  /** MSG_INFO: messages in all of them. */
  readonly messageCount: number;
  /** MSG_INFO: bytes of all their texts. */
  readonly size: number;
}

/** What IPC_SET changes. */
export interface KernelQueueChange {
  /** Owner's user id. */
  readonly uid: number;
  /** Owner's group id. */
  readonly gid: number;
  /** Permissions. */
  readonly mode: number;
  /** Bytes of text that it may hold. */
  readonly qbytes: number;
}

/** What `msgctl` returned, and filled in. */
export interface KernelControl {
  /** As the command has it. */
  readonly value: number;
  /** Of IPC_STAT, MSG_STAT and MSG_STAT_ANY. */
  readonly status?: KernelQueueStatus;
  /** Of IPC_INFO and MSG_INFO. */
  readonly info?: KernelQueueInfo;
}

/** `struct msgbuf` with room for a text: its type in 64 bits, then the text. */
class MessageBuffer {
  /** Bytes of text that it has room for. */
  readonly roomSize: number;
  readonly pointer: Deno.PointerValue;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #words: Uint32Array;

  constructor(roomSize: number) {
    this.roomSize = roomSize;
    this.#bytes = new Uint8Array(new ArrayBuffer(TYPE_SIZE + roomSize));
    this.#words = new Uint32Array(this.#bytes.buffer, 0, 2);
    this.pointer = Deno.UnsafePointer.of(this.#bytes);
  }

  get address(): bigint {
    return addressOf(this.#bytes);
  }

  put(type: number, data: Uint8Array): void {
    this.#words[0] = type; // its last 32 bits
    this.#words[1] = Math.floor(type / WORD);
    this.#bytes.set(data, TYPE_SIZE);
  }

  take(size: number): KernelMessage {
    const type = (this.#words[1] as number) * WORD + (this.#words[0] as number);
    const data = newBytes(size);
    data.set(this.#bytes.subarray(TYPE_SIZE, TYPE_SIZE + size));
    return { type, data };
  }
}

let slab = new ArrayBuffer(0);
let slabUsed = 0;

/**
 * Bytes for a text. Small ones share a piece of memory of {@linkcode SLAB_SIZE}, since a buffer of its own costs a text of 64
 * bytes half as much as the call into the kernel.
 */
function newBytes(size: number): Uint8Array<ArrayBuffer> {
  if (size > SLAB_SIZE / 8) return new Uint8Array(size);
  if (slabUsed + size > slab.byteLength) {
    slab = new ArrayBuffer(SLAB_SIZE);
    slabUsed = 0;
  }
  const bytes = new Uint8Array(slab, slabUsed, size);
  slabUsed += size;
  return bytes;
}

/** For calls that do not wait: they leave nothing in it. */
let shared = new MessageBuffer(TEXT_SIZE);
let waitingCount = 0;

/** BigInts of the sizes that are common, since making one costs as much as the call's way into the kernel. */
const SIZES = Array.from({ length: 257 }, (_, size) => BigInt(size));

function longOf(value: number): bigint {
  return SIZES[value] ?? BigInt(value);
}

// ---- msgget

/**
 * `msgget`.
 *
 * @returns the queue's id.
 * @throws SystemError EACCES, EEXIST, ENOENT, ENOSPC (MSGMNI), ENOMEM.
 */
export function getQueue(key: number, flags: number): number {
  const id = libc().msgget(key | 0, flags);
  if (id >= 0) return id;
  throw errnoError(
    "msgget",
    lastErrno(),
    `get the queue with key ${key}`,
    "see the limits with ipcs -lq, all with ipcs -q",
  );
}

// ---- msgsnd

/**
 * `msgsnd` with IPC_NOWAIT.
 *
 * @returns false when there is no room (EAGAIN).
 * @throws SystemError EACCES; EINVAL: no such queue or type, or longer than MSGMAX.
 */
export function sendNow(id: number, type: number, data: Uint8Array): boolean {
  const { length: size } = data;
  if (size > shared.roomSize) makeRoom(id, size);
  shared.put(type, data);
  if (libc().msgsnd(id, shared.pointer, longOf(size), IPC_NOWAIT) === 0) return true;
  const errno = lastErrno();
  if (errno === ERRNO.EAGAIN || errno === ERRNO.EINTR) return false;
  throw errnoError("msgsnd", errno, `send ${size} bytes of type ${type} to queue id ${id}`, sendHint(errno));
}

/** Only for what the kernel takes. */
function makeRoom(id: number, size: number): void {
  const sizeMax = kernelSetting("msgmax");
  if (size > sizeMax) {
    const what = `send ${size} bytes to queue id ${id}`;
    throw errnoError("msgsnd", ERRNO.EINVAL, what, `a message has at most ${sizeMax} bytes (sysctl kernel.msgmax)`);
  }
  shared = new MessageBuffer(size);
}

function sendHint(errno: number): string {
  if (errno !== ERRNO.EINVAL) return SEE_IPCS;
  return "there is no such queue (ipcs -q), its type is below 1, or it is too long (ipcs -lq)";
}

/**
 * `msgsnd` that waits for room, after {@linkcode sendNow} found none.
 *
 * @throws SystemError as `sendNow`; EIDRM: it was removed meanwhile. The signal's reason: nothing was sent.
 */
export async function waitToSend(id: number, type: number, data: Uint8Array, signal?: AbortSignal): Promise<void> {
  const buffer = new MessageBuffer(data.length);
  buffer.put(type, data);
  const inKernel = async (): Promise<true | undefined> => {
    const call = libc().msgsndBackground(id, buffer.pointer, longOf(data.length), 0);
    return await untilEnded(call, buffer.address, signal) === 0 || undefined;
  };
  await wait("msgsnd", id, () => sendNow(id, type, data) || undefined, inKernel, signal);
}

// ---- msgrcv

/**
 * `msgrcv` with IPC_NOWAIT.
 *
 * @returns undefined when there is no such message (ENOMSG).
 * @throws SystemError EACCES; E2BIG: longer than `size`; EINVAL: no such queue, negative size, flags that do not go together.
 */
export function receiveNow(id: number, size: number, type: number, flags: number): KernelMessage | undefined {
  const roomSize = Math.min(size, shared.roomSize);
  // MSG_COPY never waits, and whoever leaves out IPC_NOWAIT is told so
  const ownFlags = flagsFor(size, shared, flags) | (flags & MSG_COPY ? 0 : IPC_NOWAIT);
  const received = libc().msgrcv(id, shared.pointer, sizeOf(roomSize), longOf(type), ownFlags);
  if (received >= 0) return shared.take(received);
  const errno = lastErrno();
  if (errno === ERRNO.ENOMSG || errno === ERRNO.EINTR) return undefined;
  if (errno === ERRNO.E2BIG && roomSize < size) {
    shared = new MessageBuffer(Math.min(size, 2 * shared.roomSize));
    return receiveNow(id, size, type, flags);
  }
  throw errnoError("msgrcv", errno, `receive up to ${size} bytes from queue id ${id}`, receiveHint(errno));
}

/** The kernel is not to cut a text to a room that is only ours. */
function flagsFor(size: number, { roomSize }: MessageBuffer, flags: number): number {
  return roomSize < size ? flags & ~MSG_NOERROR : flags;
}

/** As `size_t`. */
function sizeOf(size: number): bigint {
  return size >= 0 ? longOf(size) : BigInt.asUintN(64, BigInt(size));
}

function receiveHint(errno: number): string {
  if (errno === ERRNO.E2BIG) return "ask for more, or have it cut with MSG_NOERROR";
  return errno === ERRNO.EINVAL ? "there is no such queue, or these flags do not go together" : SEE_IPCS;
}

/**
 * `msgrcv` that waits for a message, after {@linkcode receiveNow} found none.
 *
 * @throws SystemError as `receiveNow`; EIDRM: it was removed meanwhile. The signal's reason: nothing was received.
 */
export async function waitToReceive(
  id: number,
  size: number,
  type: number,
  flags: number,
  signal?: AbortSignal,
): Promise<KernelMessage> {
  const inKernel = async (): Promise<KernelMessage | undefined> => {
    const buffer = new MessageBuffer(Math.min(size, shared.roomSize));
    const call = libc().msgrcvBackground(
      id,
      buffer.pointer,
      longOf(buffer.roomSize),
      longOf(type),
      flagsFor(size, buffer, flags),
    );
    const received = await untilEnded(call, buffer.address, signal);
    return received >= 0 ? buffer.take(received) : undefined;
  };
  return await wait("msgrcv", id, () => receiveNow(id, size, type, flags), inKernel, signal);
}

// ---- waiting

/**
 * Carries out a call that could not be carried out at once. At first it gives way to whoever may have the CPU to end its
 * wait: sleeping and waking take two other threads, and ten times as long.
 *
 * @param now makes it without waiting. @param inKernel makes it on another thread. Both give undefined when it came to nothing.
 */
async function wait<T>(
  call: string,
  id: number,
  now: () => T | undefined,
  inKernel: () => Promise<T | undefined>,
  signal: AbortSignal | undefined,
): Promise<T> {
  const isInKernel = waitingCount < WAITING_COUNT_MAX && (signal === undefined || canInterrupt());
  if (isInKernel) waitingCount++;
  try {
    const soon = askForAWhile(now);
    if (soon !== undefined) return soon;
    for (let pauseMs = ASK_AGAIN_MS_MIN;; pauseMs = Math.min(2 * pauseMs, ASK_AGAIN_MS_MAX)) {
      const done = (isInKernel ? await inKernel() : undefined) ?? now();
      if (done !== undefined) return done;
      signal?.throwIfAborted();
      await pause(pauseMs, signal);
    }
  } catch (error) {
    if (!isRemoval(error)) throw error;
    throw errnoError(call, ERRNO.EIDRM, `wait for queue id ${id} any longer`, "somebody has removed it");
  } finally {
    if (isInKernel) waitingCount--;
  }
}

function askForAWhile<T>(now: () => T | undefined): T | undefined {
  for (const deadline = new Deadline(ASK_AT_ONCE_MS); !deadline.passed;) {
    yieldProcessor();
    const done = now();
    if (done !== undefined) return done;
  }
  return undefined;
}

/** A queue that was there and is not any more. */
function isRemoval(error: unknown): boolean {
  return error instanceof SystemError && error.code === "EINVAL";
}

// ---- msgctl

/**
 * `msgctl`.
 *
 * @throws SystemError EACCES, EINVAL, EPERM, EFAULT: IPC_SET without what is to be set.
 */
export function controlQueue(id: number, command: number, change?: KernelQueueChange): KernelControl {
  const data = new Uint8Array(new ArrayBuffer(MSQID_DS_SIZE));
  const view = new DataView(data.buffer);
  if (change) putChange(view, change);
  const value = libc().msgctl(id, command, command === IPC_SET && !change ? null : data);
  if (value < 0) {
    const errno = lastErrno();
    throw errnoError("msgctl", errno, `do command ${command} on queue id ${id}`, SEE_IPCS);
  }
  if (STATUS_COMMANDS.includes(command)) return { value, status: statusIn(view) };
  return INFO_COMMANDS.includes(command) ? { value, info: infoIn(view) } : { value };
}

/** Linux's 64-bit `struct msqid_ds` (include/uapi/asm-generic/msgbuf.h). */
function putChange(view: DataView, { uid, gid, mode, qbytes }: KernelQueueChange): void {
  view.setUint32(4, uid, true);
  view.setUint32(8, gid, true);
  view.setUint32(20, mode, true);
  view.setBigUint64(88, BigInt(qbytes), true);
}

function statusIn(view: DataView): KernelQueueStatus {
  const word = (offset: number): number => view.getUint32(offset, true);
  const long = (offset: number): number => Number(view.getBigUint64(offset, true));
  return {
    key: word(0),
    uid: word(4),
    gid: word(8),
    cuid: word(12),
    cgid: word(16),
    mode: word(20),
    stime: long(48),
    rtime: long(56),
    ctime: long(64),
    cbytes: long(72),
    qnum: long(80),
    qbytes: long(88),
    lspid: word(96),
    lrpid: word(100),
  };
}

/** `struct msginfo`: msgpool, msgmap, msgmax, msgmnb, msgmni, msgssz, msgtql, msgseg. */
function infoIn(view: DataView): KernelQueueInfo {
  const word = (index: number): number => view.getInt32(4 * index, true);
  return {
    msgmax: word(2),
    msgmnb: word(3),
    msgmni: word(4),
    queueCount: word(0),
    messageCount: word(1),
    size: word(6),
  };
}
