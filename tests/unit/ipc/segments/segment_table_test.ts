/** The table of segments: what it promises under random calls, how a segment comes into being, and where it ends. */
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { InvariantError, SystemError } from "../../../../lib/base/errors.ts";
import type { Random } from "../../../../lib/base/random.ts";
import { IPC_CREAT, IPC_EXCL, IPC_PRIVATE, IPC_RMID, IPC_SET, IPC_STAT } from "../../../../lib/ipc/common/flags.ts";
import { SHM_DEST, SHM_LOCK, SHM_RDONLY, SHM_UNLOCK } from "../../../../lib/ipc/segments/flags.ts";
import { DEFAULT_LIMITS, PAGE_SIZE } from "../../../../lib/ipc/segments/limits.ts";
import type { Principal } from "../../../../lib/ipc/common/permissions.ts";
import { NOBODYS } from "../../../../lib/ipc/segments/range_owners.ts";
import { SegmentTable } from "../../../../lib/ipc/segments/segment_table.ts";
import { shmctl } from "../../../../lib/ipc/segments/shmctl.ts";
import { seededTest } from "../../../support/seeded.ts";
import { principal, refused, spaceOf, tableOf } from "./tables.ts";

const ROOT = principal(0, 0);
const ALICE = principal(1, 1);
const BOB = principal(2, 2, 1);
const PAGES = (count: number) => [{ size: count * PAGE_SIZE, blockSize: PAGE_SIZE }];
const NOW = 1_000;

/** Makes a segment that can be seen at once. */
function make(table: SegmentTable, who: Principal, key: number, size: number, mode = 0o600): number {
  const made = table.shmget(who, key, size, IPC_CREAT | IPC_EXCL | mode, NOW);
  assertEquals(made.outcome, "created");
  table.commit(made.id);
  return made.id;
}

// ---- under random calls

const SERVERS = [
  { size: 16 * PAGE_SIZE, blockSize: PAGE_SIZE },
  { size: 3000, blockSize: 100 },
  { size: 4 * 65_536, blockSize: 65_536 },
];

/** Makes one random call; a refusal is as good as anything. */
function callAtRandom(random: Random, table: SegmentTable, now: number): void {
  const who = random.pick([ROOT, ALICE, BOB]);
  const session = `session ${random.below(4)}`;
  const rows = table.toRows();
  const id = random.pick([...rows.segments.map((row) => row.id), 7]);
  const attachment = random.pick([...rows.attachments.map((row) => row.number), 0]);
  const ownership = { uid: random.below(3), gid: random.below(3), mode: random.below(0o10000) };
  const calls = [
    () => table.shmget(who, random.below(4), random.below(40_000), IPC_CREAT | random.below(0o1000), now),
    () => table.shmget(who, random.below(4), random.below(40_000), IPC_CREAT | random.below(0o1000), now),
    () => table.pending.forEach((each) => random.isOneIn(5) ? table.abort(each) : table.commit(each)),
    () => table.shmat(who, session, id, random.pick([0, SHM_RDONLY]), now),
    () => table.shmat(who, session, id, random.pick([0, SHM_RDONLY]), now),
    () =>
      table.shmdt(
        who,
        rows.attachments.find(({ number }) => number === attachment)?.session ?? session,
        attachment,
        now,
      ),
    () => table.endSession(session, now),
    () =>
      shmctl(
        table,
        who,
        { id, command: random.pick([IPC_STAT, IPC_SET, IPC_RMID, SHM_LOCK, SHM_UNLOCK]), ownership },
        now,
      ),
    () => table.layOut(spaceOf(SERVERS.slice(0, random.between(1, 3)))),
  ];
  try {
    random.pick(calls)();
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
  }
}

