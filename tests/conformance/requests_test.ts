/** What a memory server answers, whatever transport carries it: one set of cases, run on each. */
import { Buffer } from "node:buffer";
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import type { Random } from "../../lib/base/random.ts";
import { encodeFrame } from "../../lib/wire/frame.ts";
import {
  HEADER_SIZE_MAX,
  MAGIC,
  MESSAGES,
  OPERATION_SIZE_MAX,
  PREFIX_SIZE,
  TOKEN_SIZE,
} from "../../lib/wire/messages.ts";
import type { Fields, MessageName } from "../../lib/wire/messages.ts";
import { putReadRequest, READ_REQUEST_SIZE } from "../../lib/wire/templates.ts";
import { concat, frame, hello } from "../support/frames.ts";
import type { Came } from "../support/frames.ts";
import { BLOCK_SIZE, SIZE, TestServer, TRANSPORTS } from "../support/memory_server.ts";
import type { Peer, TestServerOptions, TransportName } from "../support/memory_server.ts";
import { MESSAGE_NAMES, randomEnvelope, randomFields } from "../support/messages.ts";
import { seededTest } from "../support/seeded.ts";
import { until } from "../support/until.ts";

/** A case, run on every transport. */
function onEach(
  name: string,
  run: (server: TestServer, random: Random, transport: TransportName) => Promise<void>,
  options: TestServerOptions = {},
): void {
  for (const transport of TRANSPORTS) {
    seededTest(`${transport}: ${name}`, async (random) => {
      await using server = await TestServer.start(transport, options);
      await run(server, random, transport);
    });
  }
}

function text(characters: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(characters);
}

/** Fails unless `came` is a refusal with that code. */
function refused(came: Came, code: string): void {
  assertEquals(came.header.name, "error");
  const fields = came.header.fields as Fields<"error">;
  assertEquals(fields.code, code);
  assert(fields.message.length > 0);
}

/** Fails unless the server still serves others. */
async function serves(server: TestServer): Promise<void> {
  using peer = await server.greet();
  assertEquals((await peer.request("ping", {})).header.name, "pong");
}

onEach("the welcome answers the hello, and nothing comes before", async (server) => {
  using peer = await server.dial();
  await peer.send(hello());
  const { version, role, token, resumed } = await peer.welcomed();
  assertEquals([version, role, token.length, resumed], [1, "server", TOKEN_SIZE, false]);
  using other = await server.greet();
  assertNotEquals(other.token, peer.token);
});

onEach(
  "every request before the hello, a second hello, and a version unknown here close the connection",
  async (server) => {
    const first = MESSAGE_NAMES.filter((name) => name !== "hello");
    for (const name of first) {
      using peer = await server.dial();
      const fields = fieldsOf(name);
      await peer.send(MAGIC, frame(name, 1, fields as never));
      await peer.isClosed();
    }
    using twice = await server.greet();
    await twice.send(hello().subarray(MAGIC.length));
    await twice.isClosed();
    using future = await server.dial();
    await future.send(hello(new Uint8Array(0), 2));
    await future.isClosed();
    await serves(server);
  },
);

/** Plain fields for a message: zeros and nothings. */
function fieldsOf(name: MessageName): Record<string, unknown> {
  const zeros = { u8: 0, u32: 0, u64: 0, word: 0n, bool: false, text: "", bytes: new Uint8Array(0), rows: [] };
  return Object.fromEntries(Object.entries(MESSAGES[name].fields).map(([field, type]) => [field, zeros[type]]));
}

onEach("read, write and fill, through frames of every width of integer", async (server, random) => {
  using peer = await server.greet();
  assertEquals(await peer.read(SIZE - 5, 5), new Uint8Array(5));
  const bytes = random.bytes(3 * BLOCK_SIZE);
  await peer.write(100, bytes);
  assertEquals(server.data.slice(100, 100 + bytes.length), bytes);
  assertEquals(await peer.read(99, bytes.length + 2), concat(new Uint8Array(1), bytes, new Uint8Array(1)));
  assertEquals((await peer.request("fill", { offset: 50, size: 5000, byte: 0xab })).header.name, "writeReply");
  assertEquals(
    server.data.slice(49, 5051),
    concat(new Uint8Array(1), new Uint8Array(5000).fill(0xab), bytes.slice(4950, 4951)),
  );

  const template = new Uint8Array(READ_REQUEST_SIZE);
  putReadRequest(new DataView(template.buffer), 0, 77, 0, 0, 100, 8);
  await peer.send(template);
  assertEquals((await peer.reply(77)).payload, server.data.slice(100, 108));
});

