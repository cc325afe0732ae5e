/** The simple dialect with real processes: a standalone server and clusters, clients in C and in Python, kills. */
import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { ERRNO } from "../../lib/base/errno.ts";
import { connect, IPC_CREAT, IPC_EXCL, SHM_DEST, SHM_RDONLY } from "../../mod.ts";
import { OPERATION_SIZE_MAX } from "../../lib/wire/messages.ts";
import { PENDING_TOTAL_MAX } from "../../lib/net/transport.ts";
import { EXCHANGE_TOTAL_MAX } from "../../lib/node/memory/exchange_pool.ts";
import { SHMID_DS_SIZE, SIMPLE_DATA_SIZE_MAX } from "../../lib/wire/simple.ts";
import {
  dsm,
  have,
  Program,
  ROOT,
  runCommand,
  startDsm,
  TempDir,
  TestCluster,
  TestServer,
  testWhere,
  works,
} from "../support/processes.ts";
import type { Exit, Keys } from "../support/processes.ts";
import { HeldBlock } from "../support/holder.ts";
import { frame, HELLO, joined, RawClient } from "../support/raw.ts";
import { simpleBytes, SimpleClient, sizeBytes } from "../support/simple_client.ts";
import { until, within } from "../support/until.ts";

const { EACCES, EEXIST, EHOSTDOWN, EINVAL, ENOENT, ENOSYS, ENOTCONN, EPERM } = ERRNO;
const IPC_RMID = 0;
const IPC_SET = 1;
const IPC_STAT = 2;
const KiB = 1024;
const KEY = 0x5e6;
const encode = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** Where a test's segments are. */
interface Home extends AsyncDisposable {
  /** Where its clients go. */
  readonly port: number;
  /** Of the region that its first segment is in. */
  readonly keys: Keys;
  /** Stops the server that clients go to. */
  stop(): Promise<Exit>;
  /** What the servers have said. */
  said(): string;
}

/** @param more options of the servers. */
type StartHome = (transport: string, ...more: string[]) => Promise<Home>;

