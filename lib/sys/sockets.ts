/**
 * Sockets by FFI, IPv4 and IPv6, for the epoll transport: non-blocking, close-on-exec, no Nagle.
 *
 *   - A call on a socket never blocks and never raises SIGPIPE.
 *   - Results tell four things apart: a count, nothing now (AGAIN), the end (0 from `receive`), and broken (BROKEN).
 */
import { lookup } from "node:dns/promises";
import { invariant } from "../base/assert.ts";
import { ERRNO } from "../base/errno.ts";
import { SystemError } from "../base/errors.ts";
import { addressOf, errnoError, lastErrno, libc, systemError } from "./libc.ts";
import type { SharedMemory } from "./shared_memory.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_KEEPALIVE = 9;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const TCP_KEEPIDLE = 4;
const TCP_KEEPINTVL = 5;
const TCP_KEEPCNT = 6;
const TCP_USER_TIMEOUT = 18;
const MSG_NOSIGNAL = 0x4000;
const MSG_DONTWAIT = 0x40;
const BACKLOG = 4096;
const SOCKADDR_SIZE = 28;

/** Nothing can be received or sent now. */
export const AGAIN = -1;
/** The connection is broken: close it. */
export const BROKEN = -2;

/** Where a socket listens, or who is at its other end. */
export interface SocketAddress {
  /** A numeric address. */
  readonly host: string;
  /** The port. */
  readonly port: number;
}

/** @throws SystemError EADDRNOTAVAIL for what is no numeric address. */
function encodeAddress(host: string, port: number): Uint8Array<ArrayBuffer> {
  const isV6 = host.includes(":");
  const address = addressBytes(host);
  if (!address) {
    throw new SystemError("bind", "EADDRNOTAVAIL", `cannot listen on ${host}: EADDRNOTAVAIL; it is no numeric address`);
  }
  const bytes = new Uint8Array(isV6 ? SOCKADDR_SIZE : 16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, isV6 ? AF_INET6 : AF_INET, true);
  view.setUint16(2, port);
  bytes.set(address, isV6 ? 8 : 4);
  return bytes;
}

/** A numeric address in the network's order, 4 bytes or 16; undefined when it is none. */
export function addressBytes(host: string): number[] | undefined {
  return host.includes(":") ? ipv6Bytes(host) : ipv4Bytes(host);
}

/** Four bytes from dotted decimal, all four of them; undefined when it is something else. */
function ipv4Bytes(host: string): number[] | undefined {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(host)?.slice(1).map(Number);
  return parts?.every((part) => part <= 255) ? parts : undefined;
}

/** Sixteen bytes from an address without a zone, with or without `::` and a dotted end; undefined when it is none. */
function ipv6Bytes(host: string): number[] | undefined {
  const halves = host.split("::").map(wordsOf);
  const [head, tail] = halves;
  if (!head || halves.length > 2 || halves.includes(undefined)) return undefined;
  const missing = 8 - head.length - (tail?.length ?? 0);
  if (tail ? missing < 1 : missing !== 0) return undefined;
  const all = [...head, ...new Array<number>(missing).fill(0), ...(tail ?? [])];
  return all.flatMap((word) => [word >> 8, word & 255]);
}

function wordsOf(part: string): number[] | undefined {
  const words: number[] = [];
  for (const word of part === "" ? [] : part.split(":")) {
    const dotted = ipv4Bytes(word) as [number, number, number, number] | undefined;
    if (dotted) words.push(dotted[0] << 8 | dotted[1], dotted[2] << 8 | dotted[3]);
    else if (/^[\da-f]{1,4}$/i.test(word)) words.push(parseInt(word, 16));
    else return undefined;
  }
  return words;
}

