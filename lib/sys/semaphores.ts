/**
 * System V semaphores: `semget`, `semop`, `semtimedop`, `semctl`.
 *
 *   - An operation list is a reusable buffer of `struct sembuf` (three 16-bit words), so that the hot path allocates
 *     nothing.
 *   - SEM_UNDO belongs to the *process*: threads share it, and ending a Worker gives nothing back.
 */
import { ERRNO } from "../base/errno.ts";
import { IPC_CREAT, IPC_EXCL } from "./shared_memory.ts";
import { errnoError, lastErrno, libc, systemError } from "./libc.ts";

/** Operation flag: fail with EAGAIN instead of waiting. */
export const IPC_NOWAIT = 0o4000;
/** Operation flag: take it back when the process ends. */
export const SEM_UNDO = 0o10000;

const IPC_RMID = 0;
const IPC_STAT = 2;
const GETPID = 11;
const GETVAL = 12;
const GETALL = 13;
const GETNCNT = 14;
const SETALL = 17;
const SEMID_DS_SIZE = 104;
const SEMBUF_WORDS = 3;

/** What the kernel lets one semop do on most systems (SEMOPM). */
export const OPERATIONS_MAX = 500;

const COUNTS = Array.from({ length: OPERATIONS_MAX + 1 }, (_, count) => BigInt(count));