onEach("nothing read, written or filled is fine anywhere up to the end", async (server) => {
  using peer = await server.greet();
  for (const offset of [0, 1, SIZE]) {
    assertEquals(await peer.read(offset, 0), new Uint8Array(0));
    await peer.write(offset, new Uint8Array(0));
    assertEquals((await peer.request("fill", { offset, size: 0, byte: 1 })).header.name, "writeReply");
  }
  assert(server.data.every((byte) => byte === 0));
});

onEach("fetchAdd and compareExchange: both widths, wrapping, little-endian, the word before", async (server) => {
  using peer = await server.greet();
  const add = async (offset: number, width: number, operand: bigint): Promise<bigint> =>
    ((await peer.request("fetchAdd", { offset, width, operand })).header.fields as Fields<"valueReply">).value;
  const exchange = async (offset: number, width: number, expected: bigint, replacement: bigint): Promise<bigint> => {
    const { header } = await peer.request("compareExchange", { offset, width, expected, replacement });
    return (header.fields as Fields<"valueReply">).value;
  };
  assertEquals([await add(4, 4, 5n), await add(4, 4, 2n ** 32n - 1n), await add(4, 4, 2n ** 64n - 5n)], [0n, 5n, 4n]);
  assertEquals(server.data.slice(0, 12).toHex(), "00000000" + "ffffffff" + "00000000");
  assertEquals([await add(8, 8, 2n ** 64n - 1n), await add(8, 8, 2n)], [0n, 2n ** 64n - 1n]);
  assertEquals(await add(8, 8, 0n), 1n);
  assertEquals(await exchange(16, 4, 1n, 9n), 0n);
  assertEquals(await exchange(16, 4, 0n, 0x01020304n), 0n);
  assertEquals(await exchange(16, 4, 0x01020304n, 7n), 0x01020304n);
  assertEquals(await exchange(24, 8, 0n, 2n ** 64n - 2n), 0n);
  assertEquals(server.data.slice(16, 32).toHex(), "0700000000000000" + "feffffffffffffff");
});

onEach("atomic words of another width or not at a multiple of it are refused", async (server) => {
  using peer = await server.greet();
  for (
    const [offset, width] of [[0, 0], [0, 1], [0, 2], [0, 16], [2, 4], [4, 8], [1, 4], [SIZE - 4, 8], [
      SIZE,
      4,
    ]] as const
  ) {
    refused(await peer.request("fetchAdd", { offset, width, operand: 1n }), "EINVAL");
    refused(await peer.request("compareExchange", { offset, width, expected: 0n, replacement: 1n }), "EINVAL");
  }
  assert(server.data.every((byte) => byte === 0));
});

onEach("ranges out of the region are refused and change nothing, and the connection goes on", async (server) => {
  using peer = await server.greet();
  const ranges = [[SIZE, 1], [SIZE - 1, 2], [0, SIZE + 1], [2 ** 40, 1], [Number.MAX_SAFE_INTEGER, 1]] as const;
  for (const [offset, size] of ranges) {
    refused(await peer.request("read", { offset, size }), "EINVAL");
    refused(await peer.request("fill", { offset, size, byte: 9 }), "EINVAL");
    refused(await peer.request("write", { offset }, new Uint8Array(Math.min(size, SIZE + 1)).fill(9)), "EINVAL");
    refused(await peer.request("wait", { offset: Math.max(offset, SIZE), timeoutMs: 0 }, new Uint8Array(8)), "EINVAL");
  }
  refused(await peer.request("read", { offset: 0, size: 2 ** 32 - 1 }), "EINVAL");
  refused(await peer.request("read", { offset: 0, size: OPERATION_SIZE_MAX + 1 }), "EINVAL");
  refused(await peer.request("fill", { offset: 0, size: OPERATION_SIZE_MAX + 1, byte: 9 }), "EINVAL");
  const template = new Uint8Array(READ_REQUEST_SIZE);
  const view = new DataView(template.buffer);
  putReadRequest(view, 0, 5, 0, 0, 0, 1);
  template.fill(0xff, PREFIX_SIZE + 18, PREFIX_SIZE + 26); // an offset of 2^64 - 1
  await peer.send(template);
  refused(await peer.reply(5), "EINVAL");
  assert(server.data.every((byte) => byte === 0));
  assertEquals((await peer.request("ping", {})).header.name, "pong");
});

