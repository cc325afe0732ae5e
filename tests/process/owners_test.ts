/** Who may do what with a segment, over the wire, by real processes of several users: EACCES against EPERM, raw access too. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Space } from "../../lib/config/space.ts";
import { SegmentTable } from "../../lib/ipc/segments/segment_table.ts";
import { groupsOf } from "../../lib/node/common/user_groups.ts";
import { HeldTable } from "../../lib/node/logger/held_table.ts";
import { connect, IPC_CREAT, IPC_RMID, IPC_SET, IPC_STAT, SHM_RDONLY } from "../../mod.ts";
import type { Cluster } from "../../mod.ts";
import { SHM_LOCK } from "../../lib/ipc/segments/flags.ts";
import type { ClusterCall } from "../support/cluster_calls.ts";
import { KernelCaller } from "../support/kernel_segments.ts";
import type { Identity } from "../support/kernel_process.ts";
import { concat, frame, hello } from "../support/frames.ts";
import { openCluster, ready, runCommand, startDsm, testWhere, works } from "../support/processes.ts";
import type { Ran } from "../support/processes.ts";
import { until } from "../support/until.ts";
import { usersOfThisHost } from "../support/users.ts";

const KEY = 0x0ed;
const IS_ROOT = Deno.uid() === 0;
const CLASSES = ["owner", "group", "other", "root"] as const;
type Class = (typeof CLASSES)[number];

/** Three users whose groups are nobody else's among them: owner, a member of the segment's group, a stranger. */
function threeUsers(): Record<Class, Identity> {
  const [owner, group, other] = usersOfThisHost().filter((user, _, all) => {
    return all.filter(({ gid, groups }) => gid === user.gid || groups.includes(user.gid)).length === 1;
  });
  assert(owner && group && other, "this host has three users with groups of their own");
  return { owner, group, other, root: { uid: 0, ...groupsOf(0) } as Identity };
}

/** A process of each class, connected to the cluster. */
async function callersOf(people: Record<Class, Identity>, config: string): Promise<Record<Class, KernelCaller>> {
  const started = await Promise.all(CLASSES.map(async (who) => {
    return [who, (await KernelCaller.start(people[who], "host", config)).caller] as const;
  }));
  return Object.fromEntries(started) as Record<Class, KernelCaller>;
}

interface Target {
  readonly id: number;
  readonly base: number;
}

/** Calls that ask for rights by the mode's bits: which, and how they are made. */
const BY_MODE: readonly (readonly [string, number, (on: Target) => ClusterCall])[] = [
  ["shmget for reading", 4, () => ({ call: "shmget", key: KEY, size: 0, flags: 0o400 })],
  ["shmget for writing", 2, () => ({ call: "shmget", key: KEY, size: 0, flags: 0o200 })],
  ["shmat, read-only", 4, ({ id }) => ({ call: "shmat", id, flags: SHM_RDONLY })],
  ["shmat", 6, ({ id }) => ({ call: "shmat", id, flags: 0 })],
  ["IPC_STAT", 4, ({ id }) => ({ call: "shmctl", id, command: IPC_STAT })],
  ["raw read", 4, ({ base }) => ({ call: "read", address: base })],
  ["raw write", 2, ({ base }) => ({ call: "write", address: base })],
  ["raw fill", 2, ({ base }) => ({ call: "fill", address: base })],
  ["raw fetchAdd", 6, ({ base }) => ({ call: "fetchAdd", address: base })],
  ["raw waitUntil", 4, ({ base }) => ({ call: "waitUntil", address: base })],
];

/** Calls that are for owner and creator, whatever the mode. */
const BY_OWNER: readonly (readonly [string, (on: Target, mode: number, gid: number, uid: number) => ClusterCall])[] = [
  ["IPC_SET", ({ id }, mode, gid, uid) => ({ call: "shmctl", id, command: IPC_SET, ownership: { uid, gid, mode } })],
  ["SHM_LOCK", ({ id }) => ({ call: "shmctl", id, command: SHM_LOCK })],
  ["IPC_RMID", ({ id }) => ({ call: "shmctl", id, command: IPC_RMID })],
];

