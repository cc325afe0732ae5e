/**
 * The C library by FFI: one table of symbols, opened once per thread, and errno.
 *
 *   - Everything that touches a pointer stays in this folder; nobody above sees a `Deno.PointerValue`.
 *   - `errno` is read from the thread's own cell right after a synchronous call. After a `nonblocking` call it is lost,
 *     so such a call tells only success from failure.
 *   - A result of 64 bits becomes a bigint, whose making may start the collector, whose waits leave an errno of their own
 *     (seen about once in a million calls): where errno matters a result has 32 bits.
 *   - A `usize` is given as a BigInt: a number takes a path ten times slower.
 */
import { SystemError } from "../base/errors.ts";
import { errnoName } from "../base/errno.ts";

const SYMBOLS = {
  __errno_location: { parameters: [], result: "pointer" },
  close: { parameters: ["i32"], result: "i32" },
  sched_yield: { parameters: [], result: "i32" },
  kill: { parameters: ["i32", "i32"], result: "i32" },
  tgkill: { parameters: ["i32", "i32", "i32"], result: "i32" },
  getpwuid: { parameters: ["u32"], result: "pointer" },
  getgrgid: { parameters: ["u32"], result: "pointer" },
  // shared memory
  shmget: { parameters: ["i32", "usize", "i32"], result: "i32" },
  shmat: { parameters: ["i32", "pointer", "i32"], result: "pointer" },
  shmdt: { parameters: ["pointer"], result: "i32" },
  shmctl: { parameters: ["i32", "i32", "buffer"], result: "i32" },
  madvise: { parameters: ["pointer", "usize", "i32"], result: "i32" },
  mincore: { parameters: ["usize", "usize", "buffer"], result: "i32" },
  // semaphores
  semget: { parameters: ["i32", "i32", "i32"], result: "i32" },
  semctl: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  semop: { parameters: ["i32", "pointer", "usize"], result: "i32" },
  semtimedop: { parameters: ["i32", "pointer", "usize", "buffer"], result: "i32", nonblocking: true },
  semtimedopBlocking: {
    name: "semtimedop",
    parameters: ["i32", "pointer", "usize", "buffer"],
    result: "i32",
  },
  // message queues
  msgget: { parameters: ["i32", "i32"], result: "i32" },
  msgsnd: { parameters: ["i32", "pointer", "usize", "i32"], result: "i32" },
  msgsndBackground: {
    name: "msgsnd",
    parameters: ["i32", "pointer", "usize", "i32"],
    result: "i32",
    nonblocking: true,
  },
  msgrcv: { parameters: ["i32", "pointer", "usize", "i64", "i32"], result: "i32" },
  msgrcvBackground: {
    name: "msgrcv",
    parameters: ["i32", "pointer", "usize", "i64", "i32"],
    result: "i32",
    nonblocking: true,
  },
  msgctl: { parameters: ["i32", "i32", "buffer"], result: "i32" },
  // files and sockets
  read: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  write: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  lseek: { parameters: ["i32", "i64", "i32"], result: "i64" },
  ioctlInteger: { name: "ioctl", parameters: ["i32", "u64", "u64"], result: "i32" },
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
  pread: { parameters: ["i32", "buffer", "usize", "i64"], result: "isize", nonblocking: true },
  pwrite: { parameters: ["i32", "buffer", "usize", "i64"], result: "isize", nonblocking: true },
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  listen: { parameters: ["i32", "i32"], result: "i32" },
  accept4: { parameters: ["i32", "buffer", "buffer", "i32"], result: "i32" },
  recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
  send: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
  recvAddress: { name: "recv", parameters: ["i32", "usize", "usize", "i32"], result: "i32" },
  sendAddress: { name: "send", parameters: ["i32", "usize", "usize", "i32"], result: "i32" },
  sendmsg: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  epoll_create1: { parameters: ["i32"], result: "i32" },
  epoll_ctl: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  epoll_wait: { parameters: ["i32", "buffer", "i32", "i32"], result: "i32" },
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

type Libc = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

let opened: { symbols: Libc; errno: Int32Array } | undefined;

function open(): { symbols: Libc; errno: Int32Array } {
  if (opened) return opened;
  const symbols = Deno.dlopen("libc.so.6", SYMBOLS).symbols;
  const cell = symbols.__errno_location();
  if (cell === null) throw new SystemError("__errno_location", "ENOSYS", "this C library keeps no errno");
  opened = { symbols, errno: new Int32Array(Deno.UnsafePointerView.getArrayBuffer(cell, 4)) };
  return opened;
}

/**
 * The C library's functions, for the modules of this folder.
 *
 * @throws an error of Deno's when `--allow-ffi` was not given or the library is not glibc.
 */
export function libc(): Libc {
  return (opened ?? open()).symbols;
}

/** errno of this thread's last failed call, as a number; meaningful only right after it. */
export function lastErrno(): number {
  return (opened ?? open()).errno[0] as number;
}

/** Whether the C library can be called at all here. */
export function isFfiAvailable(): boolean {
  try {
    open();
    return true;
  } catch {
    return false;
  }
}

/** Builds the error of a call that has just failed; `what` says what was being done, `next` what the user may do. */
export function systemError(call: string, what: string, next?: string): SystemError {
  return errnoError(call, lastErrno(), what, next);
}

/** The same for an errno that was kept. */
export function errnoError(call: string, errno: number, what: string, next?: string): SystemError {
  const code = errnoName(errno);
  return new SystemError(call, code, `cannot ${what}: ${code}${next ? `; ${next}` : ""}`);
}

/** The address of `bytes`; valid only as long as the caller keeps `bytes` alive. */
export function addressOf(bytes: Uint8Array<ArrayBuffer>): bigint {
  return BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes)));
}