async function standalone(transport: string, ...more: string[]): Promise<Home> {
  const server = await TestServer.start(["--standalone", "--size", "1MiB", "--transport", transport, ...more]);
  return {
    port: server.port,
    keys: server.keys,
    stop: () => server.program.stop(),
    said: () => server.program.stderr,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

async function cluster(transport: string, ...more: string[]): Promise<Home> {
  const args = ["--size", "512KiB", "--transport", transport, ...more];
  const started = await TestCluster.start({ servers: 3, args });
  return {
    port: started.server(1).port,
    keys: started.server(0).keys,
    stop: () => started.server(1).program.stop(),
    said: () => started.servers.map(({ program }) => program.stderr).join(""),
    [Symbol.asyncDispose]: () => started[Symbol.asyncDispose](),
  };
}

const HOMES: readonly (readonly [string, StartHome])[] = [["standalone", standalone], ["cluster", cluster]];

/** Bytes of a process that are its own: without the region, which is shared. */
function ownMemory(pid: number): number {
  return KiB * Number(/RssAnon:\s+(\d+)/.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1]);
}

/** One test on each kind of home and each transport. */
function everywhere(name: string, run: (home: Home) => Promise<void>): void {
  for (const [kind, start] of HOMES) {
    for (const transport of ["epoll", "deno"]) {
      Deno.test(`${name}: ${kind}, ${transport}`, async () => {
        await using home = await start(transport);
        await run(home);
      });
    }
  }
}

// ---- the clients of docs/PROTOCOL.md

for (const [kind, start] of HOMES) {
  for (const transport of ["epoll", "deno"]) {
    testWhere(have("cc"), "no C compiler here", `the client in C: ${kind}, ${transport}`, async () => {
      await using dir = new TempDir();
      const client = dir.file("simple_client");
      const source = `${ROOT}examples/simple_client.c`;
      const built = await runCommand(["cc", "-Wall", "-Wextra", "-Werror", `-I${ROOT}include`, "-o", client, source]);
      assertEquals([built.code, built.stderr], [0, ""]);
      await assertClientWorks(start, transport, [client]);
    });
    testWhere(have("python3"), "no python3 here", `the client in Python: ${kind}, ${transport}`, async () => {
      await assertClientWorks(start, transport, ["python3", `${ROOT}examples/simple_client.py`]);
    });
  }
}

async function assertClientWorks(start: StartHome, transport: string, command: string[]): Promise<void> {
  await using home = await start(transport);
  const ran = await runCommand([...command, `${home.port}`, "1234", "hello"]);
  assertEquals([ran.stdout, ran.stderr, ran.code], ["hello: 4096 bytes, 1 attached, mode 600\n", "", 0]);
  // it has removed it: the key is free again, until somebody keeps it
  using other = await SimpleClient.connect(home.port);
  await other.create(1234, 10, IPC_CREAT | IPC_EXCL | 0o600);
  const refused = await runCommand([...command, `${home.port}`, "1234", "hello"]);
  assertNotEquals(refused.code, 0);
  assertMatch(refused.stderr, /File exists/);
}

// ---- what the commands do

everywhere("every command does what its call does", async ({ port }) => {
  using one = await SimpleClient.connect(port);
  using two = await SimpleClient.connect(port);
  const size = 300 * KiB;
  const id = await one.create(KEY, size, IPC_CREAT | IPC_EXCL | 0o640);
  assertEquals(await two.create(KEY, 0, 0), id, "found by its key");
  await one.attach(id);
  await two.attach(id, SHM_RDONLY);
  assert((await one.read(id, 0, size)).every((byte) => byte === 0), "a new segment is zeroed");
  const bytes = crypto.getRandomValues(new Uint8Array(60_000));
  await one.write(id, 200 * KiB - 7, bytes);
  assertEquals(await two.read(id, 200 * KiB - 7, bytes.length), bytes);
  assertEquals((await one.read(id, size, 0)).length, 0);
  await one.write(id, size - 3, encode("end"));
  assertEquals(decode(await two.read(id, size - 3, 3)), "end");

  assertEquals(await two.status(id), { size, nattch: 2, mode: 0o640 });
  const { data } = await one.call("CMD_SHMCTL", { shmid: id, flags: IPC_STAT });
  assertEquals(data.length, SHMID_DS_SIZE);
  const status = new DataView(data.buffer);
  assertEquals([status.getUint32(0, true), status.getUint32(4, true), status.getUint32(20, true)], [KEY, 0, 0o640]);
  assertEquals([status.getBigUint64(48, true), status.getBigUint64(88, true)], [BigInt(size), 2n]);
  assertEquals([status.getInt32(80, true), status.getInt32(84, true)], [0, 0], "pids are not known");
  const now = Math.floor(Date.now() / 1000);
  for (const at of [56, 72]) assert(Math.abs(Number(status.getBigUint64(at, true)) - now) < 60);

  status.setUint32(4, 7, true);
  status.setUint32(8, 8, true);
  status.setUint32(20, 0o444, true);
  await one.call("CMD_SHMCTL", { shmid: id, flags: IPC_SET }, data);
  const after = new DataView((await one.call("CMD_SHMCTL", { shmid: id, flags: IPC_STAT })).data.buffer);
  assertEquals([after.getUint32(4, true), after.getUint32(8, true), after.getUint32(20, true)], [7, 8, 0o444]);
  assertEquals([after.getUint32(12, true)], [0], "its creator stays");

  // removed while it is attached: without a key, usable, gone with the last one
  await two.call("CMD_REMOVE_SEGMENT", { shmid: id });
  assertEquals(await two.errno("CMD_CREATE_SEGMENT", { shmid: KEY }, sizeBytes(0)), ENOENT);
  assertEquals((await two.status(id)).mode, SHM_DEST | 0o444);
  assertEquals(decode(await two.read(id, size - 3, 3)), "end");
  await two.call("CMD_SHMCTL", { shmid: id, flags: IPC_RMID });
  await one.detach(id);
  await two.detach(id);
  assertEquals(await one.errno("CMD_GET_STATUS", { shmid: id }), EINVAL);
});

everywhere(
  "attached twice is detached twice; the latest goes first, and writing takes one that may",
  async ({ port }) => {
    using client = await SimpleClient.connect(port);
    const id = await client.create(0, 100, 0o600);
    await client.attach(id);
    await client.attach(id, SHM_RDONLY);
    assertEquals((await client.status(id)).nattch, 2);
    await client.write(id, 0, encode("both"));
    await client.detach(id);
    await client.write(id, 4, encode("!"));
    assertEquals(decode(await client.read(id, 0, 5)), "both!");
    await client.detach(id);
    assertEquals(await client.errno("CMD_DETACH_SEGMENT", { shmid: id }), EINVAL);
    assertEquals((await client.status(id)).nattch, 0);
  },
);

everywhere("every error is a number of Linux's, and the connection goes on", async ({ port }) => {
  using client = await SimpleClient.connect(port);
  using other = await SimpleClient.connect(port);
  const id = await client.create(KEY, 100, IPC_CREAT | 0o600);
  await client.attach(id);
  const readOnly = await client.create(KEY + 1, 100, IPC_CREAT | 0o600);
  await client.attach(readOnly, SHM_RDONLY);
  const cells: [string, number, number][] = [
    [
      "a key that is there",
      EEXIST,
      await client.errno("CMD_CREATE_SEGMENT", words(KEY, IPC_CREAT | IPC_EXCL), sizeBytes(1)),
    ],
    ["a key that is not", ENOENT, await client.errno("CMD_CREATE_SEGMENT", words(KEY + 2, 0), sizeBytes(1))],
    ["larger than it is", EINVAL, await client.errno("CMD_CREATE_SEGMENT", words(KEY, 0), sizeBytes(101))],
    ["no size", EINVAL, await client.errno("CMD_CREATE_SEGMENT", words(0, 0), sizeBytes(0))],
    ["beyond 2^53", EINVAL, await client.errno("CMD_CREATE_SEGMENT", words(0, 0), sizeBytes(2n ** 64n - 1n))],
    ["beyond the space", ERRNO.ENOMEM, await client.errno("CMD_CREATE_SEGMENT", words(0, 0), sizeBytes(2 ** 40))],
    ["a size of 4 bytes", EINVAL, await client.errno("CMD_CREATE_SEGMENT", words(0, 0), new Uint8Array(4))],
    ["no such segment to attach", EINVAL, await client.errno("CMD_ATTACH_SEGMENT", words(31))],
    ["a negative id", EINVAL, await client.errno("CMD_ATTACH_SEGMENT", words(-1))],
    ["no such segment to remove", EINVAL, await client.errno("CMD_REMOVE_SEGMENT", words(31))],
    ["no such segment to look at", EINVAL, await client.errno("CMD_GET_STATUS", words(31))],
    ["another's attachment to detach", EINVAL, await other.errno("CMD_DETACH_SEGMENT", words(id))],
    ["another's attachment to read", EINVAL, await other.errno("CMD_READ_DATA", { shmid: id, size: 1 })],
    ["another's attachment to write", EINVAL, await other.errno("CMD_WRITE_DATA", words(id), encode("x"))],
    ["read past the end", EINVAL, await client.errno("CMD_READ_DATA", { shmid: id, size: 1, offset: 100 })],
    ["read far past it", EINVAL, await client.errno("CMD_READ_DATA", { shmid: id, size: 4, offset: 0xffff_fffe })],
    ["write past the end", EINVAL, await client.errno("CMD_WRITE_DATA", { shmid: id, offset: 98 }, encode("xyz"))],
    ["write read-only", EACCES, await client.errno("CMD_WRITE_DATA", words(readOnly), encode("x"))],
    ["shmctl of no command", EINVAL, await client.errno("CMD_SHMCTL", words(id, 13))],
    ["IPC_SET without data", EINVAL, await client.errno("CMD_SHMCTL", words(id, IPC_SET))],
    [
      "IPC_STAT with data",
      EINVAL,
      await client.errno("CMD_SHMCTL", words(id, IPC_STAT), new Uint8Array(SHMID_DS_SIZE)),
    ],
    ["data for who takes none", EINVAL, await client.errno("CMD_ATTACH_SEGMENT", words(id), new Uint8Array(70_000))],
    ["no such command", ENOSYS, await client.errno(0)],
    ["no such command, with data", ENOSYS, await client.errno(9, {}, new Uint8Array(70_000))],
  ];
  for (const [what, expected, got] of cells) assertEquals(got, expected, what);
  assertEquals((await client.status(id)).nattch, 1, "nothing of all that attached anything");
});

function words(shmid: number, flags = 0): { readonly shmid: number; readonly flags: number } {
  return { shmid, flags };
}

everywhere("a byte at a time, and many requests at once: replies come in their order", async ({ port }) => {
  using client = await SimpleClient.connect(port);
  const id = await client.create(0, 8 * KiB, 0o600);
  const requests = [
    simpleBytes("CMD_ATTACH_SEGMENT", { shmid: id }),
    simpleBytes("CMD_WRITE_DATA", { shmid: id, offset: 4094 }, encode("drip")),
    simpleBytes(9, {}, encode("skipped")),
    simpleBytes("CMD_READ_DATA", { shmid: id, offset: 4094, size: 4 }),
    simpleBytes("CMD_DETACH_SEGMENT", { shmid: id }),
  ];
  const replies = async (): Promise<string[]> => {
    const all: string[] = [];
    for (const _ of requests) {
      const { result, error, data } = await client.reply();
      all.push(`${result} ${error} ${decode(data)}`);
    }
    return all;
  };
  const expected = ["0 0 ", "4 0 ", `-1 ${ENOSYS} `, "4 0 drip", "0 0 "];
  for (const byte of joined(...requests)) await client.raw.send(new Uint8Array([byte]));
  assertEquals(await replies(), expected);
  await client.raw.send(joined(...requests));
  assertEquals(await replies(), expected);
});

everywhere(
  "64 MiB is the most at once; what is larger is thrown away as it comes, and the connection goes on",
  async ({ port }) => {
    assertEquals(SIMPLE_DATA_SIZE_MAX, OPERATION_SIZE_MAX);
    using client = await SimpleClient.connect(port);
    const id = await client.create(0, 8 * KiB, 0o600);
    await client.attach(id);
    assertEquals(await client.errno("CMD_READ_DATA", { shmid: id, size: SIMPLE_DATA_SIZE_MAX + 1 }), EINVAL);
    await client.raw.send(simpleBytes("CMD_WRITE_DATA", { shmid: id, size: SIMPLE_DATA_SIZE_MAX + 1 }));
    const step = new Uint8Array(KiB * KiB);
    for (let sent = 0; sent < SIMPLE_DATA_SIZE_MAX; sent += step.length) await client.raw.send(step);
    await client.raw.send(new Uint8Array(1));
    assertEquals((await client.reply()).error, EINVAL);
    await client.write(id, 0, encode("goes on"));
    // and what fits, but not the segment
    assertEquals(await client.errno("CMD_WRITE_DATA", { shmid: id }, new Uint8Array(9 * KiB)), EINVAL);
    assertEquals(decode(await client.read(id, 0, 7)), "goes on");
  },
);

for (const transport of ["epoll", "deno"]) {
  Deno.test(`64 MiB to each of eight clients that are slow to take it: all of it, within the limits (${transport})`, async () => {
    await using server = await TestServer.start(["--standalone", "--size", "66MiB", "--transport", transport]);
    const size = SIMPLE_DATA_SIZE_MAX;
    using one = await SimpleClient.connect(server.port);
    const id = await one.create(0, size, 0o600);
    await one.attach(id);
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size; at += 4093) bytes[at] = at % 251;
    await one.write(id, 0, bytes);
    const before = ownMemory(server.program.pid);
    for (let round = 0; round < 4; round++) {
      const clients = await Promise.all(Array.from({ length: 8 }, () => SimpleClient.connect(server.port)));
      for (const client of clients) {
        await client.attach(id, SHM_RDONLY);
        await client.raw.send(simpleBytes("CMD_READ_DATA", { shmid: id, size }));
      }
      // at once: who waits for room gets it in no particular order
      await Promise.all(clients.map(async (client) => {
        const { result, data } = await client.reply();
        assertEquals([result, Buffer.compare(data, bytes)], [size, 0]);
        client.close();
      }));
    }
    const kept = ownMemory(server.program.pid) - before;
    // and as much again for what the collector has not come to yet
    assert(kept < 2 * (EXCHANGE_TOTAL_MAX + PENDING_TOTAL_MAX), `${kept} bytes more`);
  });
}