function decodeAddress(bytes: Uint8Array<ArrayBuffer>): SocketAddress {
  const view = new DataView(bytes.buffer);
  const port = view.getUint16(2);
  if (view.getUint16(0, true) === AF_INET) return { host: bytes.subarray(4, 8).join("."), port };
  // an IPv4 caller of a server on all addresses is who he is, not what IPv6 dresses him in
  if (isMapped(bytes)) return { host: bytes.subarray(20, 24).join("."), port };
  const words = Array.from({ length: 8 }, (_, i) => view.getUint16(8 + 2 * i).toString(16));
  return { host: words.join(":").replace(/(^|:)0(:0)+(:|$)/, "::"), port };
}

function isMapped(address: Uint8Array): boolean {
  return address.subarray(8, 18).every((byte) => byte === 0) && address[18] === 0xff && address[19] === 0xff;
}

function setOption(fd: number, level: number, option: number, value: number): boolean {
  return libc().setsockopt(fd, level, option, new Uint8Array(new Int32Array([value]).buffer), 4) === 0;
}

/**
 * A listening socket on a numeric `host`; port 0 lets the kernel choose.
 *
 * @throws SystemError: EADDRINUSE when the port is taken, EACCES below 1024 without the right, EADDRNOTAVAIL.
 */
export function listen(host: string, port: number): number {
  const address = encodeAddress(host, port);
  const family = host.includes(":") ? AF_INET6 : AF_INET;
  const fd = libc().socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw systemError("socket", "make a socket");
  setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (libc().bind(fd, address, address.length) < 0 || libc().listen(fd, BACKLOG) < 0) {
    const errno = lastErrno();
    closeFd(fd);
    throw errnoError(
      "bind",
      errno,
      `listen on ${host}:${port}`,
      errno === ERRNO.EADDRINUSE ? "another process has that port (ss -ltnp names it); choose another port" : undefined,
    );
  }
  return fd;
}

/** Where a socket listens. */
export function localAddress(fd: number): SocketAddress {
  const bytes = new Uint8Array(SOCKADDR_SIZE);
  const size = new Uint8Array(new Uint32Array([SOCKADDR_SIZE]).buffer);
  if (libc().getsockname(fd, bytes, size) < 0) throw systemError("getsockname", "ask a socket for its port");
  return decodeAddress(bytes);
}

/** A connection just accepted. */
export interface Accepted {
  /** Its descriptor. */
  readonly fd: number;
  /** Who is at the other end. */
  readonly peer: SocketAddress;
}

/**
 * Accepts one connection.
 *
 * @param silentMsMax after how long without a sign of life from the peer's kernel the connection is broken off.
 * @returns undefined when none is waiting.
 * @throws SystemError: EMFILE, ENFILE, ENOMEM: there is one waiting and no room for it.
 */
export function accept(listener: number, silentMsMax: number): Accepted | undefined {
  const bytes = new Uint8Array(SOCKADDR_SIZE);
  const size = new Uint8Array(new Uint32Array([SOCKADDR_SIZE]).buffer);
  const fd = libc().accept4(listener, bytes, size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) {
    const errno = lastErrno();
    if (errno === ERRNO.EMFILE || errno === ERRNO.ENFILE || errno === ERRNO.ENOMEM) {
      throw errnoError("accept", errno, "accept a connection", "raise the limit of open files (ulimit -n)");
    }
    return undefined;
  }
  setOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  const seconds = Math.max(2, Math.round(silentMsMax / 1000));
  setOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  setOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, Math.ceil(seconds / 2));
  setOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, 1);
  setOption(fd, IPPROTO_TCP, TCP_KEEPCNT, Math.floor(seconds / 2));
  setOption(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, silentMsMax);
  return { fd, peer: decodeAddress(bytes) };
}

/** Closes a descriptor. */
export function closeFd(fd: number): void {
  libc().close(fd);
}

function failure(): number {
  const errno = lastErrno();
  return errno === ERRNO.EAGAIN || errno === ERRNO.EINTR ? AGAIN : BROKEN;
}