onEach("a message this role does not answer is ENOSYS", async (server) => {
  using peer = await server.greet();
  for (const name of ["layout", "pong", "readReply", "welcome", "error", "layoutReply"] as const) {
    refused(await peer.request(name, fieldsOf(name) as never), "ENOSYS");
  }
});

onEach("regionInfo and blockStates tell what is", async (server, _random, transport) => {
  using peer = await server.greet();
  using _other = await server.greet();
  await peer.write(0, new Uint8Array(10));
  const { header } = await peer.request("regionInfo", {});
  const info = header.fields as Fields<"regionInfoReply">;
  const { region } = server.server;
  assertEquals(
    [info.size, info.blockSize, info.guardCount, info.startCount, info.pid, info.transport, info.attachable],
    [SIZE, BLOCK_SIZE, SIZE / BLOCK_SIZE, 1, Deno.pid, transport, true],
  );
  assertEquals([info.shmid, info.semid, info.cookie], [region.memory.id, region.guards.id, region.cookie]);
  assertEquals([info.connectionCount, info.operationCount, info.byteCount, info.suspectCount], [2, 1, 10, 0]);

  const states = async (): Promise<Fields<"blockStatesReply">> =>
    (await peer.request("blockStates", {})).header.fields as Fields<"blockStatesReply">;
  assertEquals(await states(), { blockCount: SIZE / BLOCK_SIZE, guards: [], suspects: [] });
  {
    using _held = server.hold(3, 4);
    assertEquals((await states()).guards, [[3, 0, Deno.pid, 0], [4, 0, Deno.pid, 0]]);
  }
  assertEquals((await states()).guards, []);
});

onEach("wait answers at once where the bytes differ already, and refuses to compare nothing", async (server) => {
  using peer = await server.greet();
  server.data[10] = 1;
  assertEquals(
    (await peer.request("wait", { offset: 8, timeoutMs: 60_000 }, new Uint8Array(4))).payload.toHex(),
    "00000100",
  );
  refused(await peer.request("wait", { offset: 8, timeoutMs: 60_000 }), "EINVAL");
});

onEach(
  "wait answers when a write of any kind changes the bytes, and other requests are answered meanwhile",
  async (server) => {
    using waiter = await server.greet();
    using writer = await server.greet();
    const changes: ((offset: number) => Promise<unknown> | void)[] = [
      (offset) => writer.write(offset, new Uint8Array([1])),
      (offset) => writer.request("fill", { offset, size: 1, byte: 1 }),
      (offset) => writer.request("fetchAdd", { offset, width: 4, operand: 1n }),
      (offset) => writer.request("compareExchange", { offset, width: 4, expected: 0n, replacement: 1n }),
      (offset) => waiter.send(frame("write", 999, { offset }, new Uint8Array([1]))),
      (offset) => void (server.data[offset] = 1), // as an attached or key-only program does, telling nobody
    ];
    for (const [i, change] of changes.entries()) {
      const offset = 64 * i;
      await waiter.send(frame("wait", 100 + i, { offset, timeoutMs: 60_000 }, new Uint8Array(4)));
      await waiter.send(frame("ping", 500 + i, {}));
      assertEquals((await waiter.reply(500 + i)).header.name, "pong");
      await change(offset);
      const came = [await waiter.reader.frame()];
      if (i === 4) came.push(await waiter.reader.frame());
      const answer = came.find(({ header }) => header.id === 100 + i) as Came;
      assertEquals([answer.header.name, answer.payload.toHex()], ["readReply", "01000000"]);
    }
  },
);

onEach("wait answers with the bytes as they are when its time is up", async (server) => {
  using peer = await server.greet();
  const { header, payload } = await peer.request("wait", { offset: 0, timeoutMs: 30 }, new Uint8Array(64));
  assertEquals([header.name, payload], ["readReply", new Uint8Array(64)] as never);
});

