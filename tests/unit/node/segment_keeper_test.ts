/** The config server's table of segments: what is stored when, what a later life makes of it. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { PeerLostError, SystemError } from "../../../lib/base/errors.ts";
import { IPC_CREAT } from "../../../lib/ipc/common/flags.ts";
import { SHM_DEST } from "../../../lib/ipc/segments/flags.ts";
import { DEFAULT_LIMITS } from "../../../lib/ipc/segments/limits.ts";
import { SegmentKeeper } from "../../../lib/node/config/segment_keeper.ts";
import type { Zero } from "../../../lib/node/config/segment_keeper.ts";
import { SegmentState } from "../../../lib/node/config/segment_state.ts";
import { TempDir } from "../../support/machine.ts";
import { until } from "../../support/until.ts";
import { principal, spaceOf, tableOf } from "../ipc/segments/tables.ts";

const ADA = principal(1000, 100);
const KEY = 77;
const TWO = [{ size: 8192, blockSize: 4096 }, { size: 8192, blockSize: 4096 }];

/** A keeper on a file; `await using` is its orderly end. */
class Life implements AsyncDisposable {
  readonly keeper: SegmentKeeper;
  readonly logged: string[] = [];

  constructor(
    dir: TempDir,
    { zero = () => Promise.resolve(), tell = () => Promise.resolve(), lapseMs = 0 }: {
      zero?: Zero;
      tell?: (id: number | undefined, life: Life) => Promise<void>;
      lapseMs?: number;
    } = {},
  ) {
    const state = SegmentState.open(dir.file("state/config.sqlite"));
    const options = {
      lowWaterMark: 0,
      limits: DEFAULT_LIMITS,
      lapseMs,
      tell: (id: number | undefined) => tell(id, this),
    };
    this.keeper = new SegmentKeeper(state, zero, options, (_, text) => this.logged.push(text));
    this.keeper.layOut(spaceOf(TWO), ["a", "b"]);
  }

  get table(): SegmentKeeper["table"] {
    return this.keeper.table;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.keeper.end();
    await this.keeper.close();
  }
}

/** A directory with the files as they are on disk now: what a kill would leave. */
async function killedNow(dir: TempDir): Promise<TempDir> {
  const copy = new TempDir();
  await Deno.mkdir(copy.file("state"));
  for (const { name } of Deno.readDirSync(dir.file("state"))) {
    await Deno.copyFile(dir.file(`state/${name}`), copy.file(`state/${name}`));
  }
  return copy;
}

Deno.test("what was made, attached, changed and removed is there in the next life, for its owner's eyes only", async () => {
  await using dir = new TempDir();
  let rows: unknown;
  {
    await using life = new Life(dir);
    const { keeper, table } = life;
    const [kept, marked, removed] = [
      await keeper.shmget(ADA, KEY, 5000, IPC_CREAT | 0o640),
      await keeper.shmget(ADA, 0, 1, 0o600),
      await keeper.shmget(ADA, 0, 1, 0o600),
    ] as [number, number, number];
    table.shmat(ADA, "s", kept, 0, 5);
    table.shmat(ADA, "s", marked, 0, 6);
    table.set(ADA, kept, { uid: 3, gid: 4, mode: 0o604 }, 7);
    table.lock(ADA, kept);
    table.remove(ADA, marked);
    table.remove(ADA, removed);
    keeper.store();
    rows = table.toRows();
  }
  await using life = new Life(dir);
  assertEquals(life.table.toRows(), rows);
  const mode = (path: string): number => (Deno.statSync(path).mode ?? 0) & 0o777;
  assertEquals([mode(dir.file("state")), mode(dir.file("state/config.sqlite"))], [0o700, 0o600]);
});

Deno.test("who wants a segment that is being made waits for it; it is in the file before he is told", async () => {
  await using dir = new TempDir();
  const zeroed = Promise.withResolvers<void>();
  await using life = new Life(dir, { zero: () => zeroed.promise });
  const made = life.keeper.shmget(ADA, KEY, 100, IPC_CREAT);
  const waiting = life.keeper.shmget(ADA, KEY, 100, IPC_CREAT);
  assertEquals(life.table.pending, [0]);
  zeroed.resolve();
  assertEquals([await made, await waiting], [0, 0]);
  await using copy = await killedNow(dir);
  await using next = new Life(copy);
  assertEquals(next.table.toRows(), life.table.toRows());
  assertEquals(next.table.pending, []);
});

Deno.test("servers are told that a new range is nobody's before it is zeroed, and whose it is before he hears", async () => {
  await using dir = new TempDir();
  const steps: string[] = [];
  await using life = new Life(dir, {
    zero: () => Promise.resolve(void steps.push("zero")),
    tell: (id = -1, { table }) => Promise.resolve(void steps.push(`uid ${table.ownedRange(id)?.uid}`)),
  });
  const id = await life.keeper.shmget(ADA, KEY, 100, IPC_CREAT | 0o600);
  assertEquals(steps, ["uid 0", "zero", "uid 1000"]);
  assertEquals(life.keeper.memoryOf(id), [["127.0.0.1:9000", "a"]]);
});

