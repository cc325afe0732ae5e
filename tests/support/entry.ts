/** Conversations that begin with a challenge, step by step, so that a test can go wrong at each of them. */
import { Opener, Sealer } from "../../lib/wire/seal.ts";
import { exchangeOf } from "../../lib/wire/proof.ts";
import type { Exchange } from "../../lib/wire/proof.ts";
import { MAGIC, NONCE_SIZE } from "../../lib/wire/messages.ts";
import { decodeHeader, encodeFrame, frameSizes } from "../../lib/wire/frame.ts";
import type { Header } from "../../lib/wire/frame.ts";
import { concat, frame, hello, Reader, writeAll } from "./frames.ts";
import { within } from "./until.ts";

const PREFIX_SIZE = 8;

/** A secret nobody else has. */
export function freshSecret(): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(crypto.getRandomValues(new Uint8Array(32)).toHex());
}

/** Where a server is. */
export interface Where {
  readonly host: string;
  readonly port: number;
}

/** A client before the door. */
export class Caller implements Disposable {
  readonly stream: Deno.TcpConn;
  readonly reader: Reader;
  /** All it has sent. */
  sent: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  /** Set once it has a challenge and a secret. */
  exchange: Exchange | undefined;
  #sealer: Sealer | undefined;
  #opener: Opener | undefined;

  private constructor(stream: Deno.TcpConn) {
    this.stream = stream;
    this.reader = new Reader(stream);
  }

  /** Connects. */
  static async dial({ host, port }: Where): Promise<Caller> {
    const stream = await Deno.connect({ hostname: host, port });
    stream.setNoDelay(true);
    return new Caller(stream);
  }

  /** Connects, says hello with a nonce and a uid, hears the challenge, and shows no proof yet. */
  static async challenged(
    where: Where,
    secret: Uint8Array,
    { uid = 4711, nonce = crypto.getRandomValues(new Uint8Array(NONCE_SIZE)) } = {},
  ): Promise<Caller> {
    const caller = await Caller.dial(where);
    const words = hello(new Uint8Array(0), 1, { nonce, uid });
    await caller.send(words);
    caller.exchange = exchangeOf(secret, words.subarray(MAGIC.length), await caller.challenge());
    return caller;
  }

  /** The same, and is let in; `welcome` has been read. */
  static async welcomed(where: Where, secret: Uint8Array, uid?: number): Promise<Caller> {
    const caller = await Caller.challenged(where, secret, uid === undefined ? {} : { uid });
    const { proof, toServerKey, toClientKey } = caller.exchange as Exchange;
    await caller.send(frame("prove", 0, { proof }));
    caller.#sealer = new Sealer(toServerKey);
    caller.#opener = new Opener(toClientKey);
    const { header } = await caller.sealedReply();
    if (header.name !== "welcome") throw new Error(`${header.name} instead of welcome`);
    return caller;
  }

  /** Sends bytes as they are. */
  async send(...parts: Uint8Array[]): Promise<void> {
    const bytes = concat(...parts);
    this.sent = concat(this.sent, bytes);
    await writeAll(this.stream, bytes);
  }

  /** The challenge's frame, after the magic. */
  async challenge(): Promise<Uint8Array<ArrayBuffer>> {
    await within("the magic", this.reader.bytes(MAGIC.length));
    const { header } = await within("a challenge", this.reader.frame());
    if (header.name !== "challenge") throw new Error(`${header.name} instead of a challenge`);
    return encodeFrame("challenge", header, header.fields);
  }

  /** The bytes of frames as the next record. */
  seal(...frames: Uint8Array[]): Uint8Array<ArrayBuffer> {
    return (this.#sealer as Sealer).seal(concat(...frames));
  }

  /** The next record's bytes as they came. */
  async record(): Promise<Uint8Array<ArrayBuffer>> {
    const prefix = await within("a record", this.reader.bytes(4));
    const size = new DataView(prefix.buffer).getUint32(0);
    return concat(prefix, await within("a record", this.reader.bytes(size + 16)));
  }

  /** The one frame of the next record. */
  async sealedReply(): Promise<{ header: Header; payload: Uint8Array<ArrayBuffer> }> {
    const body = (this.#opener as Opener).open(await this.record());
    const { headerSize } = frameSizes(new DataView(body.buffer), 0);
    const header = decodeHeader(body.subarray(PREFIX_SIZE, PREFIX_SIZE + headerSize));
    return { header, payload: body.slice(PREFIX_SIZE + headerSize) };
  }

  /** What comes until the server closes. */
  rest(): Promise<Uint8Array<ArrayBuffer>> {
    return within("the server to close", this.reader.rest());
  }

  [Symbol.dispose](): void {
    this.stream.close();
  }
}
