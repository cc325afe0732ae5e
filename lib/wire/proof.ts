/**
 * How two programs that know one secret prove it to each other, and the keys they have from then on.
 *
 *   - Everything comes from a hash over both sides' first frames, and so over both nonces, both versions, the claimed uid
 *     and the server's role: who changes any of it has other keys.
 *   - Each use has a label of its own, and each direction its own key: what one side said is worth nothing sent back to it.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";

const TRANSCRIPT_LABEL = "dsm 1";
const CLIENT_PROOF_LABEL = "client proof";
const TO_SERVER_LABEL = "client to server";
const TO_CLIENT_LABEL = "server to client";

/** What follows from a secret and the two frames of one conversation. */
export interface Exchange {
  /** What the client shows. */
  readonly proof: Uint8Array<ArrayBuffer>;
  /** Seals what the client sends. */
  readonly toServerKey: Uint8Array<ArrayBuffer>;
  /** Seals what the server sends. */
  readonly toClientKey: Uint8Array<ArrayBuffer>;
}

function hmac(key: Uint8Array, message: string | Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHmac("sha256", key).update(message).digest());
}

/** SHA-256 over the label and both frames, whole, each behind its length. */
export function transcriptOf(hello: Uint8Array, challenge: Uint8Array): Uint8Array<ArrayBuffer> {
  const hash = createHash("sha256").update(TRANSCRIPT_LABEL);
  for (const frame of [hello, challenge]) {
    const length = new DataView(new ArrayBuffer(4));
    length.setUint32(0, frame.length);
    hash.update(new Uint8Array(length.buffer)).update(frame);
  }
  return new Uint8Array(hash.digest());
}

/** What both sides compute. @param hello the client's frame, prefix included; @param challenge the server's. */
export function exchangeOf(secret: Uint8Array, hello: Uint8Array, challenge: Uint8Array): Exchange {
  const key = hmac(secret, transcriptOf(hello, challenge));
  return {
    proof: hmac(key, CLIENT_PROOF_LABEL),
    toServerKey: hmac(key, TO_SERVER_LABEL),
    toClientKey: hmac(key, TO_CLIENT_LABEL),
  };
}

/** Whether two proofs or tags are the same, in a time that does not tell where they differ. */
export function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}