Deno.test("servers that cannot be told: a new segment is ENOMEM and nothing is zeroed; one that is there is told later", async () => {
  await using dir = new TempDir();
  let isAway = true;
  const zeroed: unknown[] = [];
  await using life = new Life(dir, {
    zero: (_, range) => Promise.resolve(void zeroed.push(range)),
    tell: () => isAway ? Promise.reject(new PeerLostError("a is away", "no")) : Promise.resolve(),
    lapseMs: 60_000,
  });
  const error = await assertRejects(() => life.keeper.shmget(ADA, KEY, 100, IPC_CREAT), SystemError, "a is away");
  assertEquals([error.code, zeroed], ["ENOMEM", []]);
  isAway = false;
  const id = await life.keeper.shmget(ADA, KEY + 1, 100, IPC_CREAT);
  isAway = true;
  await life.keeper.tellOwner(id);
  assert(life.logged.at(-1)?.includes("a is away"), life.logged.join("\n"));
});

Deno.test("killed while it zeroes: the range is not handed out before the lapse, and is after it", async () => {
  await using dir = new TempDir();
  const zeroed = Promise.withResolvers<void>();
  await using first = new Life(dir, { zero: () => zeroed.promise });
  const made = first.keeper.shmget(ADA, KEY, 16384, IPC_CREAT);
  await using copy = await killedNow(dir);
  zeroed.resolve();
  await made;
  {
    await using life = new Life(copy, { lapseMs: 60_000 });
    life.keeper.begin();
    assertEquals(life.table.pending, [0]);
    await assertRejects(() => life.keeper.shmget(ADA, 0, 1, 0), SystemError, "ENOMEM");
  }
  await using life = new Life(copy);
  life.keeper.begin();
  assertEquals(await life.keeper.shmget(ADA, KEY, 16384, IPC_CREAT), 1);
});

Deno.test("who still waits when the config server ends is told to try again, and nothing is stored any more", async () => {
  await using dir = new TempDir();
  const zeroed = Promise.withResolvers<void>();
  await using life = new Life(dir, { zero: () => zeroed.promise });
  const calls = [1, 2].map(() => life.keeper.shmget(ADA, KEY, 100, IPC_CREAT));
  life.keeper.end();
  zeroed.resolve();
  for (const call of calls) assertEquals((await assertRejects(() => call, SystemError)).code, "EAGAIN");
});

Deno.test("what cannot be zeroed is ENOMEM, and its range is free after the lapse", async () => {
  await using dir = new TempDir();
  let isBroken = true;
  const zero = (): Promise<void> => isBroken ? Promise.reject(new PeerLostError("gone", "no")) : Promise.resolve();
  await using life = new Life(dir, { zero, lapseMs: 1 });
  await assertRejects(() => life.keeper.shmget(ADA, KEY, 16384, IPC_CREAT), SystemError, "ENOMEM");
  isBroken = false;
  assertEquals(await life.keeper.shmget(ADA, KEY, 16384, IPC_CREAT), 1);
});

Deno.test("sessions: one that comes back keeps what it attached, the others lose it after the lapse", async () => {
  await using dir = new TempDir();
  {
    await using life = new Life(dir);
    const id = await life.keeper.shmget(ADA, KEY, 1, IPC_CREAT | 0o600);
    for (const session of ["back", "lost"]) life.table.shmat(ADA, session, id, 0, 1);
    life.table.remove(ADA, id);
    life.keeper.store();
    life.keeper.end();
    life.keeper.endSession("back"); // the config server's end is not theirs
  }
  await using life = new Life(dir, { lapseMs: 1 });
  assertEquals([life.keeper.takeUp("back"), life.keeper.takeUp("back"), life.keeper.takeUp("new")], [
    true,
    false,
    false,
  ]);
  life.keeper.begin();
  await until("the lost one's end", () => life.table.stat(ADA, 0).nattch === 1);
  assertEquals(life.table.stat(ADA, 0).mode & SHM_DEST, SHM_DEST);
  assertEquals(life.keeper.takeUp("lost"), false);
  life.keeper.endSession("back");
  assertThrows(() => life.table.stat(ADA, 0), SystemError, "EINVAL");
});

