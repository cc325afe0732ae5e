/** A client made of bytes, to send what no proper client would. */
import { encodeFrame } from "../../lib/wire/frame.ts";
import { decodeHeader } from "../../lib/wire/frame.ts";
import type { Header } from "../../lib/wire/frame.ts";
import { MAGIC, PREFIX_SIZE, PROTOCOL_VERSION } from "../../lib/wire/messages.ts";
import type { Fields, MessageName } from "../../lib/wire/messages.ts";
import { within } from "./until.ts";

/** One frame's bytes. */
export function frame<N extends MessageName>(
  name: N,
  id: number,
  fields: Fields<N>,
  payload: Uint8Array = new Uint8Array(0),
): Uint8Array<ArrayBuffer> {
  return joined(encodeFrame(name, { id, incarnation: 0, epoch: 0 }, fields, payload.length), payload);
}

/** The bytes of all parts, one after the other. */
export function joined(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Magic and hello, as a proper client begins. */
export const HELLO: Uint8Array<ArrayBuffer> = joined(
  MAGIC,
  frame("hello", 0, {
    versionMin: PROTOCOL_VERSION,
    versionMax: PROTOCOL_VERSION,
    software: "test",
    token: new Uint8Array(0),
    nonce: new Uint8Array(0),
    uid: 0,
  }),
);

/** A connection whose bytes a test says itself. */
export class RawClient implements Disposable {
  readonly connection: Deno.TcpConn;
  #isOver = false;

  private constructor(connection: Deno.TcpConn) {
    this.connection = connection;
  }

  /** Connects. */
  static async connect(port: number): Promise<RawClient> {
    const connection = await Deno.connect({ port });
    connection.setNoDelay(true);
    return new RawClient(connection);
  }

  /** Connects, says hello, hears welcome. */
  static async native(port: number): Promise<RawClient> {
    const client = await RawClient.connect(port);
    await client.send(HELLO);
    await client.receive(MAGIC.length);
    await client.reply();
    return client;
  }

  /** Sends all of `bytes`. */
  async send(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.connection.write(bytes.subarray(at));
  }

  /** Receives exactly `size` bytes. */
  async receive(size: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size;) {
      const count = await within("bytes", this.connection.read(bytes.subarray(at)));
      if (count === null) throw new Error(`the connection ended after ${at} of ${size} bytes`);
      at += count;
    }
    return bytes;
  }

  /** Receives one frame. */
  async reply(): Promise<{ header: Header; payload: Uint8Array<ArrayBuffer> }> {
    const prefix = new DataView((await this.receive(PREFIX_SIZE)).buffer);
    const header = decodeHeader(await this.receive(prefix.getUint32(0)));
    return { header, payload: await this.receive(prefix.getUint32(4)) };
  }

  /** Receives until the server closes the connection, and says how much came. */
  async untilClosed(timeoutMs = 10_000): Promise<number> {
    const buffer = new Uint8Array(64 * 1024);
    let size = 0;
    try {
      for (;;) {
        const count = await within("the server to close", this.connection.read(buffer), timeoutMs);
        if (count === null) return size;
        size += count;
      }
    } catch (error) {
      if (error instanceof Deno.errors.ConnectionReset) return size;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.connection.close();
  }
}
