/** A client of the simple dialect for tests: what it says is made by hand, so that it can also say what is wrong. */
import { assertEquals } from "@std/assert";
import { SIMPLE_COMMANDS, SIMPLE_REPLY_SIZE, SIMPLE_REQUEST_SIZE } from "../../lib/wire/simple.ts";
import type { SimpleCommandName } from "../../lib/wire/simple.ts";
import { joined, RawClient } from "./raw.ts";

/** A request's words; those left out are 0. */
export interface Words {
  readonly size?: number;
  readonly shmid?: number;
  readonly flags?: number;
  readonly offset?: number;
}

/** What came back. */
export interface SimpleReply {
  readonly result: number;
  readonly error: number;
  readonly data: Uint8Array<ArrayBuffer>;
}

/** A request's bytes; `size` is that of the data unless the words say otherwise. */
export function simpleBytes(
  command: SimpleCommandName | number,
  words: Words = {},
  data: Uint8Array = new Uint8Array(0),
): Uint8Array<ArrayBuffer> {
  const code = typeof command === "number" ? command : SIMPLE_COMMANDS[command].code;
  const { size = data.length, shmid = 0, flags = 0, offset = 0 } = words;
  const head = new Uint8Array(SIMPLE_REQUEST_SIZE);
  const view = new DataView(head.buffer);
  [code, size, shmid, flags, offset].forEach((word, index) => view.setUint32(4 * index, word));
  return joined(head, data);
}

/** The 8 bytes of a size. */
export function sizeBytes(size: number | bigint): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(size), true);
  return bytes;
}

/** One connection. */
export class SimpleClient implements Disposable {
  readonly raw: RawClient;

  private constructor(raw: RawClient) {
    this.raw = raw;
  }

  static async connect(port: number): Promise<SimpleClient> {
    return new SimpleClient(await RawClient.connect(port));
  }

  /** Sends a request and receives its reply. */
  async ask(command: SimpleCommandName | number, words?: Words, data?: Uint8Array): Promise<SimpleReply> {
    await this.raw.send(simpleBytes(command, words, data));
    return await this.reply();
  }

  /** Receives one reply; an error's result is -1, and it has no data. */
  async reply(): Promise<SimpleReply> {
    const head = new DataView((await this.raw.receive(SIMPLE_REPLY_SIZE)).buffer);
    const reply = {
      result: head.getInt32(0),
      error: head.getInt32(4),
      data: await this.raw.receive(head.getUint32(8)),
    };
    if (reply.error !== 0) assertEquals([reply.result, reply.data.length], [-1, 0]);
    return reply;
  }

  /** A request that must be carried out; returns its reply. */
  async call(command: SimpleCommandName, words?: Words, data?: Uint8Array): Promise<SimpleReply> {
    const reply = await this.ask(command, words, data);
    assertEquals(reply.error, 0, `${command} ${JSON.stringify(words)}`);
    return reply;
  }

  /** A request that must be refused; returns the errno. */
  async errno(command: SimpleCommandName | number, words?: Words, data?: Uint8Array): Promise<number> {
    return (await this.ask(command, words, data)).error;
  }

  /** CMD_CREATE_SEGMENT that must be carried out. @returns the id. */
  async create(key: number, size: number | bigint, flags: number): Promise<number> {
    return (await this.call("CMD_CREATE_SEGMENT", { shmid: key, flags }, sizeBytes(size))).result;
  }

  async attach(id: number, flags = 0): Promise<void> {
    await this.call("CMD_ATTACH_SEGMENT", { shmid: id, flags });
  }

  async detach(id: number): Promise<void> {
    await this.call("CMD_DETACH_SEGMENT", { shmid: id });
  }

  async read(id: number, offset: number, size: number): Promise<Uint8Array<ArrayBuffer>> {
    const { result, data } = await this.call("CMD_READ_DATA", { shmid: id, offset, size });
    assertEquals(result, size);
    return data;
  }

  async write(id: number, offset: number, bytes: Uint8Array): Promise<void> {
    const { result } = await this.call("CMD_WRITE_DATA", { shmid: id, offset }, bytes);
    assertEquals(result, bytes.length);
  }

  /** CMD_GET_STATUS. */
  async status(id: number): Promise<{ readonly size: number; readonly nattch: number; readonly mode: number }> {
    const view = new DataView((await this.call("CMD_GET_STATUS", { shmid: id })).data.buffer);
    return {
      size: Number(view.getBigUint64(0, true)),
      nattch: view.getUint32(8, true),
      mode: view.getUint32(12, true),
    };
  }

  close(): void {
    this.raw[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
