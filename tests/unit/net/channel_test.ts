/** lib/net/channel.ts against servers whose every byte the test decides. */
import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "@std/assert";
import { PeerLostError, ProtocolError, SystemError, TimeoutError } from "../../../lib/base/errors.ts";
import { Channel } from "../../../lib/net/channel.ts";
import type { EpochWord } from "../../../lib/wire/epoch.ts";
import { encodeGreeting } from "../../../lib/wire/classic.ts";
import { encodeFrame } from "../../../lib/wire/frame.ts";
import { MAGIC, OPERATION_SIZE_MAX, REMEMBERED_MAX, TOKEN_SIZE } from "../../../lib/wire/messages.ts";
import type { Fields } from "../../../lib/wire/messages.ts";
import { concat, frame, Reader, writeAll } from "../../support/frames.ts";
import type { Came } from "../../support/frames.ts";
import { seededTest } from "../../support/seeded.ts";
import { until, within } from "../../support/until.ts";

/** One connection as the server sees it. */
class Guest {
  readonly reader: Reader;
  constructor(readonly stream: Deno.TcpConn) {
    this.reader = new Reader(stream);
  }
  send(...parts: Uint8Array[]): Promise<void> {
    return writeAll(this.stream, concat(...parts));
  }
  /** Takes the hello and answers it. */
  async welcome(
    token: Uint8Array = new Uint8Array(TOKEN_SIZE).fill(7),
    resumed = false,
    cookie = "",
  ): Promise<Fields<"hello">> {
    assertEquals(await this.reader.bytes(MAGIC.length), MAGIC);
    const { header } = await this.reader.frame();
    assertStrictEquals(header.name, "hello");
    await this.send(MAGIC, frame("welcome", header.id, { version: 1, role: "server", token, resumed, cookie }));
    return header.fields as Fields<"hello">;
  }
  /** The next `count` frames. */
  async frames(count: number): Promise<Came[]> {
    const frames: Came[] = [];
    while (frames.length < count) frames.push(await this.reader.frame());
    return frames;
  }
}

/** A server made of `serve`, called with each connection in turn; what it throws fails the test. */
class ScriptedServer implements AsyncDisposable {
  readonly port: number;
  connectionCount = 0;
  readonly #listener: Deno.TcpListener;
  readonly #streams: Deno.TcpConn[] = [];
  readonly #done: Promise<void>;
  #error: unknown;

  constructor(serve: (guest: Guest, index: number) => Promise<void>, port = 0) {
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port });
    this.port = this.#listener.addr.port;
    this.#done = this.#accept(serve);
  }

  async #accept(serve: (guest: Guest, index: number) => Promise<void>): Promise<void> {
    const talks: Promise<void>[] = [];
    for await (const stream of this.#listener) {
      this.#streams.push(stream);
      talks.push(
        serve(new Guest(stream), this.connectionCount++).catch((error) => {
          this.#error ??= error;
        }),
      );
    }
    await Promise.all(talks);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const stream of this.#streams) close(stream);
    await this.#done;
    if (this.#error) throw this.#error;
  }
}