/** Checks what the heads of segment_table.ts and segment_store.ts promise, from outside. */
function assertSound(table: SegmentTable): void {
  const { segments, attachments } = table.toRows();
  const keys = segments.map(({ key }) => key).filter((key) => key !== IPC_PRIVATE);
  assertEquals(new Set(keys).size, keys.length, "keys are unique");
  assertEquals(new Set(segments.map(({ id }) => id)).size, segments.length, "ids are unique");
  let end = 0;
  for (const { id, base, rangeSize, size, mode, key, state } of segments.toSorted((a, b) => a.base - b.base)) {
    assert(base >= end, "ranges are apart");
    end = base + rangeSize;
    assert(isBlockStart(base) && isBlockStart(end), "ranges are whole blocks");
    assert(size <= rangeSize, "a segment is in its range");
    const nattch = attachments.filter(({ segmentId }) => segmentId === id).length;
    if (state === "pending") assertEquals(nattch, 0);
    else assertEquals(table.stat(ROOT, id).nattch, nattch);
    if (mode & SHM_DEST) assert(nattch > 0 && key === IPC_PRIVATE, "what is marked is attached and has no key");
  }
  for (const { segmentId } of attachments) assert(segments.some(({ id }) => id === segmentId));
}

function isBlockStart(address: number): boolean {
  const { places, size } = spaceOf(SERVERS);
  const place = places.find(({ base, size }) => base <= address && address < base + size);
  return address === size || (place !== undefined && (address - place.base) % place.blockSize === 0);
}

seededTest("table: its promises hold after each of 20,000 random calls", (random) => {
  for (let life = 0; life < 100; life++) {
    const table = tableOf(SERVERS, { shmmni: 12, memlock: 8 * PAGE_SIZE });
    for (let now = 1; now <= 200; now++) {
      callAtRandom(random, table, now);
      assertSound(table);
    }
  }
});

seededTest("rows: what was stored after each call is what there is, and comes back as it was", (random) => {
  for (let life = 0; life < 40; life++) {
    let table = tableOf(SERVERS);
    const stored = { head: table.takeChanges().head, segments: new Map(), attachments: new Map() };
    for (let now = 1; now <= 100; now++) {
      callAtRandom(random, table, now);
      const changes = table.takeChanges();
      stored.head = changes.head;
      for (const row of changes.segments) stored.segments.set(row.id, row);
      for (const id of changes.removedSegments) stored.segments.delete(id);
      for (const row of changes.attachments) stored.attachments.set(row.number, row);
      for (const number of changes.removedAttachments) stored.attachments.delete(number);
      const rows = JSON.parse(JSON.stringify({
        ...stored.head,
        segments: [...stored.segments.values()].sort((a, b) => a.id - b.id),
        attachments: [...stored.attachments.values()].sort((a, b) => a.number - b.number),
      }));
      assertEquals(rows, table.toRows());
      if (random.isOneIn(10)) table = new SegmentTable(spaceOf(SERVERS), { rows });
      assertEquals(table.toRows(), rows);
    }
  }
});

// ---- a segment comes into being

Deno.test("shmget: a new segment is seen by nobody until it was zeroed", () => {
  const table = tableOf(PAGES(4));
  const made = table.shmget(ALICE, 5, 5000, IPC_CREAT | 0o666, NOW);
  assert(made.outcome === "created");
  assertEquals(made.zero, { base: 0, size: 2 * PAGE_SIZE });
  const { id } = made;
  refused("ENOENT", () => table.shmget(ALICE, 5, 0, 0, NOW));
  refused("EINVAL", () => table.shmat(ALICE, "a", id, 0, NOW));
  refused("EINVAL", () => table.statAnyAt(id));
  refused("EINVAL", () => table.remove(ALICE, id));
  assertEquals(table.ownedRange(id), { base: 0, size: 2 * PAGE_SIZE, ...NOBODYS });
  assertEquals(table.shmget(BOB, 5, 1, IPC_CREAT | IPC_EXCL, NOW), { outcome: "pending", id });
  assertEquals([table.usage.segmentCount, table.indexMax], [0, 0]);

  table.commit(id);
  assertEquals(table.shmget(BOB, 5, 1, IPC_CREAT, NOW), { outcome: "found", id });
  refused("EEXIST", () => table.shmget(BOB, 5, 1, IPC_CREAT | IPC_EXCL, NOW));
  assertEquals(table.usage, { segmentCount: 1, pageCount: 2 });
});

Deno.test("shmget: what could not be zeroed was never there", () => {
  const table = tableOf(PAGES(1));
  const { id } = table.shmget(ALICE, 5, 1, IPC_CREAT, NOW);
  table.abort(id);
  assertEquals(table.takeChanges().removedSegments, [id]);
  assertEquals(table.shmget(ALICE, 5, 1, IPC_CREAT, NOW).outcome, "created");
  assertThrows(() => table.abort(id), InvariantError);
});