const SHIFTS: Readonly<Record<Class, number>> = { owner: 6, group: 3, other: 0, root: 0 };

async function isAttached(who: KernelCaller): Promise<boolean> {
  return (await who.makeOnCluster({ call: "isAttached" })).value === 1;
}

async function makeTarget(space: Cluster, owner: KernelCaller): Promise<Target> {
  const { value: id } = await owner.makeOnCluster({ call: "shmget", key: KEY, size: 4096, flags: IPC_CREAT | 0o600 });
  const { status } = await space.shmctl(id, IPC_STAT);
  return { id, base: status?.range.base ?? -1 };
}

testWhere(IS_ROOT, "root", "every class of user by every right by every call, over the wire", async () => {
  // the kernel would let all of them attach: the server does not
  await using cluster = await openCluster({ servers: 1, args: ["--size", "64KiB", "--mode", "0666"] });
  await using space = await connect({ config: cluster.address });
  const people = threeUsers();
  const callers = await callersOf(people, cluster.address);
  const cells: string[] = [];
  try {
    let target = await makeTarget(space, callers.owner);
    const settings = CLASSES.flatMap((who) => [0, 2, 4, 6].map((bits) => ({ who, bits })));
    cells.push(["".padEnd(20), ...settings.map(({ who, bits }) => `${who[0]}${who[1]}${bits}`.padEnd(7))].join(""));
    const lines = new Map<string, string[]>();
    for (const { who, bits } of settings) {
      // what the other classes may says nothing: they have the opposite
      const mode = 0o666 & ~(0o7 << SHIFTS[who]) | bits << SHIFTS[who];
      const ownership = { uid: people.owner.uid, gid: people.group.gid, mode: who === "root" ? bits * 0o111 : mode };
      await space.shmctl(target.id, IPC_SET, ownership);
      const check = async (name: string, call: ClusterCall, expected: string): Promise<void> => {
        const { code, message } = await callers[who].makeOnCluster(call);
        lines.set(name, [...lines.get(name) ?? [], code.padEnd(7)]);
        assertEquals(code, expected, `${name} by ${who} under 0${mode.toString(8)}: ${message}`);
      };
      for (const [name, needed, call] of BY_MODE) {
        const isGranted = who === "root" || (needed & ~bits) === 0;
        await check(name, call(target), isGranted ? "ok" : "EACCES");
      }
      await callers[who].makeOnCluster({ call: "detachAll" });
      for (const [name, call] of BY_OWNER) {
        const expected = who === "owner" || who === "root" ? "ok" : "EPERM";
        await check(name, call(target, mode, people.group.gid, people.owner.uid), expected);
      }
      const way = await isAttached(callers[who]) ? "memory" : "tcp";
      lines.set("attached", [...lines.get("attached") ?? [], way.padEnd(7)]);
      assertEquals(way, who === "root" ? "memory" : "tcp", `attached as ${who}`);
      if (who === "owner" || who === "root") target = await makeTarget(space, callers.owner);
    }
    for (const [name, row] of lines) cells.push(name.padEnd(20) + row.join(""));
    console.log(cells.join("\n"));
  } finally {
    for (const caller of Object.values(callers)) await caller.kill();
  }
});

