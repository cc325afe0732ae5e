/**
 * The line between moving bytes and understanding them: a *transport* moves, a *service* understands, a *link* is one
 * connection as both see it.
 *
 *   - A service is synchronous and lives on the transport's thread. It never waits: what cannot be answered now is
 *     remembered, the link is paused, and resumed later.
 *   - Replies are put into the transport's one output buffer and sent together when the service returns.
 *   - A link whose peer does not take its replies is not read from; after STALL it is closed. So nothing a peer does or
 *     leaves undone makes a server keep more than what is named here.
 */
import type { SocketAddress } from "../sys/sockets.ts";
import type { Seal } from "../wire/seal.ts";
import type { Inbox } from "./inbox.ts";

/** What is received at once, and the most a small frame may be split over. */
export const RECEIVE_SIZE = 512 * 1024;
/** Room for the replies of one batch. */
export const OUTPUT_SIZE = 1024 * 1024;
/** Replies not yet taken by the peers of all links together, in bytes: beyond it large reads wait. */
export const PENDING_TOTAL_MAX = 256 * 1024 * 1024;
/** Bytes of half-received frames of all links together: beyond it a link that wants more room is closed. */
export const STASH_TOTAL_MAX = 512 * 1024 * 1024;
/** How long one frame may take to arrive. */
export const FRAME_MS_MAX = 120_000;
/** A peer whose kernel is silent that long is gone. */
export const SILENT_MS_MAX = 10_000;
/** How long a peer may leave its replies untaken, unless asked otherwise. */
export const STALL_MS_MAX = 30_000;

/** Replies on their way out: a buffer, and how much of it is filled. */
export class Output {
  /** The buffer. */
  readonly bytes: Uint8Array<ArrayBuffer> = new Uint8Array(OUTPUT_SIZE);
  /** The same, to put integers into. */
  readonly view: DataView<ArrayBuffer> = new DataView(this.bytes.buffer);
  /** Bytes filled. */
  size = 0;

  /** Whether `size` more bytes fit. */
  hasRoom(size: number): boolean {
    return this.size + size <= OUTPUT_SIZE;
  }
}

/** One connection. */
export interface Link {
  /** Who is at the other end. */
  readonly peer: SocketAddress;
  /** The address that was called. */
  readonly local: SocketAddress;
  /** Whether the bytes travel in TLS. */
  readonly isEncrypted: boolean;
  /** Set by the service: whatever is sent and received from then on is sealed. Nothing may be left to be sent. */
  seal: Seal | undefined;
  /** Replies put here go to this link at the next `flush`, or when the service returns. */
  readonly output: Output;
  /** Whether replies are waiting for the peer to take them: serve nothing more until it has. */
  readonly isBlocked: boolean;
  /** What the service knows about this connection. */
  state: unknown;
  /** Whether a reply of `size` bytes may be begun: false while peers leave too much untaken. */
  hasRoomFor(size: number): boolean;
  /** Sends what is in the output. */
  flush(): void;
  /** Says that what was put into the output since the last link's replies is this one's, to be sent soon. */
  endReplies(): void;
  /** Sends what is in the output, then `size` bytes of the region from `offset`; what does not go at once is copied. */
  sendMemory(offset: number, size: number): void;
  /** Says that `received` makes no progress before that many bytes are there. Checked against what may be buffered. */
  want(size: number): void;
  /** Stops reading. */
  pause(): void;
  /** Reads on; bytes already here are given to `received` again, though not from within it. */
  resume(): void;
  /** Sends what is in the output, as far as the peer takes it now, and closes. */
  close(): void;
}

/** What understands the bytes. */
export interface Service {
  /** A connection came. */
  opened(link: Link): void;
  /**
   * Bytes came: `bytes[start … end]`, those not consumed before first. `view` is over the same buffer.
   *
   * @returns up to where they were consumed. They are gone afterwards: nothing may keep a view of them.
   * @throws ProtocolError to have the link closed and a line logged.
   */
  received(link: Link, bytes: Uint8Array<ArrayBuffer>, view: DataView, end: number, start?: number): number;
  /**
   * Bytes of several links came at once. The service may consume what it can serve together, saying `endReplies` to each
   * link whose replies are in the output; what it leaves comes to `received`. It does not throw.
   */
  receivedTogether?(inbox: Inbox): void;
  /** A connection went. */
  closed(link: Link): void;
  /** In how many ms `tick` wants to be called; Infinity: not at all. */
  nextTickMs(): number;
  /** What is due by the clock. */
  tick(): void;
}

/** What a transport tells about itself while it runs. */
export interface TransportEvents {
  /** A line for the log. */
  log(level: "debug" | "info" | "warn" | "error", message: string): void;
}

/** How a transport is to behave. */
export interface TransportOptions {
  /** How long a peer may leave its replies untaken, in ms. */
  readonly stallMsMax: number;
}

/** A name for a peer in logs. */
export function peerName(peer: SocketAddress): string {
  return peer.host.includes(":") ? `[${peer.host}]:${peer.port}` : `${peer.host}:${peer.port}`;
}
