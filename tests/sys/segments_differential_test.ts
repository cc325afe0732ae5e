/**
 * Our table of segments against this host's kernel: the same random calls of several processes of several users on both
 * sides, and everything compared (see tests/support/segments_twice.ts).
 *
 * Every call with every errno that can be reached is reached, and the coverage printed. Out of reach: EIDRM takes a removal
 * in the middle of a call; ENOMEM of `shmat` a full address space; EACCES by a security module.
 */
import { assert, assertEquals } from "@std/assert";
import type { Random } from "../../lib/base/random.ts";
import { Space } from "../../lib/config/space.ts";
import { IPC_PRIVATE, IPC_RMID, IPC_SET } from "../../lib/ipc/common/flags.ts";
import { SHM_LOCK, SHM_RDONLY } from "../../lib/ipc/segments/flags.ts";
import * as ipcFlags from "../../lib/ipc/common/flags.ts";
import * as shmFlags from "../../lib/ipc/segments/flags.ts";
import { ftok } from "../../lib/ipc/common/ftok.ts";
import { DEFAULT_LIMITS, PAGE_SIZE } from "../../lib/ipc/segments/limits.ts";
import type { Limits } from "../../lib/ipc/segments/limits.ts";
import { ObjectIds } from "../../lib/ipc/common/object_ids.ts";
import * as native from "../../lib/sys/shared_memory.ts";
import { KernelCaller } from "../support/kernel_segments.ts";
import type { Identity } from "../support/kernel_process.ts";
import { seededTest } from "../support/seeded.ts";
import { CELLS } from "../support/segment_cells.ts";
import type { Need } from "../support/segment_cells.ts";
import { playSequence, PROMISES_EVERYTHING } from "../support/segment_sequences.ts";
import { seconds, TableSide, Twice } from "../support/segments_twice.ts";
import type { Actor, Call } from "../support/segments_twice.ts";
import { until } from "../support/until.ts";

const SEQUENCE_COUNT = 320;
const CALL_COUNT = 50;
const IS_ROOT = Deno.uid() === 0;
const SUPERUSER: Identity = { uid: 0, gid: 0, groups: [] };

const ROOMY: Limits = { ...DEFAULT_LIMITS, shmmax: 2n ** 62n };
/** Each sequence lives under one of these. */
const LIMITS: readonly Limits[] = [
  ROOMY,
  { ...ROOMY, shmmni: 4, memlock: 2 * PAGE_SIZE + 1 },
  { ...ROOMY, shmall: 9n, memlock: 0 },
];

/** Three servers with blocks of different sizes, about 24 MiB. */
const SPACE = new Space(
  1,
  [PAGE_SIZE, 100, 65_536].map((blockSize, index) => ({
    host: "127.0.0.1",
    port: 9734 + index,
    size: Math.floor(8 * 2 ** 20 / blockSize) * blockSize,
    blockSize,
    isAlive: true,
    reason: "",
  })),
);

/** uid 0; two processes of one user; a member of his group, one who is so on the side only, and a stranger. */
function identities(random: Random): readonly (Identity | undefined)[] {
  if (!IS_ROOT) {
    console.log(
      "not root: one user only, in the host's namespace; skipped is what takes several users or other limits",
    );
    return [undefined, undefined];
  }
  const first = random.between(100_000, 2 ** 30);
  const user = (index: number, group: number, ...groups: number[]): Identity => ({
    uid: first + index,
    gid: first + group,
    groups: groups.map((each) => first + each),
  });
  return [SUPERUSER, user(1, 1), user(1, 1), user(2, 1), user(3, 3, 2, 1), user(4, 4)];
}

function isReachable(need: Need, { isAlone }: Twice): boolean {
  switch (need) {
    case "nothing":
      return true;
    case "users":
      return IS_ROOT;
    case "namespace":
      return isAlone;
    case "memory":
      return !PROMISES_EVERYTHING;
  }
}

seededTest(`segments: ${SEQUENCE_COUNT} sequences of calls come out as the kernel has it`, async (random) => {
  await using twice = await Twice.start(identities(random), new TableSide(SPACE));
  const counts = new Map([...CELLS.keys()].map((cell) => [cell, 0]));
  for (let sequence = 0; sequence < SEQUENCE_COUNT; sequence++) {
    const limits = random.pick(twice.isAlone ? LIMITS : [ROOMY]);
    await twice.limit(limits);
    await playSequence(random, twice, limits, CALL_COUNT, (cell) => counts.set(cell, (counts.get(cell) ?? 0) + 1));
  }
  report(counts, twice);
});

/** Prints what was reached how often; fails where something was not that could be. */
function report(counts: ReadonlyMap<string, number>, twice: Twice): void {
  const reachable = [...counts.keys()].filter((cell) => isReachable(CELLS.get(cell) ?? "nothing", twice));
  const missed = reachable.filter((cell) => counts.get(cell) === 0);
  const skipped = CELLS.size - [...CELLS.values()].filter((need) => isReachable(need, twice)).length;
  console.log(`reached ${reachable.length - missed.length} of ${reachable.length} cells, ${skipped} skipped:`);
  for (const [cell, count] of counts) console.log(`${count}`.padStart(7), cell);
  assertEquals(missed, [], "cells that were not reached");
}