/** A list of semaphore operations that one semop carries out all together or not at all. */
export class Operations {
  /** How many there are. */
  count = 0;
  readonly #words = new Int16Array(OPERATIONS_MAX * SEMBUF_WORDS);
  /** Keeps alive what `pointer` points to. */
  readonly #bytes = new Uint8Array(this.#words.buffer);
  /** The list as the kernel reads it; for the modules of this folder. (As a pointer: a buffer costs 15 ns more a call.) */
  readonly pointer: Deno.PointerValue = Deno.UnsafePointer.of(this.#bytes);

  /** Empties the list. */
  clear(): void {
    this.count = 0;
  }

  /** Adds: change semaphore `index` by `change` (0: wait until it is 0). */
  add(index: number, change: number, flags: number): void {
    const at = this.count++ * SEMBUF_WORDS;
    this.#words[at] = index;
    this.#words[at + 1] = change;
    this.#words[at + 2] = flags;
  }

  /** Names another semaphore in operation `at`, keeping what is done to it. */
  redirect(at: number, index: number): void {
    this.#words[at * SEMBUF_WORDS] = index;
  }

  /** A copy that stays as it is. */
  copy(): Operations {
    const copy = new Operations();
    copy.#words.set(this.#words);
    copy.count = this.count;
    return copy;
  }
}

/** What became of a semop: carried out, would have had to wait, or failed for good because the set is gone. */
export type SemopResult = "done" | "again" | "gone";

/** What no caller can mend. */
const HOPELESS: ReadonlySet<number> = new Set([ERRNO.EACCES, ERRNO.E2BIG, ERRNO.EFBIG, ERRNO.ENOMEM, ERRNO.EFAULT]);

function resultOf(errno: number, id: number): SemopResult {
  if (errno === ERRNO.EIDRM || errno === ERRNO.EINVAL) return "gone";
  if (HOPELESS.has(errno)) {
    throw errnoError("semop", errno, `operate on semaphore set id ${id}`, "ipcs -s names its owner and mode");
  }
  // EAGAIN and EINTR; ERANGE, when a program has given what it never took, 32,767 times: its mistake must not end a server;
  // and whatever semop does not return, which somebody else on this thread has left (see libc.ts): it failed, and is tried again
  return "again";
}

/**
 * One `semop`. It waits as its flags say, and is not restarted after a signal ("again").
 *
 * @throws SystemError for an errno that no caller can mend: EACCES, E2BIG, EFBIG, ENOMEM.
 */
export function semop(id: number, operations: Operations): SemopResult {
  if (libc().semop(id, operations.pointer, COUNTS[operations.count] as bigint) === 0) return "done";
  return resultOf(lastErrno(), id);
}

function timespec(ms: number): Uint8Array<ArrayBuffer> {
  const words = new BigInt64Array(2);
  words[0] = BigInt(Math.floor(ms / 1000));
  words[1] = BigInt(Math.floor((ms % 1000) * 1e6));
  return new Uint8Array(words.buffer);
}

/** One `semtimedop` that blocks this thread for at most `timeoutMs`. */
export function semopBlocking(id: number, operations: Operations, timeoutMs: number): SemopResult {
  const count = COUNTS[operations.count] as bigint;
  if (libc().semtimedopBlocking(id, operations.pointer, count, timespec(timeoutMs)) === 0) return "done";
  return resultOf(lastErrno(), id);
}

/**
 * One `semtimedop` on another thread of this process: the event loop goes on meanwhile. Whoever waits this way waits in
 * the kernel's own queue, so a large set of guards is not starved by others that come and go.
 *
 * @returns whether it was carried out. (errno does not survive the trip: "no" may be a timeout, a signal or a removed set.)
 */
export async function semopInBackground(id: number, operations: Operations, timeoutMs: number): Promise<boolean> {
  const list = operations.copy();
  const timeout = timespec(timeoutMs);
  const result = await libc().semtimedop(id, list.pointer, COUNTS[list.count] as bigint, timeout);
  // naming both again keeps the collector from freeing what the other thread reads
  return result === 0 && list.count + timeout.length > 0;
}

/**
 * Makes a set of `count` semaphores under `key` (0 is IPC_PRIVATE), all with value 1.
 *
 * @returns its id, or undefined when there is a set with that key already (EEXIST).
 * @throws SystemError: ENOSPC (SEMMNI, SEMMNS), EINVAL (more than SEMMSL), ENOMEM.
 */
export function createSet(key: number, count: number, mode: number): number | undefined {
  const id = libc().semget(key | 0, count, IPC_CREAT | IPC_EXCL | mode);
  if (id < 0) {
    const errno = lastErrno();
    if (errno === ERRNO.EEXIST) return undefined;
    throw errnoError("semget", errno, `make ${count} semaphores with key ${key}`, "see the limits with ipcs -ls");
  }
  const ones = new Uint8Array(new Uint16Array(count).fill(1).buffer);
  if (libc().semctl(id, 0, SETALL, ones) < 0) {
    const error = systemError("semctl", `set the semaphores of set id ${id} to 1`);
    removeSet(id);
    throw error;
  }
  return id;
}

/**
 * The id of the set under `key`.
 *
 * @returns undefined when there is none (ENOENT).
 * @throws SystemError otherwise, such as EACCES.
 */
export function findSet(key: number): number | undefined {
  const id = libc().semget(key | 0, 0, 0);
  if (id >= 0) return id;
  const errno = lastErrno();
  if (errno === ERRNO.ENOENT) return undefined;
  throw errnoError("semget", errno, `look up semaphore key ${key}`, "ipcs -s names its owner");
}

/** What the kernel says of a set. */
export interface SetStatus {
  /** How many semaphores it has. */
  readonly count: number;
  /** Creator's user id. */
  readonly cuid: number;
}

/** IPC_STAT; undefined when the set is gone. */
export function setStatus(id: number): SetStatus | undefined {
  const data = new Uint8Array(SEMID_DS_SIZE);
  if (libc().semctl(id, 0, IPC_STAT, data) < 0) {
    const errno = lastErrno();
    if (errno === ERRNO.EINVAL || errno === ERRNO.EIDRM) return undefined;
    throw errnoError("semctl", errno, `look at semaphore set id ${id}`);
  }
  const view = new DataView(data.buffer);
  return { count: Number(view.getBigUint64(80, true)), cuid: view.getUint32(12, true) };
}

/** How many semaphores a set has; undefined when it is gone. */
export function setSize(id: number): number | undefined {
  return setStatus(id)?.count;
}

/** Removes a set at once; who waits in it gets EIDRM. Says whether it was there. */
export function removeSet(id: number): boolean {
  return libc().semctl(id, 0, IPC_RMID, null) === 0;
}

/** One semaphore as the kernel sees it. */
export interface SemaphoreState {
  /** Its value: 1 free, 0 held, anything more a mistake of somebody's. */
  readonly value: number;
  /** The process of the last semop on it. */
  readonly lastPid: number;
  /** How many wait for it to grow. */
  readonly waiterCount: number;
}

/** The state of semaphore `index`; undefined when the set is gone. */
export function semaphoreState(id: number, index: number): SemaphoreState | undefined {
  const get = (command: number): number => libc().semctl(id, index, command, null);
  const value = get(GETVAL);
  return value < 0 ? undefined : { value, lastPid: get(GETPID), waiterCount: get(GETNCNT) };
}

/** The values of all `count` semaphores of a set; undefined when it is gone. */
export function semaphoreValues(id: number, count: number): Uint16Array | undefined {
  const values = new Uint16Array(count);
  return libc().semctl(id, 0, GETALL, new Uint8Array(values.buffer)) < 0 ? undefined : values;
}