function close(stream: Deno.TcpConn): void {
  try {
    stream.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}

function channelTo(port: number, epoch: EpochWord = { incarnation: 0, epoch: 0 }): Channel {
  return new Channel("127.0.0.1", port, epoch);
}

/** Until the peer closes. */
async function untilClosed(guest: Guest): Promise<void> {
  await guest.reader.rest();
}

Deno.test("channel: requests of one turn leave in one write, and replies in any order find them", async () => {
  const count = 300;
  await using server = new ScriptedServer(async (guest) => {
    await guest.welcome();
    const asked = await guest.frames(count);
    const replies = asked.map(({ header }) => {
      assertStrictEquals(header.name, "read");
      const { offset, size } = header.fields as Fields<"read">;
      return frame("readReply", header.id, {}, new Uint8Array(size).fill(offset));
    });
    await guest.send(...replies.reverse());
    await untilClosed(guest);
  });
  await using channel = channelTo(server.port);
  const replies = await Promise.all(Array.from({ length: count }, (_, i) => channel.read(i, i % 7)));
  replies.forEach((bytes, i) => assertEquals(bytes, new Uint8Array(i % 7).fill(i)));
  assertEquals([channel.role, channel.isConnected, server.connectionCount], ["server", true, 1]);
});

Deno.test("channel: read, write and fetchAdd say on the wire what they were asked", async () => {
  await using server = new ScriptedServer(async (guest) => {
    const asked = await guest.welcome();
    assertEquals([asked.versionMin, asked.versionMax, asked.token.length], [1, 1, 0]);
    const [read, write, add] = await guest.frames(3) as [Came, Came, Came];
    assertEquals([read.header.name, read.header.fields], ["read", { offset: 2 ** 40, size: 3 }] as never);
    assertEquals([write.header.name, write.header.fields], ["write", { offset: 5 }] as never);
    assertEquals(write.payload, new Uint8Array([1, 2, 3]));
    assertEquals([add.header.name, add.header.fields], ["fetchAdd", { offset: 8, width: 8, operand: 1n }] as never);
    await guest.send(
      frame("readReply", read.header.id, {}, new Uint8Array([9, 8, 7])),
      frame("writeReply", write.header.id, {}),
      frame("valueReply", add.header.id, { value: 2n ** 64n - 1n }),
    );
    await untilClosed(guest);
  });
  await using channel = channelTo(server.port);
  const [bytes, nothing, { header }] = await Promise.all([
    channel.read(2 ** 40, 3),
    channel.write(5, new Uint8Array([1, 2, 3])),
    channel.request("fetchAdd", { offset: 8, width: 8, operand: 1n }, false),
  ]);
  assertEquals([[...bytes], nothing], [[9, 8, 7], undefined]);
  assertEquals(header.fields as unknown, { value: 2n ** 64n - 1n });
});

seededTest("channel: large and small replies are whole wherever the stream is cut", async (random) => {
  const sizes = Array.from({ length: 40 }, () => random.pick([0, 1, 100, 5_000, 262_119, 262_120, 400_000, 1_000_000]));
  const content = random.bytes(1_000_000);
  await using server = new ScriptedServer(async (guest) => {
    await guest.welcome();
    const asked = await guest.frames(sizes.length);
    const stream = concat(...asked.map(({ header }) => {
      return frame("readReply", header.id, {}, content.subarray(0, (header.fields as Fields<"read">).size));
    }));
    for (let at = 0; at < stream.length;) {
      const size = random.isOneIn(2) ? random.between(1, 40) : random.between(1, 500_000);
      await guest.send(stream.subarray(at, at + size));
      at += size;
    }
    await untilClosed(guest);
  });
  await using channel = channelTo(server.port);
  const replies = await Promise.all(sizes.map((size) => channel.read(0, size)));
  replies.forEach((bytes, i) => assertEquals(bytes.length, sizes[i] as number));
  replies.forEach((bytes) => assert(bytes.every((byte, at) => byte === content[at])));
});

Deno.test("channel: a large reply of which the first few bytes come alone is a reply all the same", async () => {
  const payload = new Uint8Array(500_000).fill(3);
  for (const first of [1, 7, 8, 9, 24, 25, 26]) {
    let isHere = false;
    await using server = new ScriptedServer(async (guest) => {
      await guest.welcome();
      const [{ header }] = await guest.frames(1) as [Came];
      const reply = frame("readReply", header.id, {}, payload);
      await guest.send(reply.subarray(0, first));
      // the pong shows that what came first has been read by itself: it is sent over another connection
      await until("the rest may go", () => isHere);
      await guest.send(reply.subarray(first));
      await untilClosed(guest);
    });
    await using channel = channelTo(server.port);
    const read = channel.read(0, payload.length);
    await until("the connection", () => channel.isConnected);
    for (let turn = 0; turn < 20; turn++) await until("a turn", () => true);
    isHere = true;
    assertEquals((await read).length, payload.length);
  }
});

Deno.test("channel: a large reply in another valid encoding is understood", async () => {
  const payload = new Uint8Array(1_000_000).fill(5);
  await using server = new ScriptedServer(async (guest) => {
    await guest.welcome();
    const [{ header }] = await guest.frames(1) as [Came];
    const kind = 9;
    const wide = new Uint8Array([0xdc, 0, 4, 0xcf, 0, 0, 0, 0, 0, 0, 0, header.id, 0xcc, kind, 0, 0]);
    const prefix = new Uint8Array(8);
    new DataView(prefix.buffer).setUint32(0, wide.length);
    new DataView(prefix.buffer).setUint32(4, payload.length);
    await guest.send(prefix, wide, payload);
    await untilClosed(guest);
  });
  await using channel = channelTo(server.port);
  assertEquals((await channel.read(0, payload.length)).length, payload.length);
});

seededTest("channel: large writes arrive whole, between small ones and in order", async (random) => {
  const payloads = Array.from(
    { length: 30 },
    () => random.bytes(random.pick([0, 10, 16_384, 16_385, 131_072, 700_000])),
  );
  await using server = new ScriptedServer(async (guest) => {
    await guest.welcome();
    for (const [i, payload] of payloads.entries()) {
      const came = await guest.reader.frame();
      assertEquals(came.header.fields as unknown, { offset: i });
      assert(came.payload.length === payload.length && came.payload.every((byte, at) => byte === payload[at]));
      await guest.send(frame("writeReply", came.header.id, {}));
    }
    await untilClosed(guest);
  });
  await using channel = channelTo(server.port);
  await Promise.all(payloads.map((payload, i) => channel.write(i, payload)));
});

Deno.test("channel: a classic greeting before the welcome is skipped, however it is cut", async () => {
  const greeting = encodeGreeting([{ host: "127.0.0.1", port: 9734 }, { host: "10.0.0.1", port: 1 }]);
  for (const bytes of [greeting, encodeGreeting([])]) {
    for (const step of [1, 3, bytes.length]) {
      await using server = new ScriptedServer(async (guest) => {
        for (let at = 0; at < bytes.length; at += step) await guest.send(bytes.subarray(at, at + step));
        await guest.welcome();
        const [{ header }] = await guest.frames(1) as [Came];
        await guest.send(frame("pong", header.id, {}));
        await untilClosed(guest);
      });
      await using channel = channelTo(server.port);
      assertEquals((await channel.request("ping", {}, true)).header.name, "pong");
    }
  }
});

Deno.test("channel: an error reply is a SystemError with its errno and the server's name", async () => {
  await using server = new ScriptedServer(async (guest) => {
    await guest.welcome();
    for (const { header } of await guest.frames(2)) {
      await guest.send(frame("error", header.id, { code: "EINVAL", message: "out of the region" }));
    }
    await untilClosed(guest);
  });
  await using channel = channelTo(server.port);
  for (
    const [call, request] of [["read", channel.read(0, 1)], ["request", channel.request("ping", {}, true)]] as const
  ) {
    const error = await assertRejects(
      () => request,
      SystemError,
      `127.0.0.1:${server.port}: EINVAL: out of the region`,
    );
    assertInstanceOf(error, SystemError);
    assertEquals([error.code, error.call], ["EINVAL", call]);
  }
});

Deno.test("channel: what is no dsm server is a ProtocolError, not a wait", async () => {
  const answers = [
    "HTTP/1.1 400 Bad Request\r\n\r\n",
    "220 mail.example.org ESMTP\r\n",
    "DSM1\0\0\0\0\0\0\0\0\0\0\0\0",
  ];
  for (const answer of answers) {
    await using server = new ScriptedServer(async (guest) => {
      await guest.send(new TextEncoder().encode(answer));
      await untilClosed(guest);
    });
    await using channel = channelTo(server.port);
    await within("the refusal", assertRejects(() => channel.read(0, 1), ProtocolError), 2_000);
  }
});

Deno.test("channel: bytes that are no frame, and a reply of another size, end the connection with a ProtocolError", async () => {
  const wrong: ((id: number) => Uint8Array)[] = [
    () => new Uint8Array(100).fill(0xff),
    () => new Uint8Array(100),
    (id) => frame("readReply", id, {}, new Uint8Array(3)),
    (id) => frame("writeReply", id, {}),
    (id) => encodeFrame("pong", { id, incarnation: 0, epoch: 0 }, {}, 1_000_000),
    (id) => encodeFrame("readReply", { id, incarnation: 0, epoch: 0 }, {}, OPERATION_SIZE_MAX + 1),
  ];
  for (const answer of wrong) {
    await using server = new ScriptedServer(async (guest) => {
      await guest.welcome();
      const [{ header }] = await guest.frames(1) as [Came];
      await guest.send(answer(header.id));
      await untilClosed(guest);
    });
    await using channel = channelTo(server.port);
    await within("the refusal", assertRejects(() => channel.read(0, 4), ProtocolError), 2_000);
  }
});

Deno.test("channel: a signal ends a request at once, before it is sent and while it is in flight", async () => {
  const asked = Promise.withResolvers<void>();
  await using server = new ScriptedServer(async (guest) => {
    await guest.welcome();
    await guest.frames(2);
    asked.resolve();
    await untilClosed(guest);
  });
  await using channel = channelTo(server.port);
  const why = new Error("not wanted any more");
  assertStrictEquals(
    await channel.read(0, 1, { signal: AbortSignal.abort(why) }).catch((error) => error),
    why,
  );
  const abort = new AbortController();
  const reads = [channel.read(0, 1, { signal: abort.signal }), channel.write(0, new Uint8Array(1), abort)];
  await asked.promise;
  abort.abort(why);
  for (const read of reads) assertStrictEquals(await read.catch((error) => error), why);
});

Deno.test("channel: a reply to a request that was given up is dropped, and others go on", async () => {
  const givenUp = Promise.withResolvers<void>();
  await using server = new ScriptedServer(async (guest) => {
    await guest.welcome();
    const [first] = await guest.frames(1) as [Came];
    await givenUp.promise;
    await guest.send(frame("readReply", first.header.id, {}, new Uint8Array(1)));
    const [second] = await guest.frames(1) as [Came];
    await guest.send(frame("readReply", second.header.id, {}, new Uint8Array([2])));
    await untilClosed(guest);
  });
  await using channel = channelTo(server.port);
  const abort = new AbortController();
  const first = channel.read(0, 1, { signal: abort.signal });
  await until("the connection", () => channel.isConnected);
  abort.abort();
  await first.catch(() => {});
  givenUp.resolve();
  assertEquals([...await channel.read(0, 1)], [2]);
});

Deno.test("channel: nobody listening is PeerLostError, outcome no, at the deadline and not before", async () => {
  const free = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  free.close();
  await using channel = channelTo(free.addr.port);
  const started = performance.now();
  const error = await channel.write(0, new Uint8Array(1), { timeoutMs: 200 }).catch((error) => error);
  assertInstanceOf(error, PeerLostError);
  assertEquals(error.outcome, "no");
  assert(error.message.includes(`127.0.0.1:${free.addr.port}`));
  const took = performance.now() - started;
  assert(took >= 200 && took < 2_000, `${took} ms`);
});

Deno.test("channel: a server that does not answer is TimeoutError, with what is known of the outcome", async () => {
  await using server = new ScriptedServer(async (guest) => {
    await guest.welcome();
    await untilClosed(guest);
  });
  await using channel = channelTo(server.port);
  const timeoutMs = 100;
  const outcomes = await Promise.all([
    channel.read(0, 1, { timeoutMs }),
    channel.write(0, new Uint8Array(1), { timeoutMs }),
    channel.request("fetchAdd", { offset: 0, width: 4, operand: 1n }, false, { timeoutMs }),
  ].map((request) => (request as Promise<unknown>).catch((error) => error)));
  for (const error of outcomes) assertInstanceOf(error, TimeoutError);
  assertEquals(outcomes.map((error) => (error as TimeoutError).outcome), ["no", "unknown", "unknown"]);
});

Deno.test("channel: what a new connection makes one ask comes before what waits", async () => {
  const asked: string[][] = [];
  await using server = new ScriptedServer(async (guest, index) => {
    await guest.welcome();
    const frames = await guest.frames(3);
    asked.push(frames.map(({ header }) => header.name));
    if (index === 0) return guest.stream.close();
    const answers = [...frames, ...await guest.frames(1)].map(({ header }) => {
      return header.name === "read"
        ? frame("readReply", header.id, {}, new Uint8Array(1))
        : frame("pong", header.id, {});
    });
    await guest.send(...answers);
    await untilClosed(guest);
  });
  await using channel = channelTo(server.port);
  const introductions: Promise<unknown>[] = [];
  channel.onConnected = () => introductions.push(channel.request("ping", {}, true));
  await Promise.all([channel.read(0, 1), channel.read(1, 1)]);
  await Promise.all(introductions);
  // over the second connection the first introduction is one of those that wait
  assertEquals(asked, [["ping", "read", "read"], ["ping", "read", "read"]]);
});

Deno.test("channel: after a cut, what may be repeated is sent again, what may not is outcome unknown", async () => {
  await using server = new ScriptedServer(async (guest, index) => {
    const { token } = await guest.welcome(new Uint8Array(TOKEN_SIZE).fill(index + 1));
    assertEquals(token.toHex(), index === 0 ? "" : "01".repeat(TOKEN_SIZE));
    if (index === 0) {
      await guest.frames(4);
      return close(guest.stream);
    }
    const again = await guest.frames(3);
    assertEquals(again.map(({ header }) => header.name), ["read", "write", "ping"]);
    const [read, write, ping] = again as [Came, Came, Came];
    assertEquals(write.payload, new Uint8Array([4, 2]));
    await guest.send(
      frame("readReply", read.header.id, {}, new Uint8Array([1])),
      frame("writeReply", write.header.id, {}),
      frame("pong", ping.header.id, {}),
    );
    await untilClosed(guest);
  });
  await using channel = channelTo(server.port);
  const read = channel.read(0, 1);
  const write = channel.write(7, new Uint8Array([4, 2]));
  const add = channel.request("fetchAdd", { offset: 0, width: 4, operand: 1n }, false).catch((error) => error);
  const ping = channel.request("ping", {}, true);
  const lost = await add;
  assertInstanceOf(lost, PeerLostError);
  assertEquals(lost.outcome, "unknown");
  assertEquals([...await read], [1]);
  await write;
  assertEquals((await ping).header.name, "pong");
  assertEquals(server.connectionCount, 2);
});

Deno.test("channel: what is meant for other memory than the server came back with is EIDRM, and never reaches it", async () => {
  const reached: string[] = [];
  await using server = new ScriptedServer(async (guest, index) => {
    await guest.welcome(undefined, false, index === 0 ? "old" : "new");
    for (let count = index === 0 ? 3 : 2; count > 0; count--) {
      const [{ header }] = await guest.frames(1) as [Came];
      reached.push(`${index} ${header.name}`);
      if (index > 0) await guest.send(frame("pong", header.id, {}));
    }
    if (index === 0) return close(guest.stream);
    await untilClosed(guest);
  });
  await using channel = channelTo(server.port);
  const memory = new Map([[channel.name, "old"], ["127.0.0.1:1", "another server's"]]);
  const codeOf = (asked: Promise<unknown>): Promise<string> => asked.then(() => "ok", (error) => error.code);
  const asked = [
    codeOf(channel.write(0, new Uint8Array(1), { memory })),
    codeOf(channel.request("fetchAdd", { offset: 0, width: 4, operand: 1n }, false, { memory })),
    codeOf(channel.request("ping", {}, true)),
  ];
  assertEquals(await Promise.all(asked), ["EIDRM", "EIDRM", "ok"]);
  assertEquals([channel.cookie, await codeOf(channel.read(0, 1, { memory }))], ["new", "EIDRM"]);
  assertEquals(await codeOf(channel.request("ping", {}, true, { memory: new Map([[channel.name, "new"]]) })), "ok");
  assertEquals(reached, ["0 write", "0 fetchAdd", "0 ping", "1 ping", "1 ping"]);
});

Deno.test("channel: in a resumed session a request that may not be repeated comes again with its id", async () => {
  const ids: number[] = [];
  await using server = new ScriptedServer(async (guest, index) => {
    await guest.welcome(undefined, index > 0);
    const [{ header }] = await guest.frames(1) as [Came];
    ids.push(header.id);
    if (index === 0) return close(guest.stream);
    await guest.send(frame("valueReply", header.id, { value: 41n }));
    await untilClosed(guest);
  });
  await using channel = channelTo(server.port);
  const { header } = await channel.request("fetchAdd", { offset: 0, width: 4, operand: 1n }, false);
  assertEquals(header.fields as unknown, { value: 41n });
  assertEquals([ids.length, ids[0]], [2, ids[1]]);
});

Deno.test("channel: what a resumed session may have forgotten is not sent again: it could be carried out twice", async () => {
  const count = REMEMBERED_MAX + 50;
  const again = Promise.withResolvers<number[]>();
  await using server = new ScriptedServer(async (guest, index) => {
    await guest.welcome(undefined, index > 0);
    const asked = await guest.frames(index === 0 ? count : REMEMBERED_MAX);
    if (index === 0) return close(guest.stream);
    again.resolve(asked.map(({ header }) => Number((header.fields as Fields<"fetchAdd">).operand)));
    await guest.send(...asked.map(({ header }) => frame("valueReply", header.id, { value: 0n })));
    await untilClosed(guest);
  });
  await using channel = channelTo(server.port);
  const outcomes = await Promise.all(Array.from({ length: count }, (_, i) => {
    return channel.request("fetchAdd", { offset: 0, width: 4, operand: BigInt(i) }, false)
      .then(() => "done", (error) => error instanceof PeerLostError ? error.outcome : String(error));
  }));
  assertEquals(outcomes.filter((outcome) => outcome === "unknown").length, 50);
  assertEquals(outcomes.slice(50), new Array(REMEMBERED_MAX).fill("done"));
  assertEquals(await again.promise, Array.from({ length: REMEMBERED_MAX }, (_, i) => i + 50));
});

Deno.test("channel: a request waits for a server that comes up within its deadline", async () => {
  const free = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  free.close();
  await using channel = channelTo(free.addr.port);
  const read = channel.read(0, 1, { timeoutMs: 10_000 });
  const early = await channel.read(0, 1, { timeoutMs: 60 }).catch((error) => error);
  assertInstanceOf(early, PeerLostError);
  await using _server = new ScriptedServer(async (guest) => {
    await guest.welcome();
    const [{ header }] = await guest.frames(1) as [Came];
    await guest.send(frame("readReply", header.id, {}, new Uint8Array([6])));
    await untilClosed(guest);
  }, free.addr.port);
  assertEquals([...await read], [6]);
});

Deno.test("channel: a request's time begins when it is made, however long others have waited before it", async () => {
  const free = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = free.addr;
  free.close();
  await using channel = channelTo(port);
  const timeoutMs = 300;
  await assertRejects(() => channel.read(0, 1, { timeoutMs }), PeerLostError);
  const began = performance.now();
  await assertRejects(() => channel.read(0, 1, { timeoutMs }), PeerLostError);
  assert(performance.now() - began >= timeoutMs, "the second one gave up before its deadline");
});

Deno.test("channel: a timeout on a connection that leads nowhere has the others repeated over the next one", async () => {
  await using server = new ScriptedServer(async (guest, index) => {
    await guest.welcome(undefined, index > 0);
    if (index === 0) return await untilClosed(guest);
    const [{ header }] = await guest.frames(1) as [Came];
    await guest.send(frame("readReply", header.id, {}, new Uint8Array([8])));
    await untilClosed(guest);
  });
  await using channel = channelTo(server.port);
  const patient = channel.read(0, 1);
  await assertRejects(() => channel.read(0, 1, { timeoutMs: 80 }), TimeoutError);
  assertEquals([...await patient], [8]);
});

Deno.test("channel: a server that takes the connection and says nothing is given up after a while", async () => {
  await using server = new ScriptedServer(async (guest) => await untilClosed(guest));
  await using channel = channelTo(server.port);
  const error = await channel.read(0, 1, { timeoutMs: 100 }).catch((error) => error);
  assertInstanceOf(error, PeerLostError);
  assertEquals(error.outcome, "no");
});

Deno.test("channel: the highest epoch met is kept, and sent with every request", async () => {
  const epoch: EpochWord = { incarnation: 0, epoch: 0 };
  await using server = new ScriptedServer(async (guest) => {
    await guest.welcome();
    for (const [incarnation, number] of [[9, 5], [9, 3], [9, 6]] as const) {
      const [{ header }] = await guest.frames(1) as [Came];
      assertEquals([header.incarnation, header.epoch], [epoch.incarnation, epoch.epoch]);
      await guest.send(encodeFrame("pong", { id: header.id, incarnation, epoch: number }, {}));
    }
    await untilClosed(guest);
  });
  await using channel = channelTo(server.port, epoch);
  const seen: EpochWord[] = [];
  for (let i = 0; i < 3; i++) {
    await channel.request("ping", {}, true);
    seen.push({ ...epoch });
  }
  assertEquals(seen, [{ incarnation: 9, epoch: 5 }, { incarnation: 9, epoch: 5 }, { incarnation: 9, epoch: 6 }]);
});

Deno.test("channel: closing fails what is in flight, and what comes later", async () => {
  await using server = new ScriptedServer(async (guest) => {
    await guest.welcome();
    await untilClosed(guest);
  });
  const channel = channelTo(server.port);
  const inFlight = channel.write(0, new Uint8Array(1)).catch((error) => error);
  await until("the connection", () => channel.isConnected);
  await channel.close();
  await channel.close();
  const errors = [await inFlight, await channel.read(0, 1).catch((error) => error)];
  for (const error of errors) assertInstanceOf(error, PeerLostError);
  assertEquals(errors.map((error) => error.outcome), ["unknown", "no"]);
});

Deno.test("channel: a channel never used, and one whose server is away, close at once", async () => {
  await channelTo(1).close();
  const free = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  free.close();
  const channel = channelTo(free.addr.port);
  const read = channel.read(0, 1).catch((error) => error);
  await within("close", channel.close(), 2_000);
  assertInstanceOf(await read, PeerLostError);
});
