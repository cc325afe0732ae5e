/**
 * System V shared memory: `shmget`, `shmat`, `shmdt`, `shmctl`, and a mapping as plain bytes.
 *
 *   - A mapping's `bytes` are the segment itself, not a copy. After `detach` nobody may touch them: the address is gone,
 *     and a stray access would end the process.
 *   - IPC_STAT is read for Linux's 64-bit `struct shmid_ds` (112 bytes; include/uapi/asm-generic/shmbuf.h).
 */
import { ERRNO } from "../base/errno.ts";
import { SystemError } from "../base/errors.ts";
import { errnoError, lastErrno, libc, systemError } from "./libc.ts";

/** `shmget` and `semget` flag: make it when it is not there. */
export const IPC_CREAT = 0o1000;
/** With IPC_CREAT: fail when it is there. */
export const IPC_EXCL = 0o2000;
/** `shmget` flag: do not reserve swap for the segment. */
export const SHM_NORESERVE = 0o10000;
/** `shmat` flag: read only. */
export const SHM_RDONLY = 0o10000;
/** Mode bit of a segment that goes when its last attacher does. */
export const SHM_DEST = 0o1000;
/** The key that names nothing: a new object each time. */
export const IPC_PRIVATE = 0;

const IPC_RMID = 0;
const IPC_SET = 1;
const IPC_STAT = 2;
const MADV_REMOVE = 9;
const PAGE_SIZE = 4096;
const SHMID_DS_SIZE = 112;
const FAILED = 0xffff_ffff_ffff_ffffn;

/** What the kernel says of a segment. */
export interface SegmentStatus {
  /** The key it was made with; 0 for IPC_PRIVATE or once it is marked for removal. */
  readonly key: number;
  /** Owner's user id. */
  readonly uid: number;
  /** Owner's group id. */
  readonly gid: number;
  /** Creator's user id. */
  readonly cuid: number;
  /** Permission bits and SHM_DEST. */
  readonly mode: number;
  /** Bytes. */
  readonly size: number;
  /** Process that made it. */
  readonly creatorPid: number;
  /** Process of the last `shmat` or `shmdt`. */
  readonly lastPid: number;
  /** How many mappings there are. */
  readonly attachCount: number;
}

/**
 * Makes a new segment of `size` bytes under `key`.
 *
 * @returns its id, or undefined when there is a segment with that key already (EEXIST).
 * @throws SystemError for anything else: EINVAL (size beyond SHMMAX), ENOSPC (SHMMNI or SHMALL), ENOMEM.
 */
export function createSegment(key: number, size: number, mode: number): number | undefined {
  const id = libc().shmget(key | 0, BigInt(size), IPC_CREAT | IPC_EXCL | SHM_NORESERVE | mode);
  if (id >= 0) return id;
  const errno = lastErrno();
  if (errno === ERRNO.EEXIST) return undefined;
  throw errnoError(
    "shmget",
    errno,
    `make ${size} bytes of shared memory with key ${key}`,
    "see the limits with ipcs -lm, and what is there with ipcs -m",
  );
}

/**
 * The id of the segment under `key`.
 *
 * @returns undefined when there is none (ENOENT).
 * @throws SystemError otherwise, such as EACCES.
 */
export function findSegment(key: number): number | undefined {
  const id = libc().shmget(key | 0, 0n, 0);
  if (id >= 0) return id;
  const errno = lastErrno();
  if (errno === ERRNO.ENOENT) return undefined;
  throw errnoError("shmget", errno, `look up shared memory key ${key}`, "ipcs -m names its owner");
}

/**
 * IPC_STAT.
 *
 * @throws SystemError: EINVAL or EIDRM when it is gone, EACCES when it may not be read.
 */