onEach("who waits and goes is forgotten, and a thousand waits are all answered", async (server) => {
  const gone = await server.greet();
  await gone.send(frame("wait", 1, { offset: 0, timeoutMs: 60_000 }, new Uint8Array(4)));
  using peer = await server.greet();
  const waits = Array.from(
    { length: 1000 },
    (_, i) => frame("wait", i, { offset: 0, timeoutMs: 60_000 }, new Uint8Array(4)),
  );
  await peer.send(...waits);
  gone.close();
  await peer.send(frame("ping", 5000, {}));
  await peer.reply(5000);
  using writer = await server.greet();
  await writer.write(0, new Uint8Array([1]));
  const ids = new Set<number>();
  while (ids.size < 1000) ids.add((await peer.reader.frame()).header.id);
  await serves(server);
});

/** What a server answers to a request of this kind, worked out on a model of its bytes. */
function randomRequest(
  random: Random,
  id: number,
  model: Uint8Array,
): { bytes: Uint8Array; expect: (came: Came) => void } {
  const offset = random.below(SIZE);
  const size = random.below(Math.min(SIZE - offset, random.pick([1, 64, 5000, 20_000])) + 1);
  const replies = (name: string, payload: Uint8Array = new Uint8Array(0)) => (came: Came): void => {
    assertEquals([came.header.name, came.header.id], [name, id]);
    assertEquals(came.payload, payload.slice());
  };
  switch (random.below(7)) {
    case 0:
    case 1: {
      const fields = { offset, size };
      if (random.isOneIn(2)) {
        return { bytes: frame("read", id, fields), expect: replies("readReply", model.slice(offset, offset + size)) };
      }
      const bytes = new Uint8Array(READ_REQUEST_SIZE);
      putReadRequest(new DataView(bytes.buffer), 0, id, 0, 0, offset, size);
      return { bytes, expect: replies("readReply", model.slice(offset, offset + size)) };
    }
    case 2: {
      const payload = random.bytes(Math.min(size, 3000));
      model.set(payload, offset);
      return { bytes: frame("write", id, { offset }, payload), expect: replies("writeReply") };
    }
    case 3:
      model.fill(id, offset, offset + size);
      return { bytes: frame("fill", id, { offset, size, byte: id & 255 }), expect: replies("writeReply") };
    case 4: {
      const at = offset & ~7 & (SIZE - 8);
      const view = new DataView(model.buffer);
      const value = view.getBigUint64(at, true);
      const operand = random.longWord();
      view.setBigUint64(at, value + operand, true);
      return {
        bytes: frame("fetchAdd", id, { offset: at, width: 8, operand }),
        expect: ({ header }) => assertEquals([header.id, header.fields], [id, { value }] as never),
      };
    }
    case 5:
      return {
        bytes: frame("read", id, { offset: SIZE - 3, size: 4 + random.below(100) }),
        expect: (came) => refused(came, "EINVAL"),
      };
    default:
      return { bytes: frame("ping", id, {}), expect: replies("pong") };
  }
}

/** Sends what `cut` makes of many requests, and holds every reply against the model. */
async function converse(
  peer: Peer,
  random: Random,
  model: Uint8Array,
  first: number,
  count: number,
  cut: (stream: Uint8Array<ArrayBuffer>) => Promise<void>,
): Promise<void> {
  const requests = Array.from({ length: count }, (_, i) => randomRequest(random, first + i, model));
  const sent = cut(concat(...requests.map(({ bytes }) => bytes)));
  for (const [i, { expect }] of requests.entries()) expect(await peer.reply(first + i));
  await sent;
}

onEach("a thousand requests in one write: one reply to each, in order, as a model has them", async (server, random) => {
  using peer = await server.greet();
  const model = new Uint8Array(SIZE);
  for (const first of [1, 1001, 2001]) await converse(peer, random, model, first, 1000, (stream) => peer.send(stream));
  assertEquals(await peer.read(0, SIZE), model);
});