Deno.test("shmget: after a restart in between the range stays taken until it is aborted", () => {
  const before = tableOf(PAGES(1));
  const { id } = before.shmget(ALICE, 5, 1, IPC_CREAT | 0o600, NOW);
  const table = new SegmentTable(spaceOf(PAGES(1)), { rows: before.toRows() });
  assertEquals(table.pending, [id]);
  refused("ENOMEM", () => table.shmget(ALICE, IPC_PRIVATE, 1, 0o600, NOW));
  table.abort(id);
  assertEquals(table.shmget(ALICE, 5, 1, IPC_CREAT, NOW).outcome, "created");
});

Deno.test("shmget: keys above 2^31 are the same with and without a sign", () => {
  const table = tableOf(PAGES(1));
  const id = make(table, ALICE, -2, 1);
  assertEquals(table.shmget(ALICE, 2 ** 32 - 2, 0, 0, NOW).id, id);
});

// ---- limits

Deno.test("table: 4,096 segments, and the next one is ENOSPC with a hint", () => {
  const table = tableOf(PAGES(5000));
  const ids = Array.from({ length: 4096 }, (_, index) => make(table, ALICE, index + 1, PAGE_SIZE));
  assertEquals(new Set(ids).size, 4096);
  assertEquals(table.indexMax, 4095);
  const error = refused("ENOSPC", () => make(table, ALICE, IPC_PRIVATE, 1));
  assertMatch(error.message, /SHMMNI.*dsm ipcrm/);
  for (const id of ids) table.remove(ALICE, id);
  assertEquals(table.usage, { segmentCount: 0, pageCount: 0 });
  make(table, ALICE, IPC_PRIVATE, 5000 * PAGE_SIZE);
});

Deno.test("table: what is removed can be had again: id, key, pages and range, 40,000 times", () => {
  const table = tableOf(PAGES(1), { shmall: 1n, shmmni: 1 });
  for (let count = 0; count < 40_000; count++) table.remove(ALICE, make(table, ALICE, 5, 1));
});

Deno.test("table: a segment over three servers with different blocks", () => {
  const table = tableOf(SERVERS);
  const id = make(table, ALICE, IPC_PRIVATE, 16 * PAGE_SIZE + 3001);
  assertEquals(table.stat(ALICE, id).range, { base: 0, size: 16 * PAGE_SIZE + 3000 + 65_536 });
});

Deno.test("table: no room in the space is ENOMEM, no pages left ENOSPC, and a refusal takes nothing", () => {
  const table = tableOf(PAGES(8), { shmall: 6n, shmmni: 2 });
  assertMatch(refused("ENOSPC", () => make(table, ALICE, 1, 6 * PAGE_SIZE + 1)).message, /0 of 6 pages \(SHMALL\)/);
  make(table, ALICE, 1, 1);
  make(table, ALICE, 2, 1);
  refused("ENOSPC", () => make(table, ALICE, 3, 1));
  const roomy = tableOf(PAGES(8));
  make(roomy, ALICE, 1, 5 * PAGE_SIZE);
  const error = refused("ENOMEM", () => make(roomy, ALICE, 2, 4 * PAGE_SIZE));
  assertMatch(error.message, /12288 bytes free, 12288 of them in a row; .*add a server/);
  make(roomy, ALICE, 2, 3 * PAGE_SIZE);
});

Deno.test("table: sizes that are none are EINVAL", () => {
  const table = tableOf(PAGES(8), { shmmin: 2, shmmax: 8192n });
  for (const size of [0, 1, 8193, -1, 2.5, NaN, Infinity]) refused("EINVAL", () => make(table, ALICE, 1, size));
  make(table, ALICE, 1, 8192);
  for (const size of [-1, 8193, NaN]) refused("EINVAL", () => table.shmget(ALICE, 1, size, 0, NOW));
  assertEquals(DEFAULT_LIMITS.shmmax, 18_446_744_073_692_774_399n);
  const boundless = tableOf(PAGES(8));
  refused("EINVAL", () => make(boundless, ALICE, 1, 2 ** 63));
  refused("ENOMEM", () => make(boundless, ALICE, 1, 2 ** 62));
});

