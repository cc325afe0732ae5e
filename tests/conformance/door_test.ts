/**
 * The door of every role, called from an address that is not loopback: whoever does not prove the secret gets nothing
 * served, hears always the same, and so does whoever changes, repeats or moves what somebody else has sealed.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { freePortPair } from "../../lib/launch/free_ports.ts";
import { IPC_CREAT, IPC_PRIVATE, IPC_STAT } from "../../lib/ipc/common/flags.ts";
import { SHM_INFO } from "../../lib/ipc/segments/flags.ts";
import { Channel } from "../../lib/net/channel.ts";
import { ConfigServer } from "../../lib/node/config/config_server.ts";
import { defaultDoor, ENTRY_MS_MAX, NOT_LET_IN } from "../../lib/node/common/door.ts";
import type { DoorSettings } from "../../lib/node/common/door.ts";
import { NOBODY_UID } from "../../lib/node/common/peer_uid.ts";
import { LocalLogger } from "../../lib/node/logger/local_logger.ts";
import { RegistryServer } from "../../lib/node/registry/registry_server.ts";
import type { Fields } from "../../lib/wire/messages.ts";
import { decodeHeader } from "../../lib/wire/frame.ts";
import { ENTRY_HEADER_SIZE_MAX, MAGIC, PREFIX_SIZE } from "../../lib/wire/messages.ts";
import { exchangeOf } from "../../lib/wire/proof.ts";
import { RECORD_SIZE_MAX } from "../../lib/wire/seal.ts";
import { Caller, freshSecret } from "../support/entry.ts";
import type { Where } from "../support/entry.ts";
import { concat, frame, hello } from "../support/frames.ts";
import { TempDir, testWhere } from "../support/machine.ts";
import { TestServer, TRANSPORTS } from "../support/memory_server.ts";
import type { TransportName } from "../support/memory_server.ts";
import { HAS_NETWORK, TestNetwork } from "../support/network.ts";
import { until } from "../support/until.ts";

const NOTHING = new Uint8Array(0);

/** A role behind its door. */
interface Target extends AsyncDisposable {
  readonly where: Where;
  readonly secret: Uint8Array<ArrayBuffer>;
  readonly lines: string[];
  /** Frames that leave a trace when they are served. */
  readonly forged: Uint8Array<ArrayBuffer>;
  /** How many traces there are. */
  served(): Promise<number>;
}

type Start = (network: TestNetwork, door: DoorSettings) => Promise<Target>;

