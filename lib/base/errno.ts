/**
 * The errno names that cross our wire, with Linux's numbers (include/uapi/asm-generic/errno-base.h and errno.h; the same
 * on x86-64 and arm64).
 */

/** Name to number. */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  E2BIG: 7,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  EFBIG: 27,
  ENOSPC: 28,
  EPIPE: 32,
  ERANGE: 34,
  ENOSYS: 38,
  ENOMSG: 42,
  EIDRM: 43,
  EPROTO: 71,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ECONNABORTED: 103,
  ECONNRESET: 104,
  ENOTCONN: 107,
  ETIMEDOUT: 110,
  EHOSTDOWN: 112,
  EINPROGRESS: 115,
  ESTALE: 116,
  EOWNERDEAD: 130,
} as const;

const NAMES = new Map<number, string>(Object.entries(ERRNO).map(([name, number]) => [number, name]));

/** The name of errno `number`, or `errno N` for one that is not in the table. */
export function errnoName(number: number): string {
  return NAMES.get(number) ?? `errno ${number}`;
}