onEach("one byte at a time, and in parts of any size, it is the same conversation", async (server, random) => {
  using peer = await server.dial();
  for (const byte of hello()) await peer.send(new Uint8Array([byte]));
  await peer.welcomed();
  const model = new Uint8Array(SIZE);
  await converse(peer, random, model, 1, 10, async (stream) => {
    for (let at = 0; at < Math.min(stream.length, 3000); at++) await peer.send(stream.subarray(at, at + 1));
    await peer.send(stream.subarray(3000));
  });
  await converse(peer, random, model, 11, 300, async (stream) => {
    for (let at = 0; at < stream.length;) {
      const size = random.between(1, random.pick([10, 1000, 50_000]));
      await peer.send(stream.subarray(at, at + size));
      at += size;
    }
  });
  assertEquals(await peer.read(0, SIZE), model);
});

onEach("a stream split in two at every position", async (server) => {
  const stream = concat(
    hello(),
    frame("write", 1, { offset: 7 }, text("abc")),
    frame("read", 2, { offset: 7, size: 3 }),
  );
  for (let at = 1; at < stream.length; at++) {
    using peer = await server.dial();
    await peer.send(stream.subarray(0, at));
    await peer.send(stream.subarray(at));
    await peer.welcomed();
    await peer.reply(1);
    assertEquals((await peer.reply(2)).payload, text("abc"));
    peer.close();
  }
});

onEach("requests before and after a refused one are served, and it is refused once", async (server) => {
  using peer = await server.greet();
  await peer.send(
    frame("write", 1, { offset: 0 }, text("a")),
    frame("read", 2, { offset: SIZE, size: 1 }),
    frame("write", 3, { offset: 1 }, text("b")),
    frame("fetchAdd", 4, { offset: 1, width: 4, operand: 1n }),
    frame("read", 5, { offset: 0, size: 2 }),
    frame("ping", 6, {}),
  );
  const names: string[] = [];
  for (let id = 1; id <= 6; id++) names.push((await peer.reply(id)).header.name);
  assertEquals(names, ["writeReply", "error", "writeReply", "error", "readReply", "pong"]);
  assertEquals((await peer.request("ping", {})).header.name, "pong");
});

onEach("what came before bytes that are no protocol is served, and then the connection closes", async (server) => {
  using peer = await server.greet();
  await peer.send(frame("write", 1, { offset: 0 }, text("kept")), frame("ping", 2, {}), new Uint8Array(64).fill(0xff));
  await peer.reply(1);
  await peer.reply(2);
  await peer.isClosed();
  using classic = await server.dial();
  await classic.send(classicWrite(4, text("kept too")), classicRead(0, 4), classicRead(0, SIZE + 1));
  assertEquals(await classic.reader.bytes(4), text("kept"));
  await classic.isClosed();
  assertEquals(server.data.slice(0, 12), text("keptkept too"));
});

const LARGE = OPERATION_SIZE_MAX + BLOCK_SIZE;

onEach("requests and replies larger than any buffer, up to the largest there is", async (server, random) => {
  using peer = await server.greet();
  for (const size of [256 * 1024 - 34, 512 * 1024 - 34, 512 * 1024, 512 * 1024 + 1, 3_000_000, OPERATION_SIZE_MAX]) {
    const seed = random.bytes(4099);
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size; at += seed.length) bytes.set(seed.subarray(0, Math.min(seed.length, size - at)), at);
    const offset = random.below(LARGE - size + 1);
    await peer.write(offset, bytes);
    assertEquals(Buffer.compare(server.data.subarray(offset, offset + size), bytes), 0);
    assertEquals(Buffer.compare(await peer.read(offset, size), bytes), 0);
  }
  refused(await peer.request("read", { offset: 0, size: OPERATION_SIZE_MAX + 1 }), "EINVAL");
  using beyond = await server.greet();
  await beyond.send(encodeFrame("write", { id: 1, incarnation: 0, epoch: 0 }, { offset: 0 }, OPERATION_SIZE_MAX + 1));
  await beyond.isClosed();
  using classic = await server.dial();
  await classic.send(classicRead(0, OPERATION_SIZE_MAX));
  assertEquals(
    Buffer.compare(await classic.reader.bytes(OPERATION_SIZE_MAX), server.data.subarray(0, OPERATION_SIZE_MAX)),
    0,
  );
}, { size: LARGE });

