/** epoll and eventfd by FFI: how one thread waits for many sockets. Level-triggered. */
import { ERRNO } from "../base/errno.ts";
import { lastErrno, libc, systemError } from "./libc.ts";
import { closeFd } from "./sockets.ts";

/** There is something to receive, or the peer sent its end. */
export const READABLE = 0x001;
/** There is room to send. */
export const WRITABLE = 0x004;
/** The connection is broken or gone; always reported. */
export const HUNG_UP = 0x018;

const EPOLL_CLOEXEC = 0o2000000;
const ADD = 1;
const DELETE = 2;
const MODIFY = 3;
const EVENTS_MAX = 256;
// struct epoll_event is packed to 12 bytes on x86-64 and padded to 16 elsewhere
const EVENT_SIZE = Deno.build.arch === "x86_64" ? 12 : 16;
const DATA_AT = EVENT_SIZE - 8;

/** A set of descriptors waited for together. */
export class Epoll implements Disposable {
  readonly #fd: number;
  readonly #events = new Uint8Array(EVENT_SIZE * EVENTS_MAX);
  readonly #words = new Int32Array(this.#events.buffer);
  readonly #one = new Uint8Array(EVENT_SIZE);
  readonly #oneView = new DataView(this.#one.buffer);

  /** @throws SystemError: EMFILE, ENFILE, ENOMEM. */
  constructor() {
    this.#fd = libc().epoll_create1(EPOLL_CLOEXEC);
    if (this.#fd < 0) throw systemError("epoll_create1", "make an epoll set");
  }

  #control(operation: number, fd: number, interest: number): void {
    this.#oneView.setUint32(0, interest, true);
    this.#oneView.setInt32(DATA_AT, fd, true);
    if (libc().epoll_ctl(this.#fd, operation, fd, this.#one) < 0) {
      throw systemError("epoll_ctl", `wait for descriptor ${fd}`);
    }
  }

  /** Waits for `interest` (READABLE, WRITABLE) on `fd` from now on. */
  add(fd: number, interest: number): void {
    this.#control(ADD, fd, interest);
  }

  /** Changes what is waited for on `fd`; 0 leaves only HUNG_UP. */
  modify(fd: number, interest: number): void {
    this.#control(MODIFY, fd, interest);
  }

  /** Forgets `fd`. */
  remove(fd: number): void {
    this.#control(DELETE, fd, 0);
  }

  /** Waits at most `timeoutMs` (-1: for ever, 0: not at all) and says how many descriptors have something. */
  wait(timeoutMs: number): number {
    const count = libc().epoll_wait(this.#fd, this.#events, EVENTS_MAX, timeoutMs);
    if (count >= 0) return count;
    if (lastErrno() === ERRNO.EINTR) return 0;
    throw systemError("epoll_wait", "wait for connections");
  }

  /** The descriptor of the `index`th event. */
  fdAt(index: number): number {
    return this.#words[(index * EVENT_SIZE + DATA_AT) >> 2] as number;
  }

  /** What happened to it. */
  eventAt(index: number): number {
    return this.#words[(index * EVENT_SIZE) >> 2] as number;
  }

  /** Closes the set. */
  [Symbol.dispose](): void {
    closeFd(this.#fd);
  }
}

const EFD_CLOEXEC_NONBLOCK = 0o2004000;

/** A counter that can be waited for like a socket: how one thread wakes another that sits in epoll. */
export class Eventfd implements Disposable {
  /** The descriptor, the same in every thread of this process. */
  readonly fd: number;
  readonly #word = new Uint8Array(8);

  /** @param fd an eventfd made by another thread, or a new one. @throws SystemError: EMFILE. */
  constructor(fd?: number) {
    this.fd = fd ?? libc().eventfd(0, EFD_CLOEXEC_NONBLOCK);
    if (this.fd < 0) throw systemError("eventfd", "make an eventfd");
  }

  /** Wakes whoever waits for it. */
  signal(): void {
    this.#word.fill(0);
    this.#word[0] = 1;
    libc().write(this.fd, this.#word, 8n);
  }

  /** Takes what was signalled, so that it is quiet again. */
  clear(): void {
    libc().read(this.fd, this.#word, 8n);
  }

  /** Closes it; only its maker does that. */
  [Symbol.dispose](): void {
    closeFd(this.fd);
  }
}
