/**
 * Our table of message queues against this host's kernel: the same random calls of several processes of several users on
 * both sides, those that wait included, and everything compared (tests/support/queues_twice.ts). The same for KernelQueues.
 *
 * Every call with every errno that can be reached is reached, and the coverage printed (tests/support/queue_cells.ts).
 */
import { assert, assertEquals } from "@std/assert";
import type { Random } from "../../lib/base/random.ts";
import {
  IPC_CREAT,
  IPC_EXCL,
  IPC_INFO,
  IPC_NOWAIT,
  IPC_PRIVATE,
  IPC_RMID,
  IPC_SET,
  IPC_STAT,
} from "../../lib/ipc/common/flags.ts";
import { INDEX_COUNT } from "../../lib/ipc/common/object_ids.ts";
import { mayControl } from "../../lib/ipc/common/permissions.ts";
import type { QueueChange } from "../../lib/ipc/queues/calls.ts";
import { MSG_COPY, MSG_EXCEPT, MSG_INFO, MSG_NOERROR, MSG_STAT, MSG_STAT_ANY } from "../../lib/ipc/queues/flags.ts";
import { DEFAULT_LIMITS, TYPE_MAX } from "../../lib/ipc/queues/limits.ts";
import type { Limits } from "../../lib/ipc/queues/limits.ts";
import type { QueueStatus } from "../../lib/ipc/queues/queue.ts";
import * as native from "../../lib/sys/message_queues.ts";
import type { Identity } from "../support/kernel_process.ts";
import { cellOf, cellOfEnd, CELLS } from "../support/queue_cells.ts";
import type { Need } from "../support/queue_cells.ts";
import { QueuesTwice } from "../support/queues_twice.ts";
import type { Actor, Call } from "../support/queues_twice.ts";
import { seededTest } from "../support/seeded.ts";
import { until } from "../support/until.ts";

const SEQUENCE_COUNT = 320;
const CARRIER_SEQUENCE_COUNT = 20;
const CALL_COUNT = 60;
const TRY_COUNT = 20;
const TICK_S = 0.05;
const IS_ROOT = Deno.uid() === 0;
/** Whether uid 0 may give a queue more than MSGMNB: a container may have taken that from it. */
const MAY_EXCEED = IS_ROOT && hasCapability(24);
const SUPERUSER: Identity = { uid: 0, gid: 0, groups: [] };

/** Each sequence lives under one of these. */
const LIMITS: readonly Limits[] = [
  DEFAULT_LIMITS,
  { msgmax: 60, msgmnb: 100, msgmni: 3 },
  { msgmax: 20_000, msgmnb: 30, msgmni: 32_000 },
];

/** uid 0; two processes of one user; a member of his group, one who is so on the side only, and a stranger. */
function identities(random: Random): readonly (Identity | undefined)[] {
  if (!IS_ROOT) {
    console.log(
      "not root: one user only, in the host's namespace; skipped is what takes several users or other limits",
    );
    return [undefined, undefined, undefined];
  }
  const first = random.between(100_000, 2 ** 30);
  const user = (index: number, group: number, ...groups: number[]): Identity => ({
    uid: first + index,
    gid: first + group,
    groups: groups.map((each) => first + each),
  });
  return [SUPERUSER, user(1, 1), user(1, 1), user(2, 1), user(3, 3, 2, 1), user(4, 4)];
}

/** Whether this process has the capability with that number (include/uapi/linux/capability.h). */
function hasCapability(number: number): boolean {
  const effective = /^CapEff:\s+(\w+)$/m.exec(Deno.readTextFileSync("/proc/self/status"))?.[1] ?? "0";
  return (BigInt(`0x${effective}`) >> BigInt(number) & 1n) === 1n;
}

// ---- random calls

/** Makes up calls that have something to meet. */
class Generator {
  readonly #random: Random;
  readonly #twice: QueuesTwice;
  readonly #keys: readonly number[];
  /** Texts are of sizes about this. */
  readonly #size: number;

  constructor(random: Random, twice: QueuesTwice) {
    this.#random = random;
    this.#twice = twice;
    this.#keys = [random.word(), random.between(1, 2 ** 31 - 1)];
    this.#size = random.pick([1, 20, 60, 4096]);
  }