everywhere(
  "what may be no request at all closes its connection with a line, and nobody else's",
  async ({ port, said }) => {
    using client = await SimpleClient.connect(port);
    const id = await client.create(0, 100, 0o600);
    await client.attach(id);
    using bad = await RawClient.connect(port);
    await bad.send(simpleBytes(77, { size: 0xffff_ffff }));
    await bad.untilClosed();
    await until("a line", () => /WARN server: closed .*: a simple request of no known command/.test(said()));
    await Promise.all(Array.from({ length: 40 }, async (_, i) => {
      using noise = await RawClient.connect(port);
      const bytes = crypto.getRandomValues(new Uint8Array(4 + (i * 997) % 20_000));
      bytes[0] = 0;
      // half of them begin with a command there is
      if (i % 2 === 0) bytes.set([0, 0, 0, i % 9]);
      await noise.send(bytes).catch(() => {});
      await noise.connection.closeWrite().catch(() => {});
      await noise.untilClosed();
    }));
    await client.write(id, 0, encode("served"));
    assertEquals(decode(await client.read(id, 0, 6)), "served");
  },
);

// ---- what ends with whom

/** A process that attaches `ids` over one connection and never ends: to be killed. */
async function attachElsewhere(port: number, ...ids: number[]): Promise<Program> {
  const script = `
import sys, time
sys.path.insert(0, "${ROOT}examples")
import simple_client as client
server = client.Server(${port})
for shmid in ${JSON.stringify(ids)}: server.call(client.ATTACH, shmid)
print("attached", flush=True)
time.sleep(600)`;
  const program = new Program(["python3", "-B", "-c", script]);
  await program.saysOut(/attached/);
  return program;
}

