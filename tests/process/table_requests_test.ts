/** Requests on the table as a whole, as a stranger might send them: who may, in what order, and of which epoch. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { SystemError } from "../../lib/base/errors.ts";
import { parseEndpoint } from "../../lib/base/units.ts";
import { openCheckpoint } from "../../lib/checkpoint/store.ts";
import { IPC_CREAT, IPC_PRIVATE } from "../../lib/ipc/common/flags.ts";
import { EMPTY_TABLE } from "../../lib/ipc/segments/segment_rows.ts";
import { encodeTable } from "../../lib/node/common/table_payload.ts";
import { HeldTable } from "../../lib/node/logger/held_table.ts";
import { TABLE_SIZE_MAX } from "../../lib/wire/messages.ts";
import type { Fields } from "../../lib/wire/messages.ts";
import { connect } from "../../mod.ts";
import { concat, converse, frame, hello, writeAll } from "../support/frames.ts";
import type { Came, Conversation } from "../support/frames.ts";
import { LoggedCluster } from "../support/loggers.ts";
import { Program, TestCluster, testWhere, works } from "../support/processes.ts";
import { until } from "../support/until.ts";

async function ask({ connection, reader }: Conversation, bytes: Uint8Array): Promise<Came> {
  await writeAll(connection, bytes);
  return await reader.frame();
}

function refusalIn({ header }: Came): Fields<"error"> {
  assertEquals(header.name, "error");
  return header.fields as Fields<"error">;
}

Deno.test("a table is replaced by who holds it only, and by a table only; whatever else is refused changes nothing", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  await using space = await connect({ config: cluster.address });
  const id = await space.shmget(7, 100, IPC_CREAT | 0o600);
  const talk = await converse(cluster.port);
  using _ = talk.connection;
  const restore = (payload: Uint8Array): Uint8Array => frame("restoreTable", 1, {}, payload);
  const { code, message } = refusalIn(await ask(talk, restore(encodeTable(EMPTY_TABLE))));
  assertEquals(code, "EINVAL");
  assertMatch(message, /hold it first, with holdTable/);
  assertEquals((await ask(talk, frame("holdTable", 2, {}))).header.name, "done");
  const row = { id: 0, key: 7, size: 1, base: 0, rangeSize: 4096, uid: 0, gid: 0, cuid: 0, cgid: 0, mode: 0o600 };
  const times = { atime: 0, dtime: 0, ctime: 0, cpid: 1, lpid: 0, lockerUid: null };
  const broken = [
    new Uint8Array(0),
    crypto.getRandomValues(new Uint8Array(500)),
    encodeTable({ ...EMPTY_TABLE, format: 2 }),
    encodeTable({ ...EMPTY_TABLE, segments: [{ ...row, ...times, state: "pending" }] }),
    encodeTable({
      ...EMPTY_TABLE,
      segments: [1, 2].map((id) => ({ ...row, ...times, id, key: 0, state: "ready" as const })),
    }),
  ];
  for (const payload of broken) assertEquals(refusalIn(await ask(talk, restore(payload))).code, "EINVAL");
  talk.connection.closeWrite();
  await until("the hold to end", async () => {
    return (await space.segments.list().catch(() => [])).map((each) => each.id).includes(id);
  });
});

Deno.test("payloads: of any other kind, or too large, they close the connection; one that comes in pieces is whole", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  const isClosed = async (...bytes: Uint8Array[]): Promise<boolean> => {
    const talk = await converse(cluster.port);
    using _ = talk.connection;
    await writeAll(talk.connection, concat(...bytes)).catch(() => {}); // it may be closed before all is written
    return await talk.reader.take(1) === undefined;
  };
  assert(await isClosed(frame("write", 1, { offset: 0 }, new Uint8Array(10))));
  assert(await isClosed(frame("holdTable", 1, {}, new Uint8Array(1))));
  assert(await isClosed(frame("restoreTable", 1, {}, new Uint8Array(TABLE_SIZE_MAX + 1)).subarray(0, 100)));

  const talk = await converse(cluster.port);
  using _ = talk.connection;
  assertEquals((await ask(talk, frame("holdTable", 1, {}))).header.name, "done");
  for (const byte of frame("restoreTable", 2, {}, encodeTable(EMPTY_TABLE))) {
    await writeAll(talk.connection, new Uint8Array([byte]));
  }
  assertEquals((await talk.reader.frame()).header.name, "done");
});

const AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

testWhere(
  works(...AS_NOBODY, "true"),
  "setpriv as root",
  "only root and the server's own user may hold or restore",
  async () => {
    await using cluster = await TestCluster.start({ servers: 1, configArgs: ["--open"] });
    const words = concat(hello(), frame("holdTable", 1, {}), frame("restoreTable", 2, {}, encodeTable(EMPTY_TABLE)));
    const text = [...words].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
    const script = `exec 3<>/dev/tcp/127.0.0.1/${cluster.port}; printf '${text}' >&3; exec cat <&3`;
    await using client = new Program([...AS_NOBODY, "bash", "-c", script]);
    await client.saysOut(/EPERM[\s\S]*EPERM; that is for uid 0[\s\S]*EPERM[\s\S]*EPERM; that is for uid 0/);
    client.signal("SIGKILL");
    await using _ = await HeldTable.hold(parseEndpoint(cluster.address)); // nobody has it
  },
);

Deno.test("epochs: the next one is moved to before the call; one beyond it is refused until the servers vouch for it", async () => {
  await using logged = await LoggedCluster.start({ servers: 1 });
  const { cluster } = logged;
  const talk = await converse(cluster.port);
  using _ = talk.connection;
  const { incarnation, epoch } = talk.envelope;
  let id = 0;
  const shmget = (ahead: number): Promise<Came> => {
    const fields = { key: IPC_PRIVATE, size: 1n, flags: 0o600, pid: 1 };
    return ask(talk, frame("shmget", ++id, fields, undefined, { incarnation, epoch: epoch + ahead }));
  };
  const beyond = refusalIn(await shmget(2));
  assertEquals(beyond.code, "ESTALE");
  assertMatch(beyond.message, new RegExp(`is at epoch ${epoch} and has not heard of ${epoch + 2} yet`));
  const next = await shmget(1);
  assertEquals([next.header.name, next.header.epoch], ["shmgetReply", epoch + 1]);
  const table = await ask(talk, frame("segmentTable", ++id, { epoch: epoch + 1 }));
  assertEquals(table.header.name, "segmentTableReply");
  assertEquals(table.payload, encodeTable(EMPTY_TABLE), "it was copied before the call was carried out");
  for (const other of [epoch, epoch + 2]) {
    assertEquals(refusalIn(await ask(talk, frame("segmentTable", ++id, { epoch: other }))).code, "ESTALE");
  }
  // a server that has come further is believed, whoever brought it there
  const server = await Deno.connect({ port: cluster.server(0).port });
  using __ = server;
  const pings = [2, 3].map((ahead) => frame("ping", ahead, {}, undefined, { incarnation, epoch: epoch + ahead }));
  await writeAll(server, concat(hello(), ...pings));
  const served = await until("the config server to hear of it", async () => {
    const came = await shmget(3);
    return came.header.name === "shmgetReply" && came;
  });
  assertEquals(served.header.epoch, epoch + 3);
});

Deno.test("4,096 segments: one more is ENOSPC with a hint; a checkpoint carries all, and a restore brings them back", async () => {
  await using logged = await LoggedCluster.start({ servers: 3, args: ["--size", "8MiB"] });
  const { cluster } = logged;
  await using stack = new AsyncDisposableStack();
  const spaces = await Promise.all(Array.from({ length: 8 }, async () => {
    return stack.use(await connect({ config: cluster.address, timeoutMs: 60_000 }));
  }));
  const [space] = spaces;
  assert(space);
  await Promise.all(spaces.map(async (each, client) => {
    for (let key = 1 + client; key <= 4_096; key += spaces.length) await each.shmget(key, 4_000, IPC_CREAT | 0o600);
  }));
  const error = await assertRejects(() => space.shmget(5_000, 1, IPC_CREAT | 0o600), SystemError);
  assertEquals(error.code, "ENOSPC");
  assertMatch(error.message, /there are 4096 segments, as many as may be \(SHMMNI\); .*dsm ipcrm/);
  const before = await space.segments.list();
  assertEquals(before.length, 4_096);
  assertEquals(new Set(before.map(({ range }) => range.base)).size, 4_096);

  await using master = logged.master();
  const { directory } = await master.take();
  await using held = await HeldTable.hold(parseEndpoint(cluster.address));
  await held.replace(EMPTY_TABLE);
  assertEquals(await space.segments.list(), []);
  await using again = await HeldTable.hold(parseEndpoint(cluster.address));
  await again.replace((await openCheckpoint(directory)).manifest.table);
  assertEquals(await space.segments.list(), before);
});