testWhere(
  IS_ROOT,
  "root",
  "a segment's bytes are its owner's from before it is zeroed until its range is used again",
  async () => {
    await using cluster = await openCluster({ servers: 1, args: ["--size", "64KiB", "--mode", "0666"] });
    await using space = await connect({ config: cluster.address });
    const callers = await callersOf(threeUsers(), cluster.address);
    const { owner, other } = callers;
    const codeOf = async (who: KernelCaller, call: "read" | "write", address: number): Promise<string> => {
      return (await who.makeOnCluster({ call, address })).code;
    };
    try {
      assertEquals(await codeOf(other, "write", 0), "ok", "what belongs to nobody is free");
      assertEquals(await isAttached(other), true, "to whom --mode lets attach it");
      const { id, base } = await makeTarget(space, owner);
      assertEquals([base, await codeOf(other, "read", 0)], [0, "EACCES"]);
      assertEquals(await isAttached(other), false, "not once a segment lies there");
      const { message } = await other.makeOnCluster({ call: "read", address: 4090 });
      assertMatch(message, /8 bytes at 4090.*0 to 4095 of this region belong to a segment of uid \d+ .*mode 0600/);

      await owner.makeOnCluster({ call: "shmctl", id, command: IPC_RMID });
      assertEquals(await codeOf(other, "read", 0), "EACCES", "what is left of it is still there");
      // the zeroing has to wait for this guard
      const { keys } = cluster.server(0);
      keys.withRegion(({ guards }) => assertEquals(guards.tryTakeOne(0), "done"));
      const making = space.shmget(0, 1, 0o666);
      await until("the range to be nobody's", async () => {
        return /just being zeroed/.test((await owner.makeOnCluster({ call: "write", address: 0 })).message);
      });
      assertEquals(await codeOf(other, "read", 0), "EACCES");
      keys.withRegion(({ guards }) => void guards.giveOne(0));
      const open = await making;
      assertEquals(await codeOf(owner, "read", 0), "ok", "whoever may, may when it is made");
      await space.shmctl(open, IPC_RMID);

      const made = await other.makeOnCluster({ call: "shmget", key: KEY, size: 1, flags: IPC_CREAT | 0o600 });
      assertEquals([made.code, await codeOf(other, "read", 0), await codeOf(owner, "read", 0)], ["ok", "ok", "EACCES"]);
    } finally {
      for (const caller of Object.values(callers)) await caller.kill();
    }
  },
);

testWhere(
  IS_ROOT,
  "root",
  "whoever is killed and started again: others wait until owners are known, and are refused then",
  async () => {
    await using cluster = await openCluster({ servers: 2 });
    await using space = await connect({ config: cluster.address });
    const callers = await callersOf(threeUsers(), cluster.address);
    const { owner, other } = callers;
    try {
      const { id } = await makeTarget(space, owner);
      const removed = await owner.makeOnCluster({ call: "shmget", key: 0, size: 4096, flags: 0o666 });
      await owner.makeOnCluster({ call: "shmctl", id: removed.value, command: IPC_RMID });
      const expectAll = async (what: string): Promise<void> => {
        for (const [who, address, code] of [[owner, 0, "ok"], [other, 0, "EACCES"], [other, 8192, "ok"]] as const) {
          assertEquals((await who.makeOnCluster({ call: "read", address })).code, code, `${what}, at ${address}`);
        }
      };
      await expectAll("before");
      await cluster.server(0).program.kill();
      const meanwhile = owner.makeOnCluster({ call: "read", address: 0 });
      await cluster.server(0).restart();
      assertEquals((await meanwhile).code, "ok", "a read that met the restart is repeated, and waits");
      await expectAll("after a restart of the server");
      const { code } = await owner.makeOnCluster({ call: "read", address: 4096 });
      assertEquals(code, "EACCES", "what a removed segment has left is nobody's now");

      await cluster.config.kill();
      await expectAll("while the config server is away");
      await cluster.restartConfig(["--open"]);
      await space.shmctl(id, IPC_SET, { uid: 0, gid: 0, mode: 0o604 });
      assertEquals((await other.makeOnCluster({ call: "read", address: 0 })).code, "ok", "IPC_SET counts at once");
      assertEquals((await other.makeOnCluster({ call: "write", address: 0 })).code, "EACCES");

      await cluster.config.kill();
      await cluster.server(0).program.kill();
      await cluster.server(0).restart();
      const refused = await other.makeOnCluster({ call: "read", address: 0 });
      assertEquals(refused.code, "EAGAIN");
      assertMatch(refused.message, /config server has not told this server yet.*dsm status/);
      assertEquals((await other.makeOnCluster({ call: "read", address: 8192 })).code, "ok");
    } finally {
      for (const caller of Object.values(callers)) await caller.kill();
    }
  },
);

