/** Native frames as bytes, and taken apart again, for tests that speak the protocol themselves. */
import { decodeHeader, encodeFrame, frameSizes } from "../../lib/wire/frame.ts";
import type { Header } from "../../lib/wire/frame.ts";
import { MAGIC, PREFIX_SIZE, PROTOCOL_VERSION } from "../../lib/wire/messages.ts";
import type { Fields, MessageName } from "../../lib/wire/messages.ts";

/** All of `parts`, one after the other. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** One whole frame. */
export function frame<N extends MessageName>(
  name: N,
  id: number,
  fields: Fields<N>,
  payload: Uint8Array = new Uint8Array(0),
  envelope: Pick<Header, "incarnation" | "epoch"> = { incarnation: 0, epoch: 0 },
): Uint8Array<ArrayBuffer> {
  return concat(encodeFrame(name, { id, ...envelope }, fields, payload.length), payload);
}

/** What begins a conversation: magic and hello; unless told otherwise of a client that has no secret and says it is root. */
export function hello(
  token: Uint8Array = new Uint8Array(0),
  version: number = PROTOCOL_VERSION,
  { nonce = new Uint8Array(0), uid = 0 }: { readonly nonce?: Uint8Array; readonly uid?: number } = {},
): Uint8Array<ArrayBuffer> {
  const fields = { versionMin: version, versionMax: version, software: "test", token, nonce, uid };
  return concat(MAGIC, frame("hello", 0, fields));
}

/** A frame that came. */
export interface Came {
  readonly header: Header;
  readonly payload: Uint8Array<ArrayBuffer>;
}

/** Bytes of a stream, read as they are asked for. */
export class Reader {
  #kept: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  readonly #stream: { read(into: Uint8Array): Promise<number | null> };

  constructor(stream: { read(into: Uint8Array): Promise<number | null> }) {
    this.#stream = stream;
  }

  /** The next `size` bytes; undefined when the stream ends before them. */
  async take(size: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    if (this.#kept.length < size) {
      const bytes = new Uint8Array(Math.max(size, 65_536));
      bytes.set(this.#kept);
      let have = this.#kept.length;
      while (have < size) {
        const count = await this.#stream.read(bytes.subarray(have)).catch(() => null);
        if (count === null) return undefined;
        have += count;
      }
      this.#kept = bytes.subarray(0, have);
    }
    const taken = this.#kept.slice(0, size);
    this.#kept = this.#kept.subarray(size);
    return taken;
  }

  /** The next `size` bytes, which must come. */
  async bytes(size: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = await this.take(size);
    if (!bytes) throw new Error(`the stream ended before ${size} bytes`);
    return bytes;
  }

  /** Everything until the end. */
  async rest(): Promise<Uint8Array<ArrayBuffer>> {
    const all: Uint8Array[] = [this.#kept];
    this.#kept = new Uint8Array(0);
    for (;;) {
      const bytes = new Uint8Array(65_536);
      const count = await this.#stream.read(bytes).catch(() => null);
      if (count === null) return concat(...all);
      all.push(bytes.subarray(0, count));
    }
  }

  /** The next frame, which must come. */
  async frame(): Promise<Came> {
    const prefix = await this.bytes(PREFIX_SIZE);
    const { headerSize, payloadSize } = frameSizes(new DataView(prefix.buffer), 0);
    return { header: decodeHeader(await this.bytes(headerSize)), payload: await this.bytes(payloadSize) };
  }
}

/** A native conversation with a server on this host, after its welcome. */
export interface Conversation {
  readonly connection: Deno.TcpConn;
  readonly reader: Reader;
  readonly welcome: Fields<"welcome">;
  /** How far the server was in the life of its cluster. */
  readonly envelope: Pick<Header, "incarnation" | "epoch">;
}

/** Begins a native conversation with the config server on `port`; with a token it goes on with a session. */
export async function converse(port: number, token?: Uint8Array<ArrayBuffer>): Promise<Conversation> {
  const connection = await Deno.connect({ port });
  const reader = new Reader(connection);
  const greeting = await reader.bytes(8);
  await reader.bytes(new DataView(greeting.buffer).getUint32(4));
  await writeAll(connection, hello(token));
  await reader.bytes(MAGIC.length);
  const { header } = await reader.frame();
  const { incarnation, epoch } = header;
  return { connection, reader, welcome: header.fields as Fields<"welcome">, envelope: { incarnation, epoch } };
}

/** Writes all of `bytes`. */
export async function writeAll(
  stream: { write(bytes: Uint8Array): Promise<number> },
  bytes: Uint8Array,
): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await stream.write(bytes.subarray(at));
}