if (have("python3")) {
  everywhere("kill -9 of a client: nattch falls within a second, and what was marked goes", async ({ port }) => {
    using client = await SimpleClient.connect(port);
    const kept = await client.create(KEY, 100, IPC_CREAT | 0o600);
    const marked = await client.create(0, 100, 0o600);
    await using victim = await attachElsewhere(port, kept, marked, kept);
    await client.call("CMD_REMOVE_SEGMENT", { shmid: marked });
    assertEquals([(await client.status(kept)).nattch, (await client.status(marked)).nattch], [2, 1]);
    await victim.kill();
    await until("nattch to fall", async () => (await client.status(kept)).nattch === 0, 1_000);
    assertEquals(await client.errno("CMD_GET_STATUS", { shmid: marked }), EINVAL);
  });
}

for (const transport of ["epoll", "deno"]) {
  Deno.test(`a client that goes while its write waits for a block leaves nothing behind (${transport})`, async () => {
    await using server = await TestServer.start(["--standalone", "--size", "64KiB", "--transport", transport]);
    using client = await SimpleClient.connect(server.port);
    const id = await client.create(0, 100, 0o600);
    using victim = await SimpleClient.connect(server.port);
    await victim.attach(id);
    using block = new HeldBlock(server.keys, 0);
    // with a reply that was not taken its end is a reset, which a transport may notice although it does not read
    await victim.raw.send(joined(
      simpleBytes("CMD_GET_STATUS", { shmid: id }),
      simpleBytes("CMD_WRITE_DATA", { shmid: id }, encode("never")),
    ));
    await until("it to wait", () => block.waiters > 0);
    assertEquals((await client.status(id)).nattch, 1, "others go on meanwhile");
    victim.close();
    const isDetached = async (): Promise<boolean> => (await client.status(id)).nattch === 0;
    if (transport === "epoll") await until("its attachment to go", isDetached);
    block.release();
    await until("its attachment to go, and the guard to be free", async () => await isDetached() && block.isFree);
    if (transport === "deno") return;
    await client.attach(id);
    assertEquals(await client.read(id, 0, 5), new Uint8Array(5), "what was waiting was not written any more");
  });
}

