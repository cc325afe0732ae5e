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
import { IPC_CREAT, IPC_EXCL, IPC_INFO, IPC_PRIVATE, IPC_RMID, IPC_SET, IPC_STAT } from "../../lib/ipc/common/flags.ts";
import {
  SHM_EXEC,
  SHM_INFO,
  SHM_LOCK,
  SHM_RDONLY,
  SHM_REMAP,
  SHM_STAT,
  SHM_STAT_ANY,
  SHM_UNLOCK,
} from "../../lib/ipc/segments/flags.ts";
import * as ipcFlags from "../../lib/ipc/common/flags.ts";
import * as shmFlags from "../../lib/ipc/segments/flags.ts";
import { ftok } from "../../lib/ipc/common/ftok.ts";
import { DEFAULT_LIMITS, PAGE_SIZE } from "../../lib/ipc/segments/limits.ts";
import type { Limits } from "../../lib/ipc/segments/limits.ts";
import { INDEX_COUNT, ObjectIds } from "../../lib/ipc/common/object_ids.ts";
import type { SegmentStatus } from "../../lib/ipc/segments/segment.ts";
import * as native from "../../lib/sys/shared_memory.ts";
import { KernelCaller } from "../support/kernel_segments.ts";
import type { Identity } from "../support/kernel_segments.ts";
import { seededTest } from "../support/seeded.ts";
import { cellOf, CELLS } from "../support/segment_cells.ts";
import type { Need } from "../support/segment_cells.ts";
import { seconds, Twice } from "../support/segments_twice.ts";
import type { Actor, Call } from "../support/segments_twice.ts";
import { until } from "../support/until.ts";

const SEQUENCE_COUNT = 320;
const CALL_COUNT = 50;
const IS_ROOT = Deno.uid() === 0;
const SUPERUSER: Identity = { uid: 0, gid: 0, groups: [] };

/** More than any memory: the kernel has no room for it, unless it promises everything to everybody. */
const TOO_LARGE = 2 ** 60;
const PROMISES_EVERYTHING = Deno.readTextFileSync("/proc/sys/vm/overcommit_memory").trim() === "1";

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

// ---- random calls

/** Makes up calls that have something to meet. */
class Generator {
  readonly #random: Random;
  readonly #twice: Twice;
  readonly #keys: readonly number[];

  constructor(random: Random, twice: Twice) {
    this.#random = random;
    this.#twice = twice;
    this.#keys = [random.word(), random.word(), random.between(1, 2 ** 31 - 1)];
  }

