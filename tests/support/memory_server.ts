/** Memory servers of a test's own, within its process: private keys, a port of the kernel's choice, nothing left behind. */
import { assertEquals, assertStrictEquals } from "@std/assert";
import { FooterWord } from "../../lib/memory/layout.ts";
import { MemoryServer } from "../../lib/node/memory/memory_server.ts";
import type { MemoryServerRequest } from "../../lib/node/memory/memory_server.ts";
import { ClusterSource } from "../../lib/node/simple/cluster_source.ts";
import { SimpleHost } from "../../lib/node/simple/simple_host.ts";
import { libc } from "../../lib/sys/libc.ts";
import { findSet, setSize } from "../../lib/sys/semaphores.ts";
import { findSegment } from "../../lib/sys/shared_memory.ts";
import { MAGIC } from "../../lib/wire/messages.ts";
import type { Fields, MessageName } from "../../lib/wire/messages.ts";
import { concat, frame, hello, Reader, writeAll } from "./frames.ts";
import type { Came } from "./frames.ts";
import { Keys } from "./processes.ts";
import { within } from "./until.ts";

// loaded before any test begins, so that none is blamed for the library it leaves loaded
libc();

/** The transports there are. */
export const TRANSPORTS = ["epoll", "deno"] as const;
/** One of them. */
export type TransportName = (typeof TRANSPORTS)[number];

/** Bytes of a test's region, unless it asks for others. */
export const SIZE = 256 * 1024;
/** Bytes of its blocks. */
export const BLOCK_SIZE = 4096;

/** What a test asks for. */
export type TestServerOptions = Partial<MemoryServerRequest> & { readonly keys?: Keys };

/** A memory server and everything connected to it. */
export class TestServer implements AsyncDisposable {
  readonly server: MemoryServer;
  /** What it logged. */
  readonly lines: string[];
  readonly #keys: Keys | undefined;
  readonly #peers: Peer[] = [];
  readonly #livenessId: number;
  #isStopped = false;

  private constructor(server: MemoryServer, lines: string[], keys: Keys | undefined) {
    this.server = server;
    this.lines = lines;
    this.#keys = keys;
    this.#livenessId = server.region.word(FooterWord.livenessId);
  }

  /** Starts one. Keys that are given stay the test's. */
  static async start(transport: TransportName, options: TestServerOptions = {}): Promise<TestServer> {
    const { keys, ...request } = options;
    const own = keys ?? new Keys();
    const lines: string[] = [];
    try {
      const server = await MemoryServer.start({
        host: "127.0.0.1",
        port: 0,
        shmkey: own.shm,
        semkey: own.sem,
        size: SIZE,
        blockSize: BLOCK_SIZE,
        fill: 0,
        mode: 0o600,
        transport,
        holdMs: 0,
        stallMsMax: 30_000,
        simple: (home) => new SimpleHost(new ClusterSource(home, {}, () => {}), () => {}),
        ...request,
      }, (level, message) => lines.push(`${level}: ${message}`));
      assertEquals(server.transport, transport);
      return new TestServer(server, lines, keys ? undefined : own);
    } catch (error) {
      if (!keys) own[Symbol.dispose]();
      throw error;
    }
  }

  /** The region's bytes, as they lie in shared memory. */
  get data(): Uint8Array<ArrayBuffer> {
    return this.server.region.data;
  }

  /** A connection that has said nothing yet. */
  async dial(): Promise<Peer> {
    const stream = await Deno.connect({ hostname: "127.0.0.1", port: this.server.port });
    stream.setNoDelay(true);
    const peer = new Peer(stream);
    this.#peers.push(peer);
    return peer;
  }

  /** A connection that has said hello. */
  async greet(token?: Uint8Array): Promise<Peer> {
    const peer = await this.dial();
    await peer.greet(token);
    return peer;
  }

  /** Takes the guards of some blocks, as another program would; what is returned gives them back. */
  hold(first: number, last: number = first): Disposable {
    const { guards } = this.server.region;
    const plan = guards.plan();
    plan.clear();
    plan.addBlocks(first, last);
    assertStrictEquals(guards.tryTake(plan), "done");
    return { [Symbol.dispose]: () => void guards.give(plan) };
  }

  /** Stops it in order. */
  async stop(keep = false): Promise<boolean> {
    this.#isStopped = true;
    return await within("the server's end", this.server.stop(keep), 15_000);
  }

  /** Stops it, and sees that it leaves nothing. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const peer of this.#peers) peer.close();
    const keep = this.#keys === undefined;
    try {
      if (!this.#isStopped) await this.stop(keep);
      if (this.#keys) {
        const { shm, sem } = this.#keys;
        const left = [findSegment(shm), findSet(sem), setSize(this.#livenessId)];
        assertEquals(left, [undefined, undefined, undefined], "the server leaves nothing");
      }
    } finally {
      this.#keys?.[Symbol.dispose]();
    }
  }
}

/** One client, as raw as it likes. */
export class Peer implements Disposable {
  readonly stream: Deno.TcpConn;
  readonly reader: Reader;
  /** Its session's token, and whether it was resumed. */
  token: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  isResumed = false;
  #nextId = 1;

  constructor(stream: Deno.TcpConn) {
    this.stream = stream;
    this.reader = new Reader(stream);
  }

  /** Sends bytes. */
  send(...parts: Uint8Array[]): Promise<void> {
    return writeAll(this.stream, concat(...parts));
  }

  /** Says hello and hears welcome. */
  async greet(token?: Uint8Array): Promise<Fields<"welcome">> {
    await this.send(hello(token));
    return await this.welcomed();
  }

  /** Hears welcome. */
  async welcomed(): Promise<Fields<"welcome">> {
    assertEquals(await this.reader.bytes(MAGIC.length), MAGIC);
    const { header } = await this.reply(0);
    assertStrictEquals(header.name, "welcome");
    const fields = header.fields as Fields<"welcome">;
    this.token = fields.token.slice();
    this.isResumed = fields.resumed;
    return fields;
  }

  /** The next reply, which must be to request `id`. */
  async reply(id: number): Promise<Came> {
    const came = await within(`the reply to request ${id}`, this.reader.frame(), 15_000);
    assertEquals(came.header.id, id);
    return came;
  }

  /** One request, and its reply. */
  async request<N extends MessageName>(name: N, fields: Fields<N>, payload?: Uint8Array): Promise<Came> {
    const id = this.#nextId++;
    await this.send(frame(name, id, fields, payload));
    return await this.reply(id);
  }

  /** Reads; fails when that is refused. */
  async read(offset: number, size: number): Promise<Uint8Array<ArrayBuffer>> {
    const { header, payload } = await this.request("read", { offset, size });
    assertEquals(header.name, "readReply");
    return payload;
  }

  /** Writes; fails when that is refused. */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    const { header } = await this.request("write", { offset }, bytes);
    assertEquals(header.name, "writeReply");
  }

  /** Waits for the server to close, sees that it says nothing more before. */
  async isClosed(): Promise<void> {
    const rest = await within("the server to close the connection", this.reader.rest(), 15_000);
    assertEquals(rest.length, 0, `${rest.length} bytes more`);
  }

  /** Closes it. */
  close(): void {
    try {
      this.stream.close();
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