/** Receives at most `into.length` bytes: how many, 0 at the end of the stream, AGAIN or BROKEN. */
export function receive(fd: number, into: Uint8Array<ArrayBuffer>): number {
  const count = libc().recv(fd, into, BigInt(into.length), MSG_DONTWAIT);
  return count >= 0 ? count : failure();
}

/** Sends the first `size` bytes of `from`: how many went, AGAIN or BROKEN. */
export function send(fd: number, from: Uint8Array<ArrayBuffer>, size: number): number {
  const count = libc().send(fd, from, BigInt(size), MSG_DONTWAIT | MSG_NOSIGNAL);
  return count >= 0 ? count : failure();
}

/** Sizes and offsets as the FFI wants them, made once: a BigInt made per call costs as much as the call. */
const SMALL = Array.from({ length: 16 * 1024 }, (_, value) => BigInt(value));

function big(value: number): bigint {
  return SMALL[value] ?? BigInt(value);
}

/** A buffer that is sent from, or received into, so often that its address is kept. */
export class SocketBuffer {
  /** The bytes, kept alive by this object. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #address: bigint;
  readonly #size: bigint;

  /** @param bytes not to be resized or transferred. */
  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes;
    this.#address = addressOf(bytes);
    this.#size = BigInt(bytes.length);
  }

  #at(start: number, size: number): bigint {
    invariant(start >= 0 && size >= 0 && start + size <= this.bytes.length, "a socket call stays within its buffer");
    return start === 0 ? this.#address : this.#address + big(start);
  }

  /** Sends `size` bytes from `start`: how many went, AGAIN or BROKEN. */
  send(fd: number, start: number, size: number): number {
    const count = libc().sendAddress(fd, this.#at(start, size), big(size), MSG_DONTWAIT | MSG_NOSIGNAL);
    return count >= 0 ? count : failure();
  }

  /** Receives at most `size` bytes to `start`: how many, 0 at the end of the stream, AGAIN or BROKEN. */
  receive(fd: number, start: number, size: number): number {
    const most = size === this.bytes.length ? this.#size : big(size);
    const count = libc().recvAddress(fd, this.#at(start, size), most, MSG_DONTWAIT);
    return count >= 0 ? count : failure();
  }
}

// struct msghdr: name 8, namelen 4 (+4), iov 8, iovlen 8, control 8, controllen 8, flags 4 (+4); struct iovec: base 8, len 8
const messageWords = new BigUint64Array(7);
const message = new Uint8Array(messageWords.buffer);
const vectorWords = new BigUint64Array(4);
const vector = new Uint8Array(vectorWords.buffer);

/**
 * Sends the first `headSize` bytes of `head` and then `size` bytes of `memory` from `offset`, in one call and without
 * copying them on the way: how many went, AGAIN or BROKEN.
 */
export function sendFromMemory(
  fd: number,
  head: Uint8Array<ArrayBuffer>,
  headSize: number,
  memory: SharedMemory,
  offset: number,
  size: number,
): number {
  vectorWords[0] = addressOf(head);
  vectorWords[1] = BigInt(headSize);
  vectorWords[2] = memory.addressAt(offset);
  vectorWords[3] = BigInt(size);
  messageWords[2] = addressOf(vector);
  messageWords[3] = 2n;
  const count = libc().sendmsg(fd, message, MSG_DONTWAIT | MSG_NOSIGNAL);
  return count >= 0 ? count : failure();
}

/** The address of a host name, asked of the system as every other program does (/etc/hosts too). @throws SystemError. */
export async function numericHost(host: string): Promise<string> {
  if (/^[0-9.]+$/.test(host) || host.includes(":")) return host;
  if (host === "localhost") return "127.0.0.1";
  try {
    return (await lookup(host, { family: 4 })).address;
  } catch (error) {
    throw new SystemError("bind", "EADDRNOTAVAIL", `cannot find host ${host}: no such name; give an address`, error);
  }
}