  /** A call of one who does not wait, whose outcome the scheduler has no hand in; undefined where none was found. */
  next(): { readonly actor: Actor; readonly call: Call } | undefined {
    const idle = this.#twice.actors.filter(({ waiting }) => !waiting);
    for (let attempt = 0; attempt < TRY_COUNT && idle.length > 0; attempt++) {
      const call = this.#call(idle.length > 1);
      const actor = this.#random.pick(this.#able(idle, call));
      if (!this.#twice.isAmbiguous(actor, call) && !this.#isTakenAway(actor, call)) return { actor, call };
    }
    return undefined;
  }

  /** Those of `idle` who may change the queue that is to be changed, mostly; for other calls all. */
  #able(idle: readonly Actor[], call: Call): readonly Actor[] {
    if (call.call !== "msgctl" || this.#random.isOneIn(4)) return idle;
    const queue = this.about(call);
    const able = idle.filter(({ who }) => queue !== undefined && mayControl(queue, who));
    return able.length > 0 ? able : idle;
  }

  /** What uid 0 may do everywhere but here. */
  #isTakenAway({ who }: Actor, call: Call): boolean {
    if (MAY_EXCEED || who.uid !== 0 || call.call !== "msgctl") return false;
    return (call.change?.qbytes ?? 0) > this.#twice.table.limits.msgmnb;
  }

  /** The queue that a call is about. */
  about(call: Call): QueueStatus | undefined {
    const all = this.#twice.statuses();
    if (call.call === "msgget") return all.find(({ key }) => key === call.key && key !== IPC_PRIVATE);
    return all.find(({ id }) => id === call.id);
  }

  #call(mayWait: boolean): Call {
    const sender = this.#twice.waiting().find(({ waiting }) => waiting.call.call === "msgsnd");
    if (sender && this.#random.isOneIn(8)) return this.#lockOut(sender.waiting.call.id);
    const dice = this.#random.below(100);
    const noWait = mayWait && !this.#random.isOneIn(3) ? 0 : IPC_NOWAIT;
    if (dice < 10 || this.#twice.ids.length === 0) return this.#get();
    if (dice < 50) return this.#send(noWait);
    if (dice < 80) return this.#receive(noWait);
    return this.#control();
  }

  /** Gives a sender that waits room, and takes his right to send. */
  #lockOut(id: number): Call {
    const change = { ...this.#change(), mode: 0, qbytes: this.#twice.table.limits.msgmnb };
    return { call: "msgctl", id, command: IPC_SET, change };
  }

  #get(): Call {
    const random = this.#random;
    const key = random.isOneIn(5) ? IPC_PRIVATE : random.pick(this.#keys);
    const flags = this.#mode() | (random.isOneIn(3) ? 0 : IPC_CREAT) | (random.isOneIn(4) ? IPC_EXCL : 0);
    return { call: "msgget", key, flags };
  }

  #mode(): number {
    const random = this.#random;
    return random.isOneIn(4) ? random.below(0o1000) : random.pick([0o666, 0o666, 0o666, 0o660, 0o622, 0o644, 0o600, 0]);
  }