everywhere("stopped while requests wait for a block: it ends in order", async ({ port, stop, keys }) => {
  using client = await SimpleClient.connect(port);
  const id = await client.create(0, 100, 0o600);
  await client.attach(id);
  using block = new HeldBlock(keys, 0);
  await client.raw.send(simpleBytes("CMD_WRITE_DATA", { shmid: id }, encode("never")));
  await until("it to wait", () => block.waiters > 0);
  using maker = await SimpleClient.connect(port);
  await maker.raw.send(simpleBytes("CMD_CREATE_SEGMENT", { flags: 0o600 }, sizeBytes(100)));
  const stopped = stop();
  await Promise.all([client.raw.untilClosed(), maker.raw.untilClosed()]);
  block.release();
  assertEquals((await stopped).code, 0);
});

// ---- standalone servers over their lives

Deno.test("standalone: killed in the middle of creates, table and space agree afterwards", async () => {
  await using dir = new TempDir();
  await using server = await TestServer.start(["--standalone", "--size", "4MiB", "--state", dir.file("state.sqlite")]);
  for (let round = 0; round < 3; round++) {
    const made = new Map<number, Uint8Array>();
    const creators = Array.from({ length: 4 }, async (_, creator) => {
      using client = await SimpleClient.connect(server.port);
      for (let i = 0;; i++) {
        const key = 1 + round * 10_000 + creator * 1_000 + i;
        const id = await client.create(key, 5_000, IPC_CREAT | IPC_EXCL | 0o600);
        await client.attach(id);
        const bytes = crypto.getRandomValues(new Uint8Array(5_000));
        await client.write(id, 0, bytes);
        made.set(id, bytes);
        if (i % 3 === 2) {
          made.delete(id);
          await client.call("CMD_REMOVE_SEGMENT", { shmid: id });
          await client.detach(id);
        }
      }
    });
    const ended = Promise.allSettled(creators);
    await until("some segments", () => made.size >= 20);
    await server.program.kill();
    await ended;
    const again = await server.restart();
    assertEquals([again.fields["start"], again.fields["standalone"]], ["taken-over", "1"]);
    using client = await SimpleClient.connect(server.port);
    for (const [id, bytes] of made) {
      await client.attach(id);
      assertEquals(await client.read(id, 0, bytes.length), bytes, `segment ${id}`);
      assertEquals((await client.status(id)).nattch, 1, "the earlier life's attachment is gone");
      await client.call("CMD_REMOVE_SEGMENT", { shmid: id });
      await client.detach(id);
    }
    // nothing is lost and nothing is taken twice: every block can be had again, zeroed
    await assertAllCanBeHad(client, 4 * KiB * KiB, round);
  }
});