Deno.test("segments: each call sets the times that it sets with the kernel, and no others", async () => {
  const identity = IS_ROOT ? SUPERUSER : undefined;
  await using twice = await Twice.start([identity], new TableSide(SPACE));
  const [actor] = twice.actors as [Actor];
  const { value: id } = await twice.make(actor, { call: "shmget", key: IPC_PRIVATE, size: 1, flags: 0o600 });
  let attachment = 0;
  const calls: readonly [string, () => Call, readonly string[]][] = [
    ["shmat", () => ({ call: "shmat", id, flags: 0 }), ["atime"]],
    ["shmdt", () => ({ call: "shmdt", attachment }), ["dtime"]],
    ["IPC_SET", () => ({ call: "shmctl", id, command: IPC_SET, ownership: { ...actor.who, mode: 0o640 } }), ["ctime"]],
    ["SHM_LOCK", () => ({ call: "shmctl", id, command: SHM_LOCK }), []],
    ["shmat", () => ({ call: "shmat", id, flags: SHM_RDONLY }), ["atime"]],
    ["IPC_RMID", () => ({ call: "shmctl", id, command: IPC_RMID }), []],
  ];
  for (const [name, call, changed] of calls) {
    const before = await times(twice, actor, id);
    await until("the next second", () => seconds() > before.latest);
    const { value } = await twice.make(actor, call());
    if (name === "shmat") attachment = value;
    const after = await times(twice, actor, id);
    assertEquals(changes(before.ours, after.ours), changed, `${name} by us`);
    assertEquals(changes(before.theirs, after.theirs), changed, `${name} by the kernel`);
  }
  await twice.clear();
});

type Times = Readonly<Record<"atime" | "dtime" | "ctime", number>>;

async function times(twice: Twice, actor: Actor, id: number): Promise<{ ours: Times; theirs: Times; latest: number }> {
  const ours = twice.statuses().find((status) => status.id === id);
  const theirs = await twice.kernelStatus(actor, id);
  assert(ours && theirs);
  const all = [ours, theirs].flatMap(({ atime, dtime, ctime }) => [atime, dtime, ctime]);
  return { ours, theirs, latest: Math.max(...all) };
}

function changes(before: Times, after: Times): string[] {
  return (["atime", "dtime", "ctime"] as const).filter((name) => before[name] !== after[name]);
}

Deno.test("segments: what a killed process had attached is undone, as the end of its session undoes it with us", async () => {
  const identity = IS_ROOT ? SUPERUSER : undefined;
  const ours = new TableSide(SPACE);
  await using twice = await Twice.start([identity, identity], ours);
  const [survivor, victim] = twice.actors as [Actor, Actor];
  const { value: id } = await twice.make(survivor, { call: "shmget", key: IPC_PRIVATE, size: 1, flags: 0o600 });
  for (const actor of [victim, survivor, victim]) await twice.make(actor, { call: "shmat", id, flags: 0 });
  await twice.make(victim, { call: "shmctl", id, command: IPC_RMID });

  await victim.caller.kill();
  await until("the kernel to notice", async () => (await twice.kernelStatus(survivor, id))?.nattch === 1);
  ours.table.endSession(victim.session, seconds());
  await twice.compareAll();
  assertEquals(twice.statuses()[0]?.lpid, victim.who.pid);

  await twice.make(survivor, { call: "end" });
  assertEquals(twice.ids, []);
});

seededTest(
  "ids: those that Linux makes, with hundreds of segments and with a circle that is nearly full",
  async (random) => {
    const { caller, namespace } = await KernelCaller.start(IS_ROOT ? SUPERUSER : undefined, IS_ROOT ? "new" : "host");
    const ids = new ObjectIds();
    const live: number[] = [];
    const make = async (): Promise<void> => {
      const { value } = await caller.make({ call: "shmget", key: IPC_PRIVATE, size: "1", flags: 0o600 });
      assertEquals(ids.take(), value);
      live.push(value);
    };
    const remove = async (id: number): Promise<void> => {
      live.splice(live.indexOf(id), 1);
      ids.release(id);
      await caller.make({ call: "shmctl", id, command: IPC_RMID });
    };
    try {
      if (namespace === "host") return console.log("no namespace of our own: skipped, since others make segments here");
      for (let count = 0; count < 64; count++) await make();
      for (let count = 0; count < 3; count++) {
        await remove(live.at(-1) ?? 0);
        await make();
      }
      for (let step = 0; step < 3000; step++) {
        const isGrowing = step % 1000 < 500;
        if (live.length > 0 && random.isOneIn(isGrowing ? 4 : 2)) await remove(random.pick(live));
        else await make();
      }
    } finally {
      await caller.kill();
    }
  },
);

seededTest("ftok: the keys that glibc makes", async (random) => {
  const { caller } = await KernelCaller.start();
  try {
    for (const path of ["/", "/proc", import.meta.filename ?? "/tmp", Deno.execPath()]) {
      const { ino, dev } = Deno.statSync(path);
      for (const id of [0, 1, 255, 256, -1, random.word() | 0]) {
        const { value } = await caller.make({ call: "ftok", path, id });
        assertEquals(ftok(ino ?? 0, dev, id), value >>> 0, `${path} ${id}`);
      }
    }
  } finally {
    await caller.kill();
  }
});

Deno.test("segments: lib/ipc and lib/sys have the same numbers", () => {
  for (const name of ["IPC_CREAT", "IPC_EXCL", "IPC_PRIVATE", "SHM_RDONLY", "SHM_DEST"] as const) {
    assertEquals({ ...ipcFlags, ...shmFlags }[name], native[name], name);
  }
});