onEach("lengths of 4 GiB, headers of nothing or too much, and halves are closed or waited for", async (server) => {
  const lengths = [
    [0, 0],
    [0xffff_ffff, 0],
    [HEADER_SIZE_MAX + 1, 0],
    [20, 0xffff_ffff],
    [20, OPERATION_SIZE_MAX + 1],
    [
      0xffff_ffff,
      0xffff_ffff,
    ],
  ];
  for (const [header, payload] of lengths) {
    using peer = await server.greet();
    const prefix = new Uint8Array(PREFIX_SIZE);
    new DataView(prefix.buffer).setUint32(0, header as number);
    new DataView(prefix.buffer).setUint32(4, payload as number);
    await peer.send(prefix);
    await peer.isClosed();
  }
  const whole = frame("write", 1, { offset: 0 }, new Uint8Array(100).fill(9));
  for (const size of [1, 7, 8, 20, 35, whole.length - 1]) {
    using peer = await server.greet();
    await peer.send(whole.subarray(0, size));
    peer.close();
  }
  using watcher = await server.greet();
  await until("they are gone", async () => {
    const { header } = await watcher.request("regionInfo", {});
    return (header.fields as Fields<"regionInfoReply">).connectionCount === 1;
  });
  assert(server.data.every((byte) => byte === 0), "a half write writes nothing");
});

onEach("random bytes end their own connection and nothing else", async (server, random) => {
  using other = await server.greet();
  for (let round = 0; round < 150; round++) {
    using peer = await server.dial();
    const name = random.pick(MESSAGE_NAMES);
    const whole = frame(name, 1, randomFields(random, name) as never);
    whole[random.below(whole.length)] = random.word();
    const junk = random.isOneIn(2) ? random.bytes(random.between(1, 300)) : whole;
    await peer.send(random.isOneIn(3) ? junk : concat(hello(), junk)).catch(() => {});
    if (random.isOneIn(3)) await peer.stream.closeWrite().catch(() => {});
    if (random.isOneIn(10)) assertEquals((await other.request("ping", {})).header.name, "pong");
  }
  await until("they are gone", async () => {
    const { header } = await other.request("regionInfo", {});
    return (header.fields as Fields<"regionInfoReply">).connectionCount === 1;
  });
});

onEach("any envelope is answered with its id, and the server's own epoch", async (server, random) => {
  using peer = await server.greet();
  for (let round = 0; round < 50; round++) {
    const envelope = randomEnvelope(random);
    await peer.send(encodeFrame("read", envelope, { offset: 0, size: 1 }));
    const { header } = await peer.reply(envelope.id);
    assertEquals([header.incarnation, header.epoch], [0, 1]);
  }
});

// ---- classic

function classic(letter: string, start: number, end: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(9);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, letter.charCodeAt(0));
  view.setInt32(1, start);
  view.setInt32(5, end);
  return bytes;
}

const classicRead = (start: number, end: number): Uint8Array<ArrayBuffer> => classic("r", start, end);

function classicWrite(start: number, data: Uint8Array): Uint8Array<ArrayBuffer> {
  return concat(classic("w", start, start + data.length), data);
}

onEach("classic: several requests a connection, answered by the bytes alone", async (server) => {
  using peer = await server.dial();
  await peer.send(classicWrite(10, text("hello")), classicRead(9, 16), classicRead(10, 10), classicRead(10, 12));
  assertEquals(await peer.reader.bytes(9), text("\0hello\0he"));
  await peer.send(classicWrite(12, text("LP")), classicRead(10, 15));
  assertEquals(await peer.reader.bytes(5), text("heLPo"));
  await peer.send(text("q"), classicRead(0, 5));
  await peer.isClosed();
});

onEach("classic: byte by byte, and ranges larger than any buffer", async (server, random) => {
  using peer = await server.dial();
  for (const byte of concat(classicWrite(0, text("slow")), classicRead(0, 4))) await peer.send(new Uint8Array([byte]));
  assertEquals(await peer.reader.bytes(4), text("slow"));
  const bytes = random.bytes(SIZE);
  await peer.send(classicWrite(0, bytes), classicRead(0, SIZE), classicRead(1, SIZE - 1), classicRead(SIZE - 1, SIZE));
  assertEquals(Buffer.compare(await peer.reader.bytes(SIZE), bytes), 0);
  assertEquals(Buffer.compare(await peer.reader.bytes(SIZE - 2), bytes.subarray(1, SIZE - 1)), 0);
  assertEquals(await peer.reader.bytes(1), bytes.slice(SIZE - 1));
});