Deno.test("a region with another cookie, or in another place, takes its segments with it, attached or not", async () => {
  await using dir = new TempDir();
  {
    await using life = new Life(dir);
    for (const key of [1, 2]) await life.keeper.shmget(ADA, key, 8192, IPC_CREAT | 0o600);
    life.table.shmat(ADA, "s", 0, 0, 1);
    life.keeper.store();
    life.keeper.layOut(spaceOf(TWO), ["a", "b"]); // the same ones
    assertEquals(life.logged, []);
  }
  {
    await using life = new Life(dir);
    life.keeper.layOut(spaceOf(TWO), ["other", ""]);
    assertEquals(life.table.toRows().segments.map(({ key }) => key), [2]);
    assertEquals(life.table.sessions, []);
    assertEquals(life.logged, [
      "127.0.0.1:9000 has other memory than before: dropped segment 0 (key 0x00000001)",
    ]);
  }
  await using life = new Life(dir);
  assertEquals(life.logged, []);
  life.keeper.layOut(spaceOf([{ size: 4096, blockSize: 4096 }, { size: 8192, blockSize: 4096 }]), ["c", "b"]);
  assertEquals(life.table.toRows().segments, []);
  assert(life.logged.some((text) => text.includes("segment 1 (key 0x00000002)")), life.logged.join());
});

Deno.test("held: it waits for what is being made, keeps others out, and the table that follows has no attachments", async () => {
  await using dir = new TempDir();
  {
    await using life = new Life(dir);
    const id = await life.keeper.shmget(ADA, KEY, 1, IPC_CREAT | 0o600);
    for (const session of ["absent", "absent", "back"]) life.table.shmat(ADA, session, id, 0, 1);
    life.keeper.store();
  }
  const zeroed = Promise.withResolvers<void>();
  await using life = new Life(dir, { zero: () => zeroed.promise, lapseMs: 60_000 });
  const { keeper } = life;
  keeper.begin();
  assertEquals(keeper.takeUp("back"), true);
  const picture = life.table.toPicture();
  life.table.set(ADA, 0, { uid: 5, gid: 5, mode: 0o666 }, 3);
  const made = keeper.shmget(ADA, KEY + 1, 1, IPC_CREAT | 0o600);
  const holder = {};
  let isHeld = false;
  const holding = keeper.hold(holder).then(() => isHeld = true);
  assertEquals((await assertRejects(() => keeper.hold({}), SystemError)).code, "EBUSY");
  assertEquals(assertThrows(() => keeper.restore(holder, picture), SystemError).code, "EINVAL", "something is pending");
  assertEquals(isHeld, false);
  zeroed.resolve();
  assertEquals([await made, await holding], [1, true]);

  let isIn = false;
  const waiting = keeper.whenOpen().then(() => isIn = true);
  assertEquals(assertThrows(() => keeper.restore({}, picture), SystemError).code, "EINVAL");
  assertEquals(keeper.restore(holder, picture).sort(), ["absent", "back"]);
  assertEquals([isIn, keeper.takeUp("absent")], [false, false]);
  keeper.letGo({});
  keeper.letGo(holder);
  await waiting;
  const rows = life.table.toRows();
  assertEquals(rows.segments, picture.segments);
  assertEquals([rows.attachments, rows.nextAttachment, rows.lastIndex], [[], 4, 1]);
  await using copy = await killedNow(dir);
  await using next = new Life(copy);
  assertEquals(next.table.toRows(), rows);
});

Deno.test("a table that does not fit the space is refused, and the one that is there goes on", async () => {
  await using dir = new TempDir();
  await using life = new Life(dir);
  life.keeper.begin();
  await life.keeper.shmget(ADA, KEY, 16_384, IPC_CREAT | 0o600);
  const picture = life.table.toPicture();
  life.table.remove(ADA, 0);
  life.keeper.layOut(spaceOf([{ size: 8192, blockSize: 4096 }]), ["a"]);
  const holder = {};
  await life.keeper.hold(holder);
  assertEquals(assertThrows(() => life.keeper.restore(holder, picture), SystemError).code, "ENOMEM");
  assertEquals(life.table.toRows().segments, []);
});

Deno.test("a config server that begins with a larger space's table names what lies beyond", async () => {
  await using dir = new TempDir();
  const large = tableOf([{ size: 65_536, blockSize: 4096 }]);
  for (const key of [1, 2]) large.commit(large.shmget(ADA, key, 12_288, IPC_CREAT, 1).id);
  const state = SegmentState.open(dir.file("state/config.sqlite"));
  state.begin(large.toPicture());
  assertEquals(
    assertThrows(() => state.begin(large.toPicture()), SystemError, "has a table of 2 segments").code,
    "EEXIST",
  );
  state.close();
  await using life = new Life(dir);
  life.keeper.begin();
  assertEquals(life.logged, [
    "the space ends at 16384, before the end of segment 1 (key 0x00000002); append servers, or remove them",
  ]);
});

Deno.test("a state that is another's, or no database, is refused by name", async () => {
  await using dir = new TempDir();
  await using _life = new Life(dir);
  const busy = assertThrows(() => new Life(dir), SystemError, "another server has it");
  assertEquals(busy.code, "EBUSY");
  await Deno.writeTextFile(dir.file("text"), "this is no database, and long enough to be taken for one".repeat(20));
  assertEquals(assertThrows(() => SegmentState.open(dir.file("text")), SystemError, "not a database").code, "EIO");
});
