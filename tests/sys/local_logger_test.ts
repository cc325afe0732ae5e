/** A local logger's port: both dialects a byte at a time, the steps of a checkpoint in and out of turn, who may take one. */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { freePortPair } from "../../lib/launch/free_ports.ts";
import { FooterWord } from "../../lib/memory/layout.ts";
import { LocalLogger } from "../../lib/node/logger/local_logger.ts";
import { decodeChecksums, decodeRuns } from "../../lib/wire/gathered.ts";
import type { Fields } from "../../lib/wire/messages.ts";
import { hello } from "../support/frames.ts";
import type { Came } from "../support/frames.ts";
import { Peer, SIZE, TestServer } from "../support/memory_server.ts";
import { until } from "../support/until.ts";

/** A server and its logger in this process. */
class Logged implements AsyncDisposable {
  readonly peers: Peer[] = [];
  private constructor(readonly server: TestServer, readonly logger: LocalLogger) {}

  static async start({ masterSilentMsMax = 30_000, size = SIZE } = {}): Promise<Logged> {
    const port = freePortPair("127.0.0.1");
    const server = await TestServer.start("epoll", { port, size });
    const request = { host: "127.0.0.1", port: port + 1, shmkey: 0, semkey: 0, waitMsMax: 5_000, masterSilentMsMax };
    try {
      return new Logged(server, await LocalLogger.start(request, () => {}, new AbortController().signal));
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  async dial(): Promise<Peer> {
    const peer = new Peer(await Deno.connect({ hostname: "127.0.0.1", port: this.logger.endpoint.port }));
    this.peers.push(peer);
    return peer;
  }

  async greet(): Promise<Peer> {
    const peer = await this.dial();
    await peer.greet();
    return peer;
  }

  /** The epoch whose picture is armed in the footer; 0: none is. */
  get copying(): number {
    return this.server.server.region.word(FooterWord.copying);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const peer of this.peers) peer.close();
    await this.logger[Symbol.asyncDispose]();
    await this.server[Symbol.asyncDispose]();
  }
}

function codeOf({ header }: Came): string {
  return header.name === "error" ? (header.fields as Fields<"error">).code : header.name;
}

/** Gathers to the end: the bytes that come, put where they belong. */
async function gatherAll(
  peer: Peer,
  epoch: number,
  since: number,
  image: Uint8Array,
): Promise<{ since: number; size: number }> {
  for (let size = 0;;) {
    const { header, payload } = await peer.request("gather", { epoch, since });
    assertStrictEquals(header.name, "gathered");
    const fields = header.fields as Fields<"gathered">;
    let at = 0;
    for (const run of decodeRuns(fields.runs, payload.length)) {
      image.set(payload.subarray(at, at + run.size), run.offset);
      at += run.size;
    }
    assertEquals(payload.length === 0, decodeChecksums(fields.checksums).length === 0);
    size += payload.length;
    if (fields.next === image.length) return { since: fields.since, size };
  }
}

/** One checkpoint, from prepare to confirm. */
async function checkpoint(
  peer: Peer,
  epoch: number,
  since: number,
  image: Uint8Array,
): Promise<{ since: number; size: number }> {
  for (const step of ["prepare", "cut", "release"] as const) await peer.request(step, { epoch });
  const gathered = await gatherAll(peer, epoch, since, image);
  assertEquals(codeOf(await peer.request("confirm", { epoch })), "loggerInfoReply");
  return gathered;
}

Deno.test("the native dialect a byte at a time, then a question", async () => {
  await using logged = await Logged.start();
  const peer = await logged.dial();
  for (const byte of hello()) await peer.send(new Uint8Array([byte]));
  assertEquals((await peer.welcomed()).role, "logger");
  const { header } = await peer.request("loggerInfo", {});
  const info = header.fields as Fields<"loggerInfoReply">;
  assertEquals(
    [info.server, info.isMaster, info.directory, info.size, info.reason],
    [logged.logger.serverName, false, "", SIZE, ""],
  );
});

Deno.test("an index of the classic dialect a byte at a time is answered with the memory", async () => {
  await using logged = await Logged.start();
  for (let at = 0; at < SIZE; at++) logged.server.data[at] = at % 251;
  const peer = await logged.dial();
  // D, S: the native magic so far, and an index after all
  for (const byte of [0x44, 0x53, 0, 0, 7]) await peer.send(new Uint8Array([byte]));
  assertEquals(await peer.reader.bytes(SIZE), logged.server.data.slice());
  await peer.send(new Uint8Array([0, 0, 0]));
  assertEquals(await peer.reader.bytes(SIZE), logged.server.data.slice());
});

Deno.test("a checkpoint step by step: the picture is that of the cut, and the next has what changed since", async () => {
  await using logged = await Logged.start();
  const { data } = logged.server;
  const client = await logged.server.greet();
  await client.write(0, new Uint8Array(10_000).fill(1));
  const peer = await logged.greet();
  for (const step of ["prepare", "cut", "release"] as const) {
    assert(codeOf(await peer.request(step, { epoch: 5 })) !== "error", step);
  }
  const atCut = data.slice();
  await client.write(4_000, new Uint8Array(200_000).fill(2));
  const image = new Uint8Array(SIZE);
  assertEquals(await gatherAll(peer, 5, 0, image), { since: 0, size: 3 * 4096 });
  assertEquals(image, atCut);
  assertEquals(codeOf(await peer.request("confirm", { epoch: 5 })), "loggerInfoReply");
  assertEquals(logged.copying, 0);
  const { since, size } = await checkpoint(peer, 6, 5, image);
  assertEquals([since, size, image], [5, Math.ceil(204_000 / 4096) * 4096, data.slice()]);
});

Deno.test("the picture that the newest was compared with is known still, one before that is not", async () => {
  await using logged = await Logged.start();
  const peer = await logged.greet();
  const image = new Uint8Array(SIZE);
  assertEquals((await checkpoint(peer, 2, 0, image)).since, 0);
  assertEquals((await checkpoint(peer, 3, 2, image)).since, 2);
  assertEquals((await checkpoint(peer, 4, 2, image)).since, 2); // as if 3 had not become complete
  assertEquals((await checkpoint(peer, 5, 3, image)).since, 0);
});

Deno.test("what is out of turn is refused, and changes nothing", async () => {
  await using logged = await Logged.start();
  const peer = await logged.greet();
  const ask = async (name: "prepare" | "cut" | "release" | "confirm", epoch = 9) =>
    codeOf(await peer.request(name, { epoch }));
  const gather = async () => codeOf(await peer.request("gather", { epoch: 9, since: 0 }));
  assertEquals(
    [await ask("cut"), await ask("release"), await gather(), await ask("confirm")],
    Array(4).fill("ECANCELED"),
  );
  assertEquals(await ask("prepare", 1), "ESTALE");
  assertEquals([await ask("prepare"), await ask("release"), await gather(), await ask("confirm")], [
    "loggerInfoReply",
    "EINVAL",
    "EINVAL",
    "EINVAL",
  ]);
  assertEquals([await ask("cut", 8), await ask("cut"), await gather()], ["EINVAL", "done", "EINVAL"]);
  assertEquals([await ask("release"), await ask("confirm"), await ask("cut")], ["done", "EINVAL", "EINVAL"]);
  assertEquals([await gather(), await gather(), await ask("confirm")], ["gathered", "gathered", "loggerInfoReply"]);
  assertEquals(await ask("confirm"), "ECANCELED");
});

Deno.test("one checkpoint at a time: a second master is told whose it is, and has its turn when that one has gone", async () => {
  await using logged = await Logged.start();
  const [first, second] = [await logged.greet(), await logged.greet()];
  await first.request("prepare", { epoch: 2 });
  const refused = await second.request("prepare", { epoch: 3 });
  assertEquals(codeOf(refused), "EBUSY");
  assert((refused.header.fields as Fields<"error">).message.includes(":"), "it names the other master");
  assertEquals(codeOf(await second.request("abandon", { epoch: 2 })), "done");
  assertEquals(logged.copying, 2, "who does not own it abandons nothing");
  first.close();
  await until("it to be free", async () => codeOf(await second.request("prepare", { epoch: 3 })) === "loggerInfoReply");
  assertEquals(logged.copying, 3);
  assertEquals(codeOf(await second.request("abandon", { epoch: 3 })), "done");
  assertEquals([logged.copying, codeOf(await second.request("abandon", { epoch: 3 }))], [0, "done"]);
});

Deno.test("a master that falls silent loses its checkpoint; one that goes on does not", async () => {
  await using logged = await Logged.start({ masterSilentMsMax: 300 });
  const peer = await logged.greet();
  await peer.request("prepare", { epoch: 2 });
  const startMs = performance.now();
  while (performance.now() - startMs < 600) {
    assertEquals(codeOf(await peer.request("ping", {})), "pong");
  }
  assertEquals(logged.copying, 2);
  await until("it to be taken from it", () => logged.copying === 0);
  assertEquals(codeOf(await peer.request("cut", { epoch: 2 })), "ECANCELED");
});

Deno.test("a gather that waits for a held block ends when its master is silent for too long, and the next goes on", async () => {
  await using logged = await Logged.start({ masterSilentMsMax: 300 });
  const client = await logged.server.greet();
  await client.write(0, new Uint8Array(SIZE).fill(3));
  const peer = await logged.greet();
  for (const step of ["prepare", "cut", "release"] as const) await peer.request(step, { epoch: 2 });
  {
    using _held = logged.server.hold(7);
    assertEquals(codeOf(await peer.request("gather", { epoch: 2, since: 0 })), "ECANCELED");
    assertEquals(logged.copying, 0);
  }
  assertEquals((await checkpoint(peer, 3, 0, new Uint8Array(SIZE))).size, SIZE);
});

Deno.test("who is not the master refuses what only the master does; nobody answers what is not a logger's", async () => {
  await using logged = await Logged.start();
  const peer = await logged.greet();
  for (const name of ["take", "progress", "suspend"] as const) {
    assertEquals([name, codeOf(await peer.request(name, {}))], [name, "ENOTSUP"]);
  }
  assertEquals(codeOf(await peer.request("layout", {})), "ENOSYS");
});

Deno.test("requests before hello, and payloads, close the connection", async () => {
  await using logged = await Logged.start();
  const early = await logged.dial();
  await early.send(new TextEncoder().encode("DSM1"), new Uint8Array([0, 0, 0, 5, 0, 0, 0, 0, 0x94, 1, 40, 0, 0]));
  await early.isClosed();
  const loaded = await logged.greet();
  await loaded.send(new Uint8Array([0, 0, 0, 5, 0, 0, 0, 1, 0x94, 1, 4, 0, 0, 9]));
  await loaded.isClosed();
});