/** Removes what there is under the keys of the test, and takes the whole region in one. */
async function assertAllCanBeHad(client: SimpleClient, size: number, round: number): Promise<void> {
  for (let creator = 0; creator < 4; creator++) {
    for (let i = 0; i < 1_000; i++) {
      const { result, error } = await client.ask(
        "CMD_CREATE_SEGMENT",
        { shmid: 1 + round * 10_000 + creator * 1_000 + i },
        sizeBytes(0),
      );
      if (error === 0) await client.call("CMD_REMOVE_SEGMENT", { shmid: result });
    }
  }
  const all = await client.create(0, size, 0o600);
  await client.attach(all);
  assert((await client.read(all, 0, size)).every((byte) => byte === 0), "zeroed, all of it");
  await client.call("CMD_REMOVE_SEGMENT", { shmid: all });
  await client.detach(all);
}

Deno.test("standalone: a segment's id is its key where that can be", async () => {
  await using server = await TestServer.start(["--standalone", "--size", "64KiB"]);
  using client = await SimpleClient.connect(server.port);
  assertEquals(await client.create(1234, 100, IPC_CREAT | 0o600), 1234);
  assertEquals(await client.create(0x7fff_0000, 100, IPC_CREAT | 0o600), 0x7fff_0000);
  const negative = await client.create(-5, 100, IPC_CREAT | 0o600);
  assertEquals([negative >= 0, await client.create(-5, 0, 0)], [true, negative]);
});

Deno.test("standalone: stopped in order the table goes with the region, kept it stays; another memory drops it by name", async () => {
  await using dir = new TempDir();
  const state = ["--standalone", "--size", "64KiB", "--state", dir.file("state.sqlite")];
  await using server = await TestServer.start([...state, "--keep"]);
  const make = async (): Promise<void> => {
    using client = await SimpleClient.connect(server.port);
    await client.create(1234, 100, IPC_CREAT | 0o600);
  };
  const isThere = async (): Promise<boolean> => {
    using client = await SimpleClient.connect(server.port);
    return await client.errno("CMD_CREATE_SEGMENT", { shmid: 1234 }, sizeBytes(0)) === 0;
  };
  await make();
  assertEquals((await server.program.stop()).code, 0);
  await server.restart();
  assert(await isThere(), "kept");
  await server.program.stop();
  server.keys[Symbol.dispose](); // somebody removes the memory
  await server.restart();
  assertMatch(server.program.stderr, /has other memory than before: dropped segment 1234 \(key 0x000004d2\)/);
  assert(!await isThere());
  await server.program.stop();
  server.keys[Symbol.dispose]();

  await using second = await TestServer.start(state);
  using client = await SimpleClient.connect(second.port);
  await client.create(1234, 100, IPC_CREAT | 0o600);
  await client.attach(1234);
  assertEquals((await second.program.stop()).code, 0);
  await second.restart();
  assertEquals(second.ready.fields["start"], "fresh");
  assertEquals(second.program.stderr.includes("dropped"), false);
});

Deno.test("standalone: two at once on one port and keys: one hears it is taken, and nothing is harmed", async () => {
  await using dir = new TempDir();
  const state = dir.file("state.sqlite");
  await using server = await TestServer.start(["--standalone", "--size", "64KiB", "--state", state]);
  using client = await SimpleClient.connect(server.port);
  await client.create(7, 100, IPC_CREAT | 0o600);
  const { shm, sem } = server.keys;
  const start = (port: number, shmkey: number, semkey: number) =>
    dsm(["server", `${port}`, `${shmkey}`, `${semkey}`, "--standalone", "--size", "64KiB", "--state", state]);
  const [samePort, sameKeys, sameState] = await Promise.all([
    start(server.port, shm, sem),
    start(0, shm, sem),
    start(0, 0, 0),
  ]);
  assertEquals([samePort.code, sameKeys.code, sameState.code], [1, 1, 1]);
  assertMatch(samePort.stderr, /EADDRINUSE/);
  assertMatch(sameKeys.stderr, /already running/);
  assertMatch(sameState.stderr, /EBUSY; another server has it/);
  assertEquals(await client.status(7), { size: 100, nattch: 0, mode: 0o600 });
});

