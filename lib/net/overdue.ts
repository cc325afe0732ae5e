/** When a transport has waited long enough for a peer. */
import { FRAME_MS_MAX, peerName } from "./transport.ts";
import type { Link } from "./transport.ts";

/** What of a link this is judged by. */
export interface Waiting extends Pick<Link, "peer" | "seal"> {
  /** Replies the peer has not taken. */
  readonly pending: { readonly length: number };
  /** Bytes of a frame that has begun to arrive. */
  readonly stash: { readonly size: number };
  /** Whether the link is not read from at the moment. */
  readonly isPaused: boolean;
  /** When the peer last took something, or the frame began to arrive. */
  readonly sinceMs: number;
}

/** Why a link is to be closed now, in a line for the log; undefined while it may stay. */
export function whyOverdue(link: Waiting, nowMs: number, stallMsMax: number): string | undefined {
  const waitedMs = nowMs - link.sinceMs;
  if (link.pending.length > 0) {
    if (waitedMs <= stallMsMax) return undefined;
    return `closed ${peerName(link.peer)}: it did not take its replies for ${stallMsMax} ms`;
  }
  const hasBegun = link.stash.size > 0 || (link.seal?.opener.heldSize ?? 0) > 0;
  if (!hasBegun || link.isPaused || waitedMs <= FRAME_MS_MAX) return undefined;
  return `closed ${peerName(link.peer)}: a frame did not arrive within ${FRAME_MS_MAX} ms`;
}
