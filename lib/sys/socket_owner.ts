/**
 * Whose a TCP socket on this host is, asked of the kernel over netlink (sock_diag): one look-up in its hash table, where
 * /proc/net/tcp would list every connection there is.
 *
 * Offsets are those of `struct inet_diag_req_v2` and `struct inet_diag_msg` behind a `struct nlmsghdr` of 16 bytes.
 */
import { isFfiAvailable, libc } from "./libc.ts";
import { addressBytes } from "./sockets.ts";
import type { SocketAddress } from "./sockets.ts";

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_SOCK_DIAG = 4;
const SOCK_DIAG_BY_FAMILY = 20;
const NLM_F_REQUEST = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const IPPROTO_TCP = 6;
const TCP_LISTEN = 10;
const MSG_DONTWAIT = 0x40;

const REQUEST_SIZE = 72;
const REPLY_SIZE_MAX = 4096;
const REPLY_SIZE_MIN = 88;
const OFFSET = { type: 4, state: 17, uid: 80, inode: 84 } as const;
const ENOENT = 2;
const NLMSG_ERROR = 2;

/** What the kernel says of a socket. */
export type SocketOwner =
  /** Whose it is. */
  | { readonly uid: number }
  /** There is none, or no process has it open any more. */
  | "none"
  /** The kernel cannot be asked. */
  | "unknown";

/** The owner of the socket at `own` that is connected to `other`; both ends are on this host. */
export function socketOwner(own: SocketAddress, other: SocketAddress): SocketOwner {
  const request = requestFor(own, other);
  if (!request || !isFfiAvailable()) return "unknown";
  const fd = libc().socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (fd < 0) return "unknown";
  try {
    if (libc().send(fd, request, BigInt(request.length), 0) !== request.length) return "unknown";
    const reply = new Uint8Array(REPLY_SIZE_MAX);
    // the kernel answers before send returns
    return ownerIn(reply, libc().recv(fd, reply, BigInt(reply.length), MSG_DONTWAIT));
  } finally {
    libc().close(fd);
  }
}

function requestFor(own: SocketAddress, other: SocketAddress): Uint8Array<ArrayBuffer> | undefined {
  const from = addressBytes(own.host);
  const to = addressBytes(other.host);
  if (!from || !to || from.length !== to.length) return undefined;
  const bytes = new Uint8Array(REQUEST_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, REQUEST_SIZE, true);
  view.setUint16(4, SOCK_DIAG_BY_FAMILY, true);
  view.setUint16(6, NLM_F_REQUEST, true);
  bytes[16] = from.length === 4 ? AF_INET : AF_INET6;
  bytes[17] = IPPROTO_TCP;
  view.setUint32(20, 0xffff_ffff, true); // in whatever state
  view.setUint16(24, own.port);
  view.setUint16(26, other.port);
  bytes.set(from, 28);
  bytes.set(to, 44);
  bytes.fill(0xff, 64, 72); // no cookie is known
  return bytes;
}

function ownerIn(reply: Uint8Array<ArrayBuffer>, size: number): SocketOwner {
  const view = new DataView(reply.buffer);
  const type = size >= 20 ? view.getUint16(OFFSET.type, true) : 0;
  if (type === NLMSG_ERROR) return view.getInt32(16, true) === -ENOENT ? "none" : "unknown";
  if (type !== SOCK_DIAG_BY_FAMILY || size < REPLY_SIZE_MIN) return "unknown";
  // of a socket that its process has closed the kernel says uid 0, and no inode; who listens there is another one
  if (view.getUint32(OFFSET.inode, true) === 0 || reply[OFFSET.state] === TCP_LISTEN) return "none";
  return { uid: view.getUint32(OFFSET.uid, true) };
}