  #send(flags: number): Call {
    const random = this.#random;
    const type = random.isOneIn(25) ? random.pick([0, -1]) : this.#type();
    const size = random.isOneIn(25) ? 10_000 : random.pick([0, this.#size, random.between(0, 2 * this.#size)]);
    const text = random.pick([..."abcdefghij"]).repeat(size);
    return { call: "msgsnd", id: this.#id(), type, text, flags };
  }

  #type(): number {
    return this.#random.isOneIn(20) ? TYPE_MAX : this.#random.between(1, 4);
  }

  #receive(noWait: number): Call {
    const random = this.#random;
    const id = this.#id();
    const size = random.isOneIn(25) ? -1 : random.pick([20_000, this.#size, random.below(this.#size + 1)]);
    if (random.isOneIn(6)) return { call: "msgrcv", id, size, type: random.between(-1, 2), flags: this.#copyFlags() };
    const type = random.pick([0, this.#type(), -this.#type()]);
    const flags = noWait | (random.isOneIn(4) ? MSG_NOERROR : 0) | (random.isOneIn(4) ? MSG_EXCEPT : 0);
    return { call: "msgrcv", id, size, type, flags };
  }

  #copyFlags(): number {
    const random = this.#random;
    const flags = MSG_COPY | (random.isOneIn(6) ? 0 : IPC_NOWAIT) | (random.isOneIn(6) ? MSG_EXCEPT : 0);
    return flags | (random.isOneIn(4) ? MSG_NOERROR : 0);
  }

  /** Mostly the id of a queue, one that somebody waits for if there is one; else one that was never there, or is no more. */
  #id(): number {
    const random = this.#random;
    const { ids } = this.#twice;
    const awaited = this.#twice.waiting().map(({ waiting }) => waiting.call.id);
    if (awaited.length > 0 && random.isOneIn(2)) return random.pick(awaited);
    if (ids.length > 0 && !random.isOneIn(12)) return random.pick(ids);
    const near = ids.length > 0 ? random.pick(ids) : 0;
    const far = this.#twice.isAlone ? [near + INDEX_COUNT, Math.max(0, near - INDEX_COUNT), 2 ** 31 - 1] : [];
    return random.pick([-1, -near - 1, ...far.filter((id) => !ids.includes(id))]);
  }

  #control(): Call {
    const random = this.#random;
    const id = this.#id();
    if (this.#twice.isAlone && random.isOneIn(5)) {
      const index = random.isOneIn(2) ? id : random.pick([random.below(80), id & INDEX_COUNT - 1]);
      return { call: "msgctl", id: index, command: random.pick([MSG_STAT, MSG_STAT_ANY]) };
    }
    if (random.isOneIn(6)) {
      const command = random.pick([IPC_INFO, MSG_INFO, random.pick([4, 10, 14, 99, -1])]);
      return { call: "msgctl", id: random.pick([id, -1]), command };
    }
    const command = random.isOneIn(8) ? IPC_RMID : random.pick([IPC_STAT, IPC_SET, IPC_SET]);
    const change = command === IPC_SET && !random.isOneIn(10) ? this.#change() : undefined;
    return { call: "msgctl", id, command, ...change ? { change } : {} };
  }

  #change(): QueueChange {
    const random = this.#random;
    const [{ uid }, { gid }] = [random.pick(this.#twice.actors).who, random.pick(this.#twice.actors).who];
    const nobody = 2 ** 32 - 1;
    return {
      uid: random.isOneIn(12) ? nobody : uid,
      gid: random.isOneIn(12) ? nobody : gid,
      // bits that are not the caller's to set
      mode: random.isOneIn(3) ? 0 : this.#mode() | (random.isOneIn(4) ? 0o7000 : 0),
      qbytes: random.pick([random.between(0, 3 * this.#size), this.#twice.table.limits.msgmnb, 40_000]),
    };
  }
}

function isReachable(need: Need, { isAlone }: QueuesTwice): boolean {
  switch (need) {
    case "nothing":
      return true;
    case "users":
      return IS_ROOT;
    case "namespace":
      return isAlone;
    case "resource":
      return MAY_EXCEED;
  }
}

/** Makes one sequence. @param count is told of every cell that was reached. */
async function runSequence(random: Random, twice: QueuesTwice, count: (cell: string) => void): Promise<void> {
  const generator = new Generator(random, twice);
  const history: string[] = [];
  try {
    for (let step = 0; step < CALL_COUNT; step++) {
      const waiting = random.pick([...twice.actors.filter((actor) => actor.waiting), undefined]);
      const next = generator.next();
      if (waiting && (!next || random.isOneIn(12))) {
        history.push(`pid ${waiting.who.pid}: EINTR`);
        count(cellOfEnd(await twice.interrupt(waiting)));
      } else if (next) {
        const { actor, call } = next;
        const before = generator.about(call);
        history.push(`uid ${actor.who.uid} pid ${actor.who.pid}: ${shown(call)}`);
        const { outcome, ended } = await twice.make(actor, call);
        history.push(`  ${outcome.code}`, ...ended.map((each) => `  pid ${each.actor.who.pid}: ${each.code}`));
        count(cellOf({ actor, call, outcome, before, limits: twice.table.limits }));
        ended.forEach((each) => count(cellOfEnd(each)));
      }
    }
    await twice.clear();
  } catch (error) {
    console.error(history.join("\n"));
    throw error;
  }
}

function shown(call: Call): string {
  return JSON.stringify(call, (name, value) => name === "text" ? `${value.length} bytes` : value);
}

seededTest(`queues: ${SEQUENCE_COUNT} sequences of calls come out as the kernel has it`, async (random) => {
  await using twice = await QueuesTwice.start(identities(random));
  const counts = new Map([...CELLS.keys()].map((cell) => [cell, 0]));
  for (let sequence = 0; sequence < SEQUENCE_COUNT; sequence++) {
    await twice.limit(random.pick(twice.isAlone ? LIMITS : [DEFAULT_LIMITS]));
    await runSequence(random, twice, (cell) => {
      assert(counts.has(cell), `${cell} is a cell`);
      counts.set(cell, (counts.get(cell) ?? 0) + 1);
    });
  }
  report(counts, twice);
  console.log(`DSM_TEST_SEED=${random.seed}`);
});

/** Prints what was reached how often; fails where something was not that could be. */
function report(counts: ReadonlyMap<string, number>, twice: QueuesTwice): void {
  const reachable = [...counts.keys()].filter((cell) => isReachable(CELLS.get(cell) ?? "nothing", twice));
  const missed = reachable.filter((cell) => counts.get(cell) === 0);
  const skipped = counts.size - reachable.length;
  console.log(`reached ${reachable.length - missed.length} of ${reachable.length} cells, ${skipped} skipped:`);
  for (const [cell, count] of counts) console.log(`${count}`.padStart(7), cell);
  assertEquals(missed, [], "cells that were not reached");
}

seededTest(`queues: ${CARRIER_SEQUENCE_COUNT} sequences through KernelQueues come out the same`, async (random) => {
  const identity = IS_ROOT ? SUPERUSER : undefined;
  await using twice = await QueuesTwice.start([identity, identity, identity], "carrier");
  let waited = 0;
  for (let sequence = 0; sequence < CARRIER_SEQUENCE_COUNT; sequence++) {
    await twice.limit(random.pick(twice.isAlone ? LIMITS : [DEFAULT_LIMITS]));
    await runSequence(random, twice, (cell) => waited += Number(cell.includes("after waiting")));
  }
  assert(waited > 0, "some have waited");
});

Deno.test("queues: each call sets the times that it sets with the kernel, and no others", async () => {
  const identity = IS_ROOT ? SUPERUSER : undefined;
  await using twice = await QueuesTwice.start([identity, identity]);
  const [actor, other] = twice.actors as [Actor, Actor];
  const { outcome } = await twice.make(actor, { call: "msgget", key: IPC_PRIVATE, flags: 0o600 });
  const id = outcome.value ?? 0;
  const send: Call = { call: "msgsnd", id, type: 1, text: "text", flags: 0 };
  const receive: Call = { call: "msgrcv", id, size: 10, type: 0, flags: 0 };
  const change = { uid: actor.who.uid, gid: actor.who.gid, mode: 0o640, qbytes: 100 };
  const calls: readonly [Actor, Call, readonly string[]][] = [
    [actor, send, ["stime"]],
    [actor, { ...receive, flags: MSG_COPY | IPC_NOWAIT }, []],
    [actor, receive, ["rtime"]],
    [other, receive, []], // it waits
    [actor, send, ["stime", "rtime"]],
    [actor, { call: "msgctl", id, command: IPC_SET, change }, ["ctime"]],
    [actor, { call: "msgctl", id, command: IPC_STAT }, []],
  ];
  for (const [who, call, changed] of calls) {
    const before = await times(twice, id);
    // the kernel's clock for these ticks some milliseconds after ours
    await until("the next second", () => Date.now() / 1000 > before.latest + 1 + TICK_S);
    await twice.make(who, call);
    const after = await times(twice, id);
    assertEquals(changes(before.ours, after.ours), changed, `${call.call} by us`);
    assertEquals(changes(before.theirs, after.theirs), changed, `${call.call} by the kernel`);
  }
  await twice.clear();
});

type Times = Readonly<Record<"stime" | "rtime" | "ctime", number>>;

async function times(twice: QueuesTwice, id: number): Promise<{ ours: Times; theirs: Times; latest: number }> {
  const ours = twice.statuses().find((status) => status.id === id);
  const theirs = await twice.kernelStatus(id);
  assert(ours && theirs);
  return {
    ours,
    theirs,
    latest: Math.max(...[ours, theirs].flatMap(({ stime, rtime, ctime }) => [stime, rtime, ctime])),
  };
}

function changes(before: Times, after: Times): string[] {
  return (["stime", "rtime", "ctime"] as const).filter((name) => before[name] !== after[name]);
}

Deno.test("queues: lib/ipc and lib/sys have the same numbers", () => {
  assertEquals([IPC_NOWAIT, MSG_NOERROR, MSG_COPY], [native.IPC_NOWAIT, native.MSG_NOERROR, native.MSG_COPY]);
});
