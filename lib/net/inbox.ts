/**
 * What the connections of one round have sent, one after the other in one buffer, so that a service can serve them
 * together: all their guards in one system call.
 */
import type { Link } from "./transport.ts";

/** One connection's bytes: `bytes[start … end]`. */
export interface Received {
  /** Whose. */
  readonly link: Link;
  /** Where they begin; whoever consumes some moves it. */
  start: number;
  /** Where they end. */
  readonly end: number;
}

/** See the head of this file. */
export interface Inbox {
  /** The buffer of all. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The same, to read integers from. */
  readonly view: DataView<ArrayBuffer>;
  /** In the order they came. */
  readonly received: readonly Received[];
}