  next(): { readonly actor: Actor; readonly call: Call } {
    const actor = this.#random.pick(this.#twice.actors);
    const dice = this.#random.below(100);
    if (dice < 27) return { actor, call: this.#get() };
    const attachment = this.#attachment(actor);
    if (dice < 47 && attachment !== undefined) return { actor, call: { call: "shmdt", attachment } };
    if (dice < 59) return { actor, call: { call: "shmat", id: this.#id(), flags: this.#attachFlags() } };
    if (dice < 62) return { actor, call: { call: "end" } };
    return { actor, call: this.#control() };
  }

  /** The segment that a call is about. */
  about(call: Call): SegmentStatus | undefined {
    const all = this.#twice.statuses();
    if (call.call === "shmget") return all.find(({ key }) => key === call.key && key !== IPC_PRIVATE);
    return call.call === "shmctl" ? all.find(({ id }) => id === call.id) : undefined;
  }

  #get(): Call {
    const random = this.#random;
    const key = random.isOneIn(5) ? IPC_PRIVATE : random.pick(this.#keys);
    const flags = this.#mode() | (random.isOneIn(3) ? 0 : IPC_CREAT) | (random.isOneIn(4) ? IPC_EXCL : 0);
    return { call: "shmget", key, size: this.#size(), flags };
  }

  #size(): number {
    const random = this.#random;
    if (random.isOneIn(25)) return random.pick([2 ** 63, -1].slice(this.#twice.isAlone ? 0 : 2)) ?? 0;
    if (random.isOneIn(25) && !PROMISES_EVERYTHING) return TOO_LARGE;
    return random.pick([0, 1, 100, PAGE_SIZE, PAGE_SIZE + 1, 2 * PAGE_SIZE, random.between(1, 5 * PAGE_SIZE)]);
  }

  #mode(): number {
    const random = this.#random;
    return random.isOneIn(2) ? random.below(0o1000) : random.pick([0o600, 0o640, 0o660, 0o666, 0o777, 0o400, 0o111, 0]);
  }

  #attachFlags(): number {
    const random = this.#random;
    const flags = (random.isOneIn(2) ? SHM_RDONLY : 0) | (random.isOneIn(4) ? SHM_EXEC : 0);
    const unknown = random.isOneIn(5) ? 0o20000 | 1 << random.between(20, 30) | random.below(0o1000) : 0;
    return flags | unknown | (random.isOneIn(20) ? SHM_REMAP : 0);
  }

  /** Mostly the id of a segment; else one that was never there, or not any more. */
  #id(): number {
    const random = this.#random;
    const { ids } = this.#twice;
    if (ids.length > 0 && !random.isOneIn(8)) return random.pick(ids);
    const near = ids.length > 0 ? random.pick(ids) : 0;
    const far = this.#twice.isAlone ? [near + INDEX_COUNT, Math.max(0, near - INDEX_COUNT), 2 ** 31 - 1] : [];
    return random.pick([-1, -near - 1, ...far.filter((id) => !ids.includes(id))]);
  }

  /** One that the actor has, or 0, which nobody has; undefined where he has none. */
  #attachment({ attached }: Actor): number | undefined {
    if (this.#random.isOneIn(12)) return 0;
    return attached.size === 0 ? undefined : this.#random.pick([...attached.keys()]);
  }

  #control(): Call {
    const random = this.#random;
    const id = this.#id();
    if (this.#twice.isAlone && random.isOneIn(5)) {
      const index = random.isOneIn(2) ? id : random.pick([random.below(80), id & INDEX_COUNT - 1]);
      return { call: "shmctl", id: index, command: random.pick([SHM_STAT, SHM_STAT_ANY]) };
    }
    const command = random.pick([IPC_STAT, IPC_SET, IPC_SET, IPC_RMID, SHM_LOCK, SHM_LOCK, SHM_UNLOCK]);
    if (random.isOneIn(8)) return { call: "shmctl", id, command: random.pick([IPC_INFO, SHM_INFO, 4, 10, 16, 99, -1]) };
    return { call: "shmctl", id, command, ...command === IPC_SET ? { ownership: this.#ownership() } : {} };
  }

  #ownership(): { uid: number; gid: number; mode: number } {
    const random = this.#random;
    const [{ uid }, { gid }] = [random.pick(this.#twice.actors).who, random.pick(this.#twice.actors).who];
    const nobody = 2 ** 32 - 1;
    return {
      uid: random.isOneIn(12) ? nobody : uid,
      gid: random.isOneIn(12) ? nobody : gid,
      // bits that are not the caller's to set
      mode: this.#mode() | (random.isOneIn(4) ? 0o7000 : 0),
    };
  }
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
  await using twice = await Twice.start(identities(random), SPACE);
  const counts = new Map([...CELLS.keys()].map((cell) => [cell, 0]));
  for (let sequence = 0; sequence < SEQUENCE_COUNT; sequence++) {
    const limits = random.pick(twice.isAlone ? LIMITS : [ROOMY]);
    await twice.limit(limits);
    const generator = new Generator(random, twice);
    const history: string[] = [];
    try {
      for (let step = 0; step < CALL_COUNT; step++) {
        const { actor, call } = generator.next();
        const before = generator.about(call);
        history.push(`uid ${actor.who.uid} pid ${actor.who.pid}: ${JSON.stringify(call)}`);
        const { code } = await twice.make(actor, call);
        history.push(`  ${code}`);
        const cell = cellOf({ call, code, who: actor.who, before, limits });
        counts.set(cell, (counts.get(cell) ?? 0) + 1);
      }
      await twice.clear();
    } catch (error) {
      console.error(`sequence ${sequence}:\n${history.join("\n")}`);
      throw error;
    }
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
  await using twice = await Twice.start([identity], SPACE);
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
  await using twice = await Twice.start([identity, identity], SPACE);
  const [survivor, victim] = twice.actors as [Actor, Actor];
  const { value: id } = await twice.make(survivor, { call: "shmget", key: IPC_PRIVATE, size: 1, flags: 0o600 });
  for (const actor of [victim, survivor, victim]) await twice.make(actor, { call: "shmat", id, flags: 0 });
  await twice.make(victim, { call: "shmctl", id, command: IPC_RMID });

  await victim.caller.kill();
  await until("the kernel to notice", async () => (await twice.kernelStatus(survivor, id))?.nattch === 1);
  twice.table.endSession(victim.session, seconds());
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