onEach("classic: what is sent before the client's end of stream is answered", async (server) => {
  using peer = await server.dial();
  server.data.set(text("answer"));
  await peer.send(classicRead(0, 6));
  await peer.stream.closeWrite();
  assertEquals(await peer.reader.rest(), text("answer"));
});

onEach("classic: ranges that are none, and letters unknown, close the connection", async (server) => {
  for (
    const [start, end] of [[-1, 5], [5, 4], [0, SIZE + 1], [SIZE, SIZE + 1], [-10, -5], [0, -1], [
      0,
      2 ** 31 - 1,
    ]] as const
  ) {
    for (const letter of ["r", "w"]) {
      using peer = await server.dial();
      const data = new Uint8Array(letter === "w" && start >= 0 && end > start && end <= SIZE + 1 ? end - start : 0);
      await peer.send(classic(letter, start, end), data.fill(9)).catch(() => {});
      await peer.isClosed();
    }
  }
  using peer = await server.dial();
  await peer.send(classicRead(0, 1), text("x"));
  assertEquals(await peer.reader.bytes(1), new Uint8Array(1));
  await peer.isClosed();
  assert(server.data.every((byte) => byte === 0));
});

onEach("a first byte of no dialect closes the connection, and others go on", async (server) => {
  using other = await server.greet();
  for (const start of ["GET / HTTP/1.1\r\n", "\x01", "dsm1", "DSM2", "DX", "\x16\x03\x01"]) {
    using peer = await server.dial();
    await peer.send(text(start));
    await peer.isClosed();
  }
  assertEquals((await other.request("ping", {})).header.name, "pong");
  assert(server.lines.some((line) => /^warn: closed 127\.0\.0\.1:\d+: .*dialect/.test(line)), server.lines.join("\n"));
});

// ---- sessions

onEach("a resumed session answers from memory what must not be done twice", async (server) => {
  using first = await server.greet();
  const { header } = await first.request("fetchAdd", { offset: 0, width: 4, operand: 5n });
  const { id } = header;
  using second = await server.greet(first.token);
  assert(second.isResumed);
  assertEquals(second.token, first.token);
  await first.isClosed();
  for (let round = 0; round < 2; round++) {
    await second.send(frame("fetchAdd", id, { offset: 0, width: 4, operand: 5n }));
    assertEquals((await second.reply(id)).header.fields as unknown, { value: 0n });
  }
  await second.send(frame("compareExchange", 900, { offset: 0, width: 4, expected: 5n, replacement: 6n }));
  await second.reply(900);
  using third = await server.greet(second.token);
  await third.send(frame("compareExchange", 900, { offset: 0, width: 4, expected: 5n, replacement: 6n }));
  assertEquals((await third.reply(900)).header.fields as unknown, { value: 5n });
  assertEquals(server.data[0], 6);
});

onEach("a session ends with its connection, and unknown tokens begin a new one", async (server) => {
  const first = await server.greet();
  first.close();
  using watcher = await server.greet();
  await until("it is gone", async () => {
    const { header } = await watcher.request("regionInfo", {});
    return (header.fields as Fields<"regionInfoReply">).connectionCount === 1;
  });
  for (const token of [first.token, new Uint8Array(TOKEN_SIZE), new Uint8Array(1), new Uint8Array(1000)]) {
    using peer = await server.greet(token);
    assertEquals(peer.isResumed, false);
    assertNotEquals(peer.token, token);
  }
});

onEach(
  "a request waiting for its guards when the session moves on is not carried out behind its back",
  async (server) => {
    using first = await server.greet();
    using held = server.hold(0);
    await first.send(frame("fetchAdd", 7, { offset: 0, width: 4, operand: 1n }));
    await until("it waits", () => server.lines && first.token.length === TOKEN_SIZE);
    using second = await server.greet(first.token);
    await second.send(frame("fetchAdd", 7, { offset: 0, width: 4, operand: 1n }));
    held[Symbol.dispose]();
    assertEquals((await second.reply(7)).header.fields as unknown, { value: 0n });
    assertEquals((await second.request("fetchAdd", { offset: 0, width: 4, operand: 0n })).header.fields as unknown, {
      value: 1n,
    });
  },
);