testWhere(IS_ROOT, "root", "a table that is restored says whose the bytes are, from its answer on", async () => {
  await using cluster = await openCluster({ servers: 1 });
  await using space = await connect({ config: cluster.address });
  const people = threeUsers();
  const callers = await callersOf(people, cluster.address);
  try {
    await makeTarget(space, callers.owner);
    const table = new SegmentTable(new Space(1, space.places));
    const { uid, gid } = people.other;
    const made = table.shmget({ uid, gid, groups: [], pid: 1 }, KEY, 4096, IPC_CREAT | 0o600, 1);
    table.commit(made.id);
    await using held = await HeldTable.hold({ host: "127.0.0.1", port: cluster.port });
    await held.replace(table.toPicture());
    const codes = [callers.other, callers.owner].map((who) => who.makeOnCluster({ call: "read", address: 0 }));
    assertEquals((await Promise.all(codes)).map(({ code }) => code), ["ok", "EACCES"]);
  } finally {
    for (const caller of Object.values(callers)) await caller.kill();
  }
});

const AS_STRANGER = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

testWhere(
  IS_ROOT && works(...AS_STRANGER, "true"),
  "setpriv as root",
  "a logger gives the memory to root, and to nobody else who is let in",
  async () => {
    await using cluster = await openCluster({ servers: 1, withLoggerPorts: true });
    const { keys, port } = cluster.server(0);
    await using logger = startDsm(["logger", "0", `${port + 1}`, `${keys.shm}`, `${keys.sem}`, "--open"]);
    await ready(logger);
    // a shell, because others may not be allowed to read this directory
    const ask = (bytes: Uint8Array, wrapper: readonly string[]): Promise<Ran> => {
      const text = [...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
      const script = `exec 3<>/dev/tcp/127.0.0.1/${port + 1}; printf '${text}' >&3; exec head -c 65536 <&3`;
      return runCommand([...wrapper, "bash", "-c", script]);
    };
    // the second hello ends the conversation
    const native = concat(hello(), frame("loggerInfo", 1, {}), frame("prepare", 2, { epoch: 9 }), hello().subarray(4));
    assertMatch((await ask(native, AS_STRANGER)).stdout, /127\.0\.0\.1:\d+.*EPERM.*prepare is for root and uid 0/s);
    const index = new Uint8Array(4);
    assertEquals((await ask(index, AS_STRANGER)).bytes.length, 0);
    await logger.saysErr(/the memory is for root and uid 0/);
    assertEquals((await ask(index, [])).bytes.length, 64 * 1024);
  },
);

testWhere(
  IS_ROOT,
  "root",
  "4,096 segments: each is its owner's, and telling them all takes no time to speak of",
  async () => {
    await using cluster = await openCluster({ servers: 2, args: ["--size", "16MiB"] });
    await using space = await connect({ config: cluster.address });
    const callers = await callersOf(threeUsers(), cluster.address);
    const { owner, other } = callers;
    try {
      for (let made = 0; made < 4096; made += 256) {
        await Promise.all(Array.from({ length: 256 }, () => space.shmget(0, 4096, 0o600)));
      }
      const { code } = await owner.makeOnCluster({ call: "read", address: 4095 * 4096 });
      assertEquals(code, "EACCES");
      await cluster.server(0).program.kill();
      await cluster.server(0).restart();
      const startedMs = performance.now();
      assertEquals((await other.makeOnCluster({ call: "read", address: 4095 * 4096 })).code, "EACCES");
      const tookMs = performance.now() - startedMs;
      assert(tookMs < 4_000, `the server knew all after ${tookMs} ms`);
    } finally {
      for (const caller of Object.values(callers)) await caller.kill();
    }
  },
);
