/**
 * Sealed records: what carries frames once both sides have proved the secret, as TLS's records do, but nothing is hidden.
 *
 *     u32 length of the body │ body: some bytes of the stream of frames │ 16 bytes: the tag
 *
 *   - The tag is HMAC-SHA256 over a 64-bit counter, the length and the body, cut to 16 bytes. The counter is the record's
 *     number in its direction, and is not sent: a record that is missing, repeated, moved or changed has a wrong tag.
 *   - Nothing of a record is looked at before all of it is there and its tag is right. What follows a wrong one never is.
 */
import { createHmac } from "node:crypto";
import { ProtocolError } from "../base/errors.ts";
import { isSame } from "./proof.ts";

/** The largest body of a record. */
export const RECORD_SIZE_MAX = 64 * 1024;
/** Bytes of the length before a body. */
export const RECORD_PREFIX_SIZE = 4;
/** Bytes of the tag after it. */
export const TAG_SIZE = 16;

const NOTHING = new Uint8Array(0);

/** Both sides count records, and make a tag of number, length and body. */
class Tagger {
  readonly #key: Uint8Array;
  readonly #head = new Uint8Array(12);
  readonly #view = new DataView(this.#head.buffer);
  #count = 0n;

  constructor(key: Uint8Array) {
    this.#key = key;
  }

  /** The tag of the next record. */
  next(body: Uint8Array): Uint8Array<ArrayBuffer> {
    this.#view.setBigUint64(0, this.#count++);
    this.#view.setUint32(8, body.length);
    const tag = createHmac("sha256", this.#key).update(this.#head).update(body).digest();
    return new Uint8Array(tag.buffer as ArrayBuffer, tag.byteOffset, TAG_SIZE);
  }
}

/** Seals what is sent in one direction. */
export class Sealer {
  readonly #tagger: Tagger;

  /** @param key of that direction. */
  constructor(key: Uint8Array) {
    this.#tagger = new Tagger(key);
  }

  /** `bytes` in as many records as they need, one after the other. */
  seal(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
    const count = Math.ceil(bytes.length / RECORD_SIZE_MAX);
    const sealed = new Uint8Array(bytes.length + count * (RECORD_PREFIX_SIZE + TAG_SIZE));
    const view = new DataView(sealed.buffer);
    let at = 0;
    for (let from = 0; from < bytes.length; from += RECORD_SIZE_MAX) {
      const body = bytes.subarray(from, from + RECORD_SIZE_MAX);
      view.setUint32(at, body.length);
      sealed.set(body, at + RECORD_PREFIX_SIZE);
      at += RECORD_PREFIX_SIZE + body.length;
      sealed.set(this.#tagger.next(body), at);
      at += TAG_SIZE;
    }
    return sealed;
  }
}

/** Opens what comes in one direction. */
export class Opener {
  readonly #tagger: Tagger;
  #held: Uint8Array<ArrayBuffer> = NOTHING;

  /** @param key of that direction. */
  constructor(key: Uint8Array) {
    this.#tagger = new Tagger(key);
  }

  /** Bytes of a record that has only begun to arrive: at most one record's. */
  get heldSize(): number {
    return this.#held.length;
  }

  /**
   * Takes what came, however it was cut on its way.
   *
   * @returns the bodies of all records that are whole now, in a buffer of their own; empty when there is none.
   * @throws ProtocolError for a record that is not the other side's next one. Nothing more may be given then.
   */
  open(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
    const all = this.#held.length === 0 ? bytes : joined(this.#held, bytes);
    const view = new DataView(all.buffer, all.byteOffset, all.length);
    const bodies = new Uint8Array(all.length);
    let size = 0;
    let at = 0;
    while (all.length - at >= RECORD_PREFIX_SIZE) {
      const length = view.getUint32(at);
      if (length === 0 || length > RECORD_SIZE_MAX) {
        throw new ProtocolError(`a sealed record of ${length} bytes; 1 to ${RECORD_SIZE_MAX} are allowed`);
      }
      const bodyAt = at + RECORD_PREFIX_SIZE;
      const end = bodyAt + length + TAG_SIZE;
      if (end > all.length) break;
      const body = all.subarray(bodyAt, bodyAt + length);
      if (!isSame(this.#tagger.next(body), all.subarray(bodyAt + length, end))) {
        throw new ProtocolError("a sealed record with a wrong tag: it was changed, or is not in its place");
      }
      bodies.set(body, size);
      size += length;
      at = end;
    }
    this.#held = at === all.length ? NOTHING : all.slice(at);
    return bodies.slice(0, size);
  }
}

function joined(one: Uint8Array, other: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(one.length + other.length);
  both.set(one);
  both.set(other, one.length);
  return both;
}

/** Both directions of one connection, as one of its sides has them. */
export interface Seal {
  /** For what is sent. */
  readonly sealer: Sealer;
  /** For what comes. */
  readonly opener: Opener;
}
