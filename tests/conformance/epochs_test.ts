/** What a memory server makes of epochs: whom it serves, whom it refuses, and who waits for a cut to be made everywhere. */
import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { SystemError, TimeoutError } from "../../lib/base/errors.ts";
import { FooterWord } from "../../lib/memory/layout.ts";
import { attachForLogger } from "../../lib/memory/open.ts";
import { Picture } from "../../lib/memory/picture.ts";
import { Channel } from "../../lib/net/channel.ts";
import { encodeFrame } from "../../lib/wire/frame.ts";
import { concat } from "../support/frames.ts";
import type { Came } from "../support/frames.ts";
import { BLOCK_SIZE, SIZE, TestServer, TRANSPORTS } from "../support/memory_server.ts";
import type { Peer } from "../support/memory_server.ts";
import { until, within } from "../support/until.ts";

const LIFE = 1_000;
const BYTE = new Uint8Array([7]);
const NEVER = new AbortController().signal;

/** A classic request, and what is sent with it. */
function classic(command: "r" | "w", start: number, end: number, ...bytes: number[]): Uint8Array {
  const request = new Uint8Array(9 + bytes.length);
  const view = new DataView(request.buffer);
  view.setUint8(0, command.charCodeAt(0));
  view.setInt32(1, start);
  view.setInt32(5, end);
  request.set(bytes, 9);
  return request;
}

/** A case, run on every transport, on a server that has joined a life of the cluster at epoch 5. */
function onEach(name: string, run: (server: TestServer) => Promise<void>): void {
  for (const transport of TRANSPORTS) {
    Deno.test(`${transport}: ${name}`, async () => {
      await using server = await TestServer.start(transport);
      assert(server.server.region.join(LIFE, 5));
      await run(server);
    });
  }
}

/** A write of one byte that carries an epoch. */
async function write(peer: Peer, incarnation: number, epoch: number, offset = 0): Promise<Came> {
  await peer.send(encodeFrame("write", { id: 9, incarnation, epoch }, { offset }, 1), BYTE);
  return await peer.reply(9);
}

/** The outcome and the envelope of a reply. */
function outcome({ header }: Came): [string, number, number] {
  return [header.name === "error" ? header.fields.code : header.name, header.incarnation, header.epoch];
}

onEach("replies carry the region's life and epoch", async (server) => {
  using peer = await server.greet();
  for (const name of ["ping", "regionInfo"] as const) {
    const { header } = await peer.request(name, {});
    assertEquals([header.incarnation, header.epoch], [LIFE, 5]);
  }
  const { header } = await peer.request("read", { offset: 0, size: 1 });
  assertEquals([header.incarnation, header.epoch], [LIFE, 5]);
});

onEach(
  "an epoch that is known is served, the next one is moved to first, one further off is refused",
  async (server) => {
    using peer = await server.greet();
    assertEquals(outcome(await write(peer, LIFE, 4)), ["writeReply", LIFE, 5]);
    assertEquals(outcome(await write(peer, LIFE, 5)), ["writeReply", LIFE, 5]);
    assertEquals(outcome(await write(peer, LIFE, 6)), ["writeReply", LIFE, 6]);
    server.data[0] = 0;
    assertEquals(outcome(await write(peer, LIFE, 8)), ["ESTALE", LIFE, 6]);
    assertEquals(outcome(await write(peer, LIFE, 0xffff_ffff)), ["ESTALE", LIFE, 6]);
    assertStrictEquals(server.data[0], 0);
    assertEquals(outcome(await write(peer, LIFE, 6)), ["writeReply", LIFE, 6]);
  },
);

onEach("another life is refused, and who knows none is served", async (server) => {
  using peer = await server.greet();
  for (const life of [LIFE - 1, LIFE + 1]) assertEquals(outcome(await write(peer, life, 5)), ["ESTALE", LIFE, 5]);
  assertEquals(outcome(await write(peer, 0, 99)), ["writeReply", LIFE, 5]);
});

onEach("join moves to a later life and never back, and keeps the epoch from falling", async (server) => {
  using peer = await server.greet();
  const join = async (incarnation: number, epoch: number): Promise<Came> => {
    return await peer.request("join", { incarnation, epoch });
  };
  assertEquals(outcome(await join(LIFE, 9)), ["done", LIFE, 5]);
  assertEquals(outcome(await join(LIFE - 1, 9)), ["ESTALE", LIFE, 5]);
  assertEquals(outcome(await join(LIFE + 1, 3)), ["done", LIFE + 1, 5]);
  assertEquals(outcome(await join(LIFE + 2, 8)), ["done", LIFE + 2, 8]);
});

onEach("a batch that goes from one epoch to the next is served in order", async (server) => {
  using peer = await server.greet();
  const frames = [5, 5, 6, 6, 7, 5].map((epoch, i) => {
    return concat(encodeFrame("write", { id: i + 1, incarnation: LIFE, epoch }, { offset: i }, 1), BYTE);
  });
  await peer.send(...frames);
  for (let id = 1; id <= frames.length; id++) assertStrictEquals((await peer.reply(id)).header.name, "writeReply");
  assertStrictEquals(server.server.region.epochHeld, 7);
  assertEquals(server.data.subarray(0, 6), new Uint8Array(6).fill(7));
});