// ---- the end of a segment

Deno.test("shmdt: of another session's attachment, and a second time, it is EINVAL", () => {
  const table = tableOf(PAGES(1));
  const id = make(table, ALICE, 5, 1);
  const { attachment } = table.shmat(ALICE, "a", id, 0, NOW);
  refused("EINVAL", () => table.shmdt(ALICE, "b", attachment, NOW));
  table.shmdt(ALICE, "a", attachment, NOW);
  refused("EINVAL", () => table.shmdt(ALICE, "a", attachment, NOW));
});

Deno.test("drop: segments with any byte of the range go, attached or pending, and nothing else", () => {
  const table = tableOf(PAGES(4));
  const [below, attached, above] = [1, 2, 3].map((key) => make(table, ALICE, key, 4096, 0o666)) as [
    number,
    number,
    number,
  ];
  const pending = table.shmget(ALICE, 4, 4096, IPC_CREAT, NOW);
  for (const id of [below, attached, above]) table.shmat(BOB, "b", id, 0, NOW);
  table.takeChanges();
  const dropped = table.drop({ base: 4097, size: 2 * 4096 - 2 });
  assertEquals(dropped.map(({ id }) => id), [attached, above]);
  assertEquals(table.takeChanges().removedAttachments, [2, 3]);
  assertEquals(table.stat(ALICE, below).nattch, 1);
  assertEquals(table.drop({ base: 3 * 4096, size: 1 }).map(({ id }) => id), [pending.id]);
  assertEquals(table.drop({ base: 4096, size: 3 * 4096 }), []);
  assertEquals(make(table, ALICE, 5, 3 * 4096, 0), pending.id + 1);
});

Deno.test("endSession: takes all of that session and nothing else, and what was marked with it", () => {
  const table = tableOf(PAGES(2));
  const [kept, marked] = [make(table, ALICE, 5, 1, 0o666), make(table, ALICE, 6, 1, 0o666)];
  table.shmat(ALICE, "a", kept, 0, NOW);
  table.shmat(BOB, "b", kept, SHM_RDONLY, NOW);
  table.shmat(BOB, "b", marked, 0, NOW);
  table.shmat(BOB, "b", marked, 0, NOW);
  table.remove(ALICE, marked);
  assertEquals(table.sessions, ["a", "b"]);

  table.takeChanges();
  table.endSession("b", NOW + 1);
  const { segments, removedSegments, removedAttachments } = table.takeChanges();
  assertEquals([segments.map(({ id }) => id), removedSegments, removedAttachments], [[kept], [marked], [2, 3, 4]]);
  const { nattch, dtime, lpid } = table.stat(ALICE, kept);
  assertEquals({ nattch, dtime, lpid }, { nattch: 1, dtime: NOW + 1, lpid: BOB.pid });
  assertEquals(table.sessions, ["a"]);
});

// ---- keys as ids

Deno.test("keys as ids: a key is the id where it is positive and its index is free, and the rows say so", () => {
  const space = spaceOf(PAGES(16));
  const table = new SegmentTable(space, { isKeyId: true });
  assertEquals(make(table, ROOT, 1234, 10), 1234);
  assertEquals(make(table, ROOT, IPC_PRIVATE, 10), 0, "a private one has none of its own");
  assertEquals(make(table, ROOT, 32_768 + 1234, 10), 1, "its index is that of 1234");
  assertEquals(make(table, ROOT, 0x8000_0000, 10), 2, "negative in C");
  assertEquals(make(table, ROOT, 0x7fff_ffff, 10), 3, "beyond the largest id there is");
  assertEquals(make(table, ROOT, 2, 10), 4, "taken by another one");
  const again = new SegmentTable(space, { isKeyId: true, rows: table.toRows() });
  assertEquals(again.toRows(), table.toRows());
  table.remove(ROOT, 1234);
  assertEquals(make(table, ROOT, 1234, 10), 1234, "it comes back with its key");
  assertEquals(make(tableOf(PAGES(1)), ROOT, 1234, 10), 0, "Linux's ids unless told");
});