Deno.test("standalone: a config server is refused by name, and counts it as no part of its space", async () => {
  await using server = await TestServer.start(["--standalone", "--size", "64KiB"]);
  await using dir = new TempDir();
  await Deno.writeTextFile(dir.file("config.txt"), `1\n${server.address}\n`);
  await using config = startDsm(["config", dir.file("config.txt"), "--port", "0"]);
  await config.saysErr(new RegExp(`${server.address} is no part of this space: .*this is a standalone server`));
  const [, port] = await config.saysOut(/^ready config \S+:(\d+)/m);
  await using space = await connect({ config: `127.0.0.1:${port}`, timeoutMs: 3_000 });
  assertEquals([space.size, space.places[0]?.isAlive], [0, false]);
  using client = await SimpleClient.connect(server.port);
  assertEquals(await client.create(5, 100, IPC_CREAT | 0o600), 5, "and goes on");
});

// ---- clusters

Deno.test("a server that no config server has taken over says ENOTCONN, and goes on", async () => {
  await using server = await TestServer.start(["--size", "64KiB"]);
  using client = await SimpleClient.connect(server.port);
  assertEquals(await client.errno("CMD_CREATE_SEGMENT", { flags: 0o600 }, sizeBytes(100)), ENOTCONN);
  assertEquals(await client.errno("CMD_ATTACH_SEGMENT", { shmid: 0 }), ENOTCONN);
  assertEquals(await client.errno("CMD_GET_STATUS", { shmid: 0 }), ENOTCONN);
  assertEquals(await client.errno("CMD_READ_DATA", { shmid: 0, size: 1 }), EINVAL, "nothing is attached");
  await using dir = new TempDir();
  await Deno.writeTextFile(dir.file("config.txt"), `1\n${server.address}\n`);
  await using config = startDsm(["config", dir.file("config.txt"), "--port", "0"]);
  await config.saysErr(/ answers: /);
  const id = await client.create(0, 100, 0o600);
  await client.attach(id);
  await client.write(id, 0, encode("now"));
});

Deno.test("one segment over three servers, by every way: simple through each of them, native, attached", async () => {
  await using cluster = await TestCluster.start({ servers: 3 });
  await using native = await connect({ config: cluster.address, attach: false });
  using first = await SimpleClient.connect(cluster.server(0).port);
  const size = 150 * KiB;
  const id = await first.create(KEY, size, IPC_CREAT | 0o600);
  await using attached = await native.shmat(id);
  await first.attach(id);
  const bytes = new Uint8Array(size).map((_, i) => i % 251);
  await first.write(id, 0, bytes);
  assertEquals(await attached.read(0, size), bytes);
  await attached.write(64 * KiB - 3, encode("across"));
  for (const { port } of cluster.servers) {
    using client = await SimpleClient.connect(port);
    assertEquals(await client.create(KEY, 0, 0), id);
    await client.attach(id, SHM_RDONLY);
    assertEquals(decode(await client.read(id, 64 * KiB - 3, 6)), "across");
  }
  await until("those to go", async () => (await first.status(id)).nattch === 2);
});

Deno.test("the config server is gone: EHOSTDOWN, attached bytes go on; it comes back: so does everything", async () => {
  await using cluster = await TestCluster.start({ servers: 2 });
  using client = await SimpleClient.connect(cluster.server(0).port);
  const id = await client.create(KEY, 100 * KiB, IPC_CREAT | 0o600);
  await client.attach(id);
  await client.write(id, 60 * KiB, encode("kept"));
  await cluster.config.kill();
  assertEquals(decode(await client.read(id, 60 * KiB, 4)), "kept");
  await client.raw.send(simpleBytes("CMD_GET_STATUS", { shmid: id }));
  assertEquals((await within("an answer", client.reply(), 20_000)).error, EHOSTDOWN);
  await client.write(id, 60 * KiB, encode("anew"));
  await cluster.restartConfig();
  await until("its attachment to be the session's again", async () => (await client.status(id)).nattch === 1);
  assertEquals(decode(await client.read(id, 60 * KiB, 4)), "anew");
  using other = await SimpleClient.connect(cluster.server(1).port);
  assertEquals(await other.create(KEY, 0, 0), id);
});

// ---- who calls

const AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/** The system's own: what is in a user's directory others may not run. */
const PYTHON_AS_NOBODY = [...AS_NOBODY, "env", "PATH=/usr/bin:/bin", "python3"];