export function segmentStatus(id: number): SegmentStatus {
  const data = new Uint8Array(SHMID_DS_SIZE);
  if (libc().shmctl(id, IPC_STAT, data) < 0) throw systemError("shmctl", `look at shared memory id ${id}`);
  const view = new DataView(data.buffer);
  return {
    key: view.getInt32(0, true),
    uid: view.getUint32(4, true),
    gid: view.getUint32(8, true),
    cuid: view.getUint32(12, true),
    mode: view.getUint32(20, true) & 0o7777,
    size: Number(view.getBigUint64(48, true)),
    creatorPid: view.getInt32(80, true),
    lastPid: view.getInt32(84, true),
    attachCount: Number(view.getBigUint64(88, true)),
  };
}

/** Marks a segment for removal: it goes when its last mapping does. Says whether it was there. */
export function removeSegment(id: number): boolean {
  return libc().shmctl(id, IPC_RMID, null) === 0;
}

/** Gives a segment the owner and the permissions of another. @throws SystemError EPERM unless it is one's own, or for root. */
export function shareLike(id: number, { uid, gid, mode }: SegmentStatus): void {
  const data = new Uint8Array(SHMID_DS_SIZE);
  const view = new DataView(data.buffer);
  view.setUint32(4, uid, true);
  view.setUint32(8, gid, true);
  view.setUint32(20, mode & 0o777, true);
  if (libc().shmctl(id, IPC_SET, data) < 0) throw systemError("shmctl", `give shared memory id ${id} to user ${uid}`);
}

/** A segment mapped into this process. */
export class SharedMemory implements Disposable {
  /** The segment's id in this host's kernel. */
  readonly id: number;
  /** The whole segment. Not to be touched after `detach`. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #pointer: Deno.PointerObject;
  #attached = true;

  private constructor(id: number, pointer: Deno.PointerObject, size: number) {
    this.id = id;
    this.#pointer = pointer;
    this.bytes = new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(pointer, size));
  }

  /**
   * Maps segment `id`, for writing unless told otherwise.
   *
   * @throws SystemError: EINVAL or EIDRM when it is gone, EACCES when its mode forbids, ENOMEM.
   */
  static attach(id: number, mode: "r" | "rw" = "rw"): SharedMemory {
    const pointer = libc().shmat(id, null, mode === "r" ? SHM_RDONLY : 0);
    // now: to look at the pointer makes a bigint, that may start the collector, and its waits leave an errno of their own
    const errno = lastErrno();
    if (pointer === null || BigInt(Deno.UnsafePointer.value(pointer)) === FAILED) {
      throw errnoError("shmat", errno, `attach shared memory id ${id}`, "ipcs -m names its owner and mode");
    }
    return new SharedMemory(id, pointer, segmentStatus(id).size);
  }

  /** The same; undefined when it is gone. */
  static attachIfThere(id: number, mode: "r" | "rw" = "rw"): SharedMemory | undefined {
    try {
      return SharedMemory.attach(id, mode);
    } catch (error) {
      if (error instanceof SystemError && (error.code === "EINVAL" || error.code === "EIDRM")) return undefined;
      throw error;
    }
  }

  /** The address of `bytes[offset]`, for the modules of this folder. */
  addressAt(offset: number): bigint {
    return BigInt(Deno.UnsafePointer.value(this.#pointer)) + BigInt(offset);
  }

  /**
   * Which pages from `offset` (a multiple of 4,096) have memory behind them: 1 in bit 0 of `pages[i]`. The others were never
   * written and are zero, as long as nothing of the host is swapped out. Asking allocates nothing, where a look would.
   *
   * @returns false when the kernel does not tell.
   */
  residency(offset: number, pages: Uint8Array<ArrayBuffer>): boolean {
    return libc().mincore(this.addressAt(offset), BigInt(pages.length * PAGE_SIZE), pages) === 0;
  }

  /** Gives the memory of the whole segment back to the kernel, for whoever else still maps it too: it reads as zeros. */
  discard(): void {
    libc().madvise(this.#pointer, BigInt(this.bytes.length), MADV_REMOVE);
  }

  /** Unmaps it; every view of it is dead afterwards. The second time does nothing. */
  detach(): void {
    if (!this.#attached) return;
    this.#attached = false;
    libc().shmdt(this.#pointer);
  }

  /** The same as {@linkcode detach}. */
  [Symbol.dispose](): void {
    this.detach();
  }
}