async function startMemory(transport: TransportName, network: TestNetwork, door: DoorSettings): Promise<Target> {
  const server = await TestServer.start(transport, { host: network.here, door });
  const where = { host: network.here, port: server.server.port };
  const secret = door.secret as Uint8Array<ArrayBuffer>;
  return {
    where,
    secret,
    lines: server.lines,
    forged: concat(frame("write", 1, { offset: 0 }, new Uint8Array([7])), frame("read", 2, { offset: 0, size: 1 })),
    async served() {
      using caller = await Caller.welcomed(where, secret);
      await caller.send(caller.seal(frame("regionInfo", 1, {})));
      const { header } = await caller.sealedReply();
      return (header.fields as Fields<"regionInfoReply">).operationCount + (server.data[0] as number);
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

async function startConfig(network: TestNetwork, door: DoorSettings): Promise<Target> {
  const stack = new AsyncDisposableStack();
  const lines: string[] = [];
  const secret = door.secret as Uint8Array<ArrayBuffer>;
  try {
    const server = stack.use(await TestServer.start("epoll"));
    const dir = stack.use(new TempDir());
    await Deno.writeTextFile(dir.file("config.txt"), `1\n127.0.0.1:${server.server.port}\n`);
    const config = await ConfigServer.start(
      { file: dir.file("config.txt"), host: network.here, port: 0, door },
      (level, message) => lines.push(`${level}: ${message}`),
    );
    stack.defer(() => config.stop());
    await until("the space", () => config.space.size > 0);
    const where = { host: network.here, port: config.port };
    const call = { key: IPC_PRIVATE, size: 100n, flags: IPC_CREAT | 0o600, pid: 1 };
    return {
      where,
      secret,
      lines,
      forged: frame("shmget", 1, call),
      async served() {
        using caller = await Caller.welcomed(where, secret);
        const asked = { id: 0, command: SHM_INFO, uid: 0, gid: 0, mode: 0, pid: 1 };
        await caller.send(caller.seal(frame("shmctl", 1, asked)));
        const { header } = await caller.sealedReply();
        return (header.fields as Fields<"shmctlReply">).usage[0]?.[0] as number;
      },
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

async function startLogger(network: TestNetwork, door: DoorSettings): Promise<Target> {
  const stack = new AsyncDisposableStack();
  const lines: string[] = [];
  const secret = door.secret as Uint8Array<ArrayBuffer>;
  try {
    const port = freePortPair(network.here);
    const server = stack.use(await TestServer.start("epoll", { host: network.here, port, door }));
    const epoch = server.server.region.epochHeld;
    const request = { host: network.here, port: port + 1, shmkey: 0, semkey: 0, waitMsMax: 5_000 };
    const credentials = { secret, uid: 0, tlsCa: undefined };
    stack.use(
      await LocalLogger.start(
        { ...request, masterSilentMsMax: 30_000, door, credentials },
        (level, message) => lines.push(`${level}: ${message}`),
        new AbortController().signal,
      ),
    );
    return {
      where: { host: network.here, port: port + 1 },
      secret,
      lines,
      forged: concat(frame("prepare", 1, { epoch: epoch + 1 }), frame("cut", 2, { epoch: epoch + 1 })),
      served: () => Promise.resolve(server.server.region.epochHeld - epoch),
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

async function startRegistry(transport: TransportName, network: TestNetwork, door: DoorSettings): Promise<Target> {
  const lines: string[] = [];
  const secret = door.secret as Uint8Array<ArrayBuffer>;
  const registry = await RegistryServer.start(
    { host: network.here, port: 0, transport, stallMsMax: 30_000, door },
    (level, message) => lines.push(`${level}: ${message}`),
  );
  const where = { host: network.here, port: registry.port };
  return {
    where,
    secret,
    lines,
    forged: frame("bind", 1, { name: "forged", value: "1", isLeased: false, replaces: true }),
    async served() {
      using caller = await Caller.welcomed(where, secret);
      await caller.send(caller.seal(frame("registryInfo", 1, {})));
      const { header } = await caller.sealedReply();
      return (header.fields as Fields<"registryInfoReply">).revision;
    },
    [Symbol.asyncDispose]: () => registry.stop(),
  };
}

const ROLES: readonly (readonly [string, Start])[] = [
  ...TRANSPORTS.map((transport): [string, Start] => [
    `memory server, ${transport}`,
    (network, door) => startMemory(transport, network, door),
  ]),
  ["config server", startConfig],
  ["logger", startLogger],
  ...TRANSPORTS.map((transport): [string, Start] => [
    `registry, ${transport}`,
    (network, door) => startRegistry(transport, network, door),
  ]),
];

/** On each role, with a secret of its own. */
function onEach(name: string, run: (target: Target) => Promise<void>): void {
  for (const [role, start] of ROLES) {
    testWhere(HAS_NETWORK, "no network namespaces here", `${role}: ${name}`, async () => {
      using network = new TestNetwork();
      await using target = await start(network, { ...defaultDoor(), secret: freshSecret() });
      await run(target);
    });
  }
}

/** What is left of an answer is the one refusal that everybody hears. */
async function assertRefused(caller: Caller): Promise<void> {
  const refusal = frame("error", 0, { code: "EACCES", message: NOT_LET_IN });
  assertEquals(await caller.rest(), refusal);
}

const nonce = (): Uint8Array<ArrayBuffer> => crypto.getRandomValues(new Uint8Array(32));

onEach("who proves the secret is served, and what is forged below would leave a trace", async (target) => {
  assertEquals(await target.served(), 0);
  using caller = await Caller.welcomed(target.where, target.secret);
  await caller.send(caller.seal(target.forged));
  await caller.sealedReply();
  await until("its trace", async () => await target.served() > 0);
});

onEach("no secret, another one, a repeated and a reflected hello: one answer, nothing served", async (target) => {
  const { where, secret, forged } = target;
  using without = await Caller.dial(where);
  await without.send(hello(), forged);
  assertEquals(await without.reader.bytes(MAGIC.length), MAGIC);
  await assertRefused(without);

  using wrong = await Caller.challenged(where, freshSecret());
  await wrong.send(frame("prove", 0, { proof: wrong.exchange?.proof as Uint8Array }));
  await assertRefused(wrong);

  using good = await Caller.welcomed(where, secret);
  using repeated = await Caller.dial(where);
  await repeated.send(good.sent.subarray(0, hello(NOTHING, 1, { nonce: nonce(), uid: 4711 }).length));
  await repeated.challenge();
  await repeated.send(frame("prove", 0, { proof: good.exchange?.proof as Uint8Array }));
  await assertRefused(repeated);

  // the server's own nonce given back to it, and then its own challenge as a proof
  using asked = await Caller.dial(where);
  await asked.send(hello(NOTHING, 1, { nonce: nonce(), uid: 0 }));
  const challenge = await asked.challenge();
  using reflected = await Caller.challenged(where, freshSecret(), { nonce: challenge.slice(-40, -8), uid: 0 });
  await reflected.send(frame("prove", 0, { proof: challenge.slice(-40, -8) }));
  await assertRefused(reflected);

  assertEquals(await target.served(), 0);
  const said = target.lines.filter((line) => line.includes("is not let in"));
  assertEquals(said.length, 4, said.join("\n"));
});

onEach("a proof is of the very frames: the uid, the versions, the token, the server's role", async (target) => {
  const { where, secret } = target;
  const mine = { nonce: nonce(), uid: 4711 };
  const roleOf = (challenge: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> => {
    const { nonce } = decodeHeader(challenge.subarray(PREFIX_SIZE)).fields as Fields<"challenge">;
    return frame("challenge", 0, { nonce, role: "another" });
  };
  const same = (challenge: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> => challenge;
  for (
    const [otherHello, otherChallenge] of [
      [hello(NOTHING, 1, { ...mine, uid: 4712 }), same],
      [hello(NOTHING, 2, mine), same],
      [hello(new Uint8Array(1), 1, mine), same],
      [hello(NOTHING, 1, { ...mine, nonce: nonce() }), same],
      [hello(NOTHING, 1, mine), roleOf],
    ] as const
  ) {
    using caller = await Caller.dial(where);
    await caller.send(hello(NOTHING, 1, mine));
    const challenge = await caller.challenge();
    const { proof } = exchangeOf(secret, otherHello.subarray(MAGIC.length), otherChallenge(challenge));
    await caller.send(frame("prove", 0, { proof }));
    await assertRefused(caller);
  }
});

onEach(
  "frames before the proof, behind it, large ones, dialects that prove nothing: closed, nothing served",
  async (target) => {
    const { where, secret, forged } = target;
    const opening = hello(NOTHING, 1, { nonce: nonce(), uid: 0 });
    const large = frame("hello", 0, helloFields("x".repeat(ENTRY_HEADER_SIZE_MAX)));
    for (
      const bytes of [
        concat(MAGIC, forged),
        concat(MAGIC, large),
        concat(MAGIC, new Uint8Array([0, 0, 0, 20, 4, 0, 0, 0])),
        new TextEncoder().encode("w\0\0\0\0\0\0\0\x01\x07"),
        new Uint8Array([0, 0, 0, 1, 0, 0, 0, 1, 0, 0]),
      ]
    ) {
      using caller = await Caller.dial(where);
      await caller.send(bytes);
      assertEquals(await caller.rest(), NOTHING);
    }
    for (const bytes of [forged, concat(frame("prove", 0, { proof: nonce() }), forged)]) {
      using caller = await Caller.dial(where);
      await caller.send(opening, bytes);
      // a magic, a challenge and the refusal
      assert((await caller.rest()).length <= 200);
    }
    using behind = await Caller.challenged(where, secret);
    await behind.send(concat(frame("prove", 0, { proof: behind.exchange?.proof as Uint8Array }), forged));
    await behind.rest();
    assertEquals(await target.served(), 0);
  },
);

onEach(
  "after the proof: what is injected, changed, repeated or moved closes the connection, unserved",
  async (target) => {
    const { where, secret, forged } = target;
    const ping = frame("ping", 9, {});
    const changed = (bytes: Uint8Array<ArrayBuffer>, at: number): Uint8Array<ArrayBuffer> => {
      const copy = bytes.slice();
      copy[at] = (copy[at] as number) ^ 1;
      return copy;
    };
    const attacks: Record<string, (caller: Caller) => Uint8Array> = {
      "a frame that nobody sealed": () => forged,
      "a bit of the body": (caller) => changed(caller.seal(forged), 9),
      "a bit of the tag": (caller) => changed(caller.seal(forged), caller.seal(forged).length - 1),
      "a shorter length": (caller) => changed(caller.seal(forged), 3),
      "the second before the first": (caller) => {
        caller.seal(ping);
        return caller.seal(forged);
      },
      "one twice": (caller) => {
        const record = caller.seal(ping);
        return concat(record, record, caller.seal(forged));
      },
      "too long a record": () => concat(new Uint8Array([0, 1 + (RECORD_SIZE_MAX >> 16), 0, 0]), forged),
      "an empty record": () => concat(new Uint8Array(4), forged),
    };
    for (const [name, attack] of Object.entries(attacks)) {
      using caller = await Caller.welcomed(where, secret);
      const before = target.lines.length;
      // and one in its place behind it, so that nothing is waited for
      await caller.send(attack(caller), caller.seal(ping, ping, ping, ping));
      // the one ping that was in its place is answered
      assert((await caller.rest()).length <= 60, name);
      assertMatch(target.lines.slice(before).join("\n"), /warn: closed .*sealed record/, name);
    }
    // what the server itself has sealed is nothing when it comes back to it
    using mirrored = await Caller.welcomed(where, secret);
    await mirrored.send(mirrored.seal(ping));
    await mirrored.send(await mirrored.record());
    assertEquals(await mirrored.rest(), NOTHING);
    assertEquals(await target.served(), 0);
  },
);

onEach("records may be cut anywhere on their way, and many come at once", async (target) => {
  using caller = await Caller.welcomed(target.where, target.secret);
  for (const byte of caller.seal(frame("ping", 1, {}))) await caller.send(new Uint8Array([byte]));
  assertEquals((await caller.sealedReply()).header.name, "pong");
  await caller.send(...Array.from({ length: 100 }, (_, i) => caller.seal(frame("ping", i, {}))));
  let pongs = 0;
  while (pongs < 100) {
    const { payload } = await caller.sealedReply();
    pongs += 1 + countFrames(payload);
  }
  assertEquals(pongs, 100);
});

onEach("who begins and does not go on is closed after a while, who says nothing too", async (target) => {
  const started = performance.now();
  const callers = await Promise.all(
    [NOTHING, MAGIC.subarray(0, 1), MAGIC, hello(NOTHING, 1, { nonce: nonce(), uid: 0 })].map(async (bytes) => {
      const caller = await Caller.dial(target.where);
      await caller.send(bytes);
      return caller;
    }),
  );
  for (const caller of callers) {
    await caller.rest();
    caller[Symbol.dispose]();
  }
  const waitedMs = performance.now() - started;
  assert(waitedMs > ENTRY_MS_MAX - 100 && waitedMs < 2 * ENTRY_MS_MAX + 2_000, `${waitedMs} ms`);
});

for (const transport of TRANSPORTS) {
  testWhere(
    HAS_NETWORK,
    "no network namespaces here",
    `${transport}: without a secret no native client is let in from there; an allowed dialect is, as nobody's`,
    async () => {
      using network = new TestNetwork();
      const door: DoorSettings = { ...defaultDoor(), unproved: ["classic"] };
      await using server = await TestServer.start(transport, { host: network.here, door });
      const where = { host: network.here, port: server.server.port };
      using native = await Caller.dial(where);
      await native.send(hello(NOTHING, 1, { nonce: nonce(), uid: 0 }), frame("write", 1, { offset: 0 }, MAGIC));
      assertEquals(await native.reader.bytes(MAGIC.length), MAGIC);
      await assertRefused(native);
      using classic = await Caller.dial(where);
      await classic.send(new TextEncoder().encode("w\0\0\0\0\0\0\0\x01\x07r\0\0\0\0\0\0\0\x01"));
      assertEquals(await classic.reader.bytes(1), new Uint8Array([7]));
      assertEquals(server.data[0], 7);
    },
  );
}

for (const transport of TRANSPORTS) {
  testWhere(
    HAS_NETWORK,
    "no network namespaces here",
    `${transport}: what is larger than a record travels in many, there and back, with others between`,
    async () => {
      using network = new TestNetwork();
      const secret = freshSecret();
      await using server = await TestServer.start(transport, {
        host: network.here,
        door: { ...defaultDoor(), secret },
      });
      const credentials = { secret, uid: 1, tlsCa: undefined };
      await using channel = new Channel(network.here, server.server.port, { incarnation: 0, epoch: 0 }, credentials);
      const bytes = crypto.getRandomValues(new Uint8Array(60_000));
      const all = concat(bytes, bytes, bytes, bytes);
      const small = Array.from({ length: 100 }, (_, i) => channel.write(250_000 + i, new Uint8Array([i])));
      await Promise.all([channel.write(7, all), ...small]);
      assertEquals(server.data.slice(7, 7 + all.length), all);
      const read = await Promise.all([
        channel.read(7, all.length),
        ...small.map((_, i) => channel.read(250_000 + i, 1)),
      ]);
      assertEquals(read[0], all);
      assertEquals(read.slice(1).map((one) => one[0]), small.map((_, i) => i));
    },
  );

  Deno.test(`${transport}: on all addresses, this host's own callers are known by IPv4 and IPv6 alike`, async () => {
    await using server = await TestServer.start(transport, {
      host: "::",
      door: { ...defaultDoor(), secret: freshSecret() },
    });
    for (const host of ["127.0.0.1", "::1"]) {
      using caller = await Caller.dial({ host, port: server.server.port });
      await caller.send(hello());
      await caller.reader.bytes(MAGIC.length);
      assertEquals((await caller.reader.frame()).header.name, "welcome", host);
    }
  });
}

testWhere(HAS_NETWORK, "no network namespaces here", "a proved uid is believed, but never root's", async () => {
  using network = new TestNetwork();
  await using target = await startConfig(network, { ...defaultDoor(), secret: freshSecret() });
  for (const [claimed, believed] of [[4711, 4711], [0, NOBODY_UID], [NOBODY_UID, NOBODY_UID]] as const) {
    using caller = await Caller.welcomed(target.where, target.secret, claimed);
    await caller.send(caller.seal(target.forged));
    const { id } = (await caller.sealedReply()).header.fields as Fields<"shmgetReply">;
    await caller.send(caller.seal(frame("shmctl", 2, { id, command: IPC_STAT, uid: 0, gid: 0, mode: 0, pid: 1 })));
    const { status } = (await caller.sealedReply()).header.fields as Fields<"shmctlReply">;
    assertEquals([status[0]?.[5], status[0]?.[7]], [believed, believed]);
  }
});

function helloFields(software: string): Fields<"hello"> {
  return { versionMin: 1, versionMax: 1, software, token: NOTHING, nonce: nonce(), uid: 0 };
}

/** How many more frames without a payload there are in what followed the first of a record. */
function countFrames(rest: Uint8Array<ArrayBuffer>): number {
  const view = new DataView(rest.buffer);
  let count = 0;
  for (let at = 0; at < rest.length; count++) at += 8 + view.getUint32(at);
  return count;
}