for (const [kind, start] of HOMES) {
  const isRoot = works(...PYTHON_AS_NOBODY, "--version");
  testWhere(isRoot, "no setpriv as root, or no python3", `the uid is the kernel's: ${kind}`, async () => {
    await using home = await start("epoll", "--open");
    using root = await SimpleClient.connect(home.port);
    const own = await root.create(KEY, 100, IPC_CREAT | 0o600);
    const shared = await root.create(KEY + 1, 100, IPC_CREAT | 0o644);
    await using dir = new TempDir();
    await Deno.chmod(dir.path, 0o755);
    await Deno.copyFile(`${ROOT}examples/simple_client.py`, dir.file("simple_client.py"));
    const script = `
import sys
sys.path.insert(0, "${dir.path}")
import simple_client as client
server = client.Server(${home.port})
def errno(*args, **named):
    try:
        server.call(*args, **named)
        return 0
    except OSError as error:
        return error.errno
mine, _ = server.call(client.CREATE, ${KEY + 2}, 0o1600, data=(100).to_bytes(8, "little"))
print([errno(client.ATTACH, ${own}, 0o10000), errno(client.ATTACH, ${shared}, 0o10000), errno(client.ATTACH, ${shared}),
       errno(client.STATUS, ${own}), errno(client.REMOVE, ${shared}), errno(client.READ, ${shared}, size=5),
       errno(client.WRITE, ${shared}, data=b"x"), errno(client.ATTACH, mine), mine])`;
    const ran = await runCommand([...PYTHON_AS_NOBODY, "-B", "-c", script]);
    assertEquals(ran.stderr, "");
    const results = JSON.parse(ran.stdout) as number[];
    assertEquals(results.slice(0, 8), [EACCES, 0, EACCES, EACCES, EPERM, 0, EACCES, 0]);
    const mine = results[8] ?? -1;
    const { data } = await root.call("CMD_SHMCTL", { shmid: mine, flags: IPC_STAT });
    const status = new DataView(data.buffer);
    assertEquals([status.getUint32(4, true), status.getUint32(12, true), status.getInt32(80, true)], [65534, 65534, 0]);
  });
}

/** What a server answers nobody's process to some frames, as text with whatever is between. */
async function saidToNobody(port: number, ...frames: Uint8Array[]): Promise<Program> {
  // a shell, because others may not be allowed to read this directory
  const text = [...joined(HELLO, ...frames)].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
  const script = `exec 3<>/dev/tcp/127.0.0.1/${port}; printf '${text}' >&3; exec cat <&3`;
  const program = new Program([...AS_NOBODY, "bash", "-c", script]);
  await program.saysOut(/EPERM/);
  return program;
}

testWhere(
  works(...PYTHON_AS_NOBODY, "--version"),
  "no setpriv as root, or no python3",
  "over a new connection to the config server calls are still the same user's",
  async () => {
    await using cluster = await TestCluster.start({ servers: 1, args: ["--size", "64KiB", "--open"] });
    await using dir = new TempDir();
    await Deno.chmod(dir.path, 0o755);
    await Deno.copyFile(`${ROOT}examples/simple_client.py`, dir.file("simple_client.py"));
    const script = `
import sys
sys.path.insert(0, "${dir.path}")
import simple_client as client
server = client.Server(${cluster.server(0).port})
for key in (${KEY}, ${KEY + 1}):
    server.call(client.CREATE, key, 0o1600, data=(100).to_bytes(8, "little"))
    print("made", flush=True)
    sys.stdin.readline()`;
    await using program = new Program([...PYTHON_AS_NOBODY, "-B", "-c", script]);
    await program.saysOut(/made/);
    await cluster.config.kill();
    await cluster.restartConfig();
    await program.write("\n");
    await program.saysOut(/made\nmade/);
    await using native = await connect({ config: cluster.address });
    assertEquals((await native.segments.list()).map(({ key, uid, cpid }) => [key, uid, cpid]), [
      [KEY, 65534, 0],
      [KEY + 1, 65534, 0],
    ]);
  },
);

testWhere(
  works(...AS_NOBODY, "true"),
  "no setpriv as root",
  "not everybody may govern a server, or act for another",
  async () => {
    await using cluster = await TestCluster.start({
      servers: 1,
      args: ["--size", "64KiB", "--open"],
      configArgs: ["--open"],
    });
    const { port } = cluster.server(0);
    await using governing = await saidToNobody(port, frame("adopt", 1, { host: "", port: 1 }));
    assertMatch(governing.stdout, /only root and the user this server runs as may take it over, not user 65534/);
    const shmget = { key: KEY, size: 1n, flags: IPC_CREAT | 0o600, pid: 77 };
    await using acting = await saidToNobody(
      cluster.port,
      frame("actFor", 1, { uid: 0 }),
      frame("shmget", 2, shmget),
      frame("actFor", 3, { uid: 65534 }),
    );
    // refused, and so is every call after it: it could be carried out for the wrong one
    await acting.saysOut(/(?:EPERM[^]*){3}/);
    await using native = await connect({ config: cluster.address });
    assertEquals(await native.segments.list(), []);
    // the real config server still governs
    using client = await SimpleClient.connect(port);
    await client.create(KEY, 100, IPC_CREAT | 0o600);
  },
);