onEach("after a cut a classic connection waits until it is released, and native ones go on", async (server) => {
  const { region } = server.server;
  using native = await server.greet();
  using peer = await server.dial();
  await peer.send(classic("r", 0, 1));
  assertEquals(await within("a byte", peer.reader.bytes(1)), new Uint8Array(1));
  region.raiseEpoch(6);
  await peer.send(classic("w", 0, 1, 7), classic("r", 0, 1));
  for (let i = 0; i < 20; i++) assertEquals(outcome(await write(native, LIFE, 6, BLOCK_SIZE)), ["writeReply", LIFE, 6]);
  assertStrictEquals(server.data[0], 0);
  region.releaseEpoch(6);
  assertEquals(await within("the byte written", peer.reader.bytes(1)), BYTE);
  assertEquals(server.lines, []);
});

onEach("a classic connection is held for no longer than a second, and the checkpoint is void", async (server) => {
  using logged = attachForLogger({
    shmid: server.server.region.memory.id,
    semid: server.server.region.guards.id,
    cookie: server.server.region.cookie,
  });
  using peer = await server.dial();
  const picture = Picture.prepare(logged.region, 6);
  picture.cut();
  assertStrictEquals(picture.whyVoid(), "");
  const begun = performance.now();
  await peer.send(classic("w", 0, 1, 7), classic("r", 0, 1));
  assertEquals(await within("the byte written", peer.reader.bytes(1)), BYTE);
  assert(performance.now() - begun >= 900, "it was not held at all");
  assert(picture.whyVoid() !== "");
  assertStrictEquals(server.lines.filter((line) => line.includes("checkpoint 6 is void")).length, 1);
  picture.end();
});

onEach("what is written over TCP after the cut is not in the picture", async (server) => {
  const { region } = server.server;
  using peer = await server.greet();
  await peer.write(0, new Uint8Array(SIZE).fill(1));
  using logged = attachForLogger({ shmid: region.memory.id, semid: region.guards.id, cookie: region.cookie });
  const picture = Picture.prepare(logged.region, 6);
  await peer.write(0, new Uint8Array(10).fill(2));
  assertEquals(outcome(await write(peer, LIFE, 6, 20)), ["writeReply", LIFE, 6]); // this message makes the cut
  await peer.write(30, new Uint8Array(100_000).fill(3));
  const { header } = await peer.request("fetchAdd", { offset: 8, width: 8, operand: 1n });
  assertStrictEquals(header.name, "valueReply");
  await peer.request("fill", { offset: 200_000, size: 1000, byte: 4 });
  const expected = new Uint8Array(SIZE).fill(1);
  expected.fill(2, 0, 10);
  const seen = new Uint8Array(SIZE);
  await picture.copyNext(seen, NEVER);
  assertEquals(seen, expected);
  await until("the shadow to be let go", () => region.word(FooterWord.copying) === 0);
});

onEach("a client that is ahead asks again until its server has heard of that epoch", async (server) => {
  const epoch = { incarnation: LIFE, epoch: 8 };
  await using channel = new Channel("127.0.0.1", server.server.port, epoch);
  const writing = channel.write(0, BYTE);
  const adding = channel.request("fetchAdd", { offset: 8, width: 8, operand: 1n }, false);
  for (const each of [writing, adding]) each.catch(() => {}); // should the test fail before it comes to them
  // long enough to be refused at least once, however busy the machine is
  const late = await assertRejects(() => channel.write(0, BYTE, { timeoutMs: 2_000 }), TimeoutError);
  assert(late.message.includes("epoch"), late.message);
  assertStrictEquals(server.data[0], 0);
  server.server.region.raiseEpoch(7);
  await writing;
  await adding;
  assertEquals([server.data[0], server.data[8]], [7, 1]);
  assertStrictEquals(server.server.region.epochHeld, 8);
});

onEach("a client is told once that the cluster has begun another life, and goes on in it", async (server) => {
  const epoch = { incarnation: LIFE - 1, epoch: 8 };
  await using channel = new Channel("127.0.0.1", server.server.port, epoch);
  const refused = await assertRejects(() => channel.write(0, BYTE), SystemError);
  assertStrictEquals(refused.code, "ESTALE");
  assertStrictEquals(server.data[0], 0);
  await channel.write(0, BYTE);
  assertEquals(epoch, { incarnation: LIFE, epoch: 5 });
});

for (const transport of TRANSPORTS) {
  Deno.test(`${transport}: a fresh server has a cluster's client wait until it has joined`, async () => {
    await using server = await TestServer.start(transport);
    await using channel = new Channel("127.0.0.1", server.server.port, { incarnation: LIFE, epoch: 8 });
    const writing = channel.write(0, BYTE);
    await assertRejects(() => channel.read(0, 1, { timeoutMs: 2_000 }), TimeoutError);
    await channel.request("join", { incarnation: LIFE, epoch: 8 }, true);
    await writing;
    assertStrictEquals(server.data[0], 7);
  });
}
