/** Permissions: every class of user by every right by every call that asks for one, EACCES against EPERM. */
import { assertEquals } from "@std/assert";
import { SystemError } from "../../../lib/base/errors.ts";
import { IPC_RMID, IPC_SET, IPC_STAT } from "../../../lib/ipc/common/flags.ts";
import { SHM_EXEC, SHM_LOCK, SHM_RDONLY, SHM_STAT, SHM_STAT_ANY, SHM_UNLOCK } from "../../../lib/ipc/segments/flags.ts";
import { mayAccess, mayControl, READ, WRITE } from "../../../lib/ipc/common/permissions.ts";
import type { Principal } from "../../../lib/ipc/common/permissions.ts";
import { RangeOwners } from "../../../lib/ipc/segments/range_owners.ts";
import type { SegmentTable } from "../../../lib/ipc/segments/segment_table.ts";
import { shmctl } from "../../../lib/ipc/segments/shmctl.ts";
import { principal, tableOf } from "./segments/tables.ts";

const KEY = 5;
const OWNER = 10;
const CREATOR = 20;
const NOW = 1;

type Class = "owner" | "group" | "other" | "root";

/** Everybody who stands in some relation to a segment of OWNER in group OWNER, made by CREATOR in group CREATOR. */
const PEOPLE: readonly (readonly [string, Class, Principal])[] = [
  ["its owner", "owner", principal(OWNER, OWNER)],
  ["its owner in another group", "owner", principal(OWNER, 99)],
  ["its creator", "owner", principal(CREATOR, CREATOR)],
  ["a member of the owner's group", "group", principal(31, OWNER)],
  ["a member of the creator's group", "group", principal(32, CREATOR)],
  ["a member of the owner's group by the way", "group", principal(33, 99, OWNER)],
  ["a member of the creator's group by the way", "group", principal(34, 99, 98, CREATOR)],
  ["somebody else", "other", principal(35, 99, 98)],
  ["somebody whose uid is the group's number", "other", principal(99, 35)],
  ["uid 0", "root", principal(0, 0)],
];

const SHIFTS: Readonly<Record<Exclude<Class, "root">, number>> = { owner: 6, group: 3, other: 0 };

/** Whether the three bits of that class in `mode` have all of `bits`. */
function isGranted(who: Class, mode: number, bits: number): boolean {
  return who === "root" || (bits & ~(mode >> SHIFTS[who])) === 0;
}

/** Each call that asks for rights: which of r, w and x, and how it is made. */
const CALLS: readonly (readonly [string, number, (table: SegmentTable, who: Principal, id: number) => unknown])[] = [
  ["shmget for nothing", 0, (table, who) => table.shmget(who, KEY, 1, 0, NOW)],
  ["shmget for reading", 4, (table, who) => table.shmget(who, KEY, 1, 0o400, NOW)],
  ["shmget for writing", 2, (table, who) => table.shmget(who, KEY, 1, 0o002, NOW)],
  ["shmget for both", 6, (table, who) => table.shmget(who, KEY, 1, 0o420, NOW)],
  ["shmget for execution", 1, (table, who) => table.shmget(who, KEY, 1, 0o010, NOW)],
  ["shmat for reading", 4, (table, who, id) => table.shmat(who, "session", id, SHM_RDONLY, NOW)],
  ["shmat", 6, (table, who, id) => table.shmat(who, "session", id, 0, NOW)],
  ["shmat for execution", 5, (table, who, id) => table.shmat(who, "session", id, SHM_RDONLY | SHM_EXEC, NOW)],
  ["shmat for all", 7, (table, who, id) => table.shmat(who, "session", id, SHM_EXEC, NOW)],
  ["IPC_STAT", 4, (table, who, id) => shmctl(table, who, { id, command: IPC_STAT }, NOW)],
  ["SHM_STAT", 4, (table, who, id) => shmctl(table, who, { id, command: SHM_STAT }, NOW)],
  ["SHM_STAT_ANY", 0, (table, who, id) => shmctl(table, who, { id, command: SHM_STAT_ANY }, NOW)],
  ["raw reading", 4, (table, who) => requireRaw(table, who, 0, READ)],
  ["raw writing", 2, (table, who) => requireRaw(table, who, 4095, WRITE)],
];

/** What a memory server makes of the table when somebody asks for a byte. */
function requireRaw(table: SegmentTable, who: Principal, address: number, wanted: number): void {
  const owners = new RangeOwners();
  table.ownedRanges.forEach((range) => owners.put(range));
  if (owners.forbidding(who, address, 1, wanted)) throw new SystemError("raw", "EACCES", "forbidden");
}

/** Each call that is for owner and creator only. */
const CONTROLS: readonly (readonly [string, number])[] = [
  ["IPC_SET", IPC_SET],
  ["IPC_RMID", IPC_RMID],
  ["SHM_LOCK", SHM_LOCK],
  ["SHM_UNLOCK", SHM_UNLOCK],
];

/** A table with one segment, of OWNER and made by CREATOR, at address 0. */
function tableWith(mode: number): { table: SegmentTable; id: number } {
  const table = tableOf([{ size: 65_536, blockSize: 4096 }]);
  const { id } = table.shmget(principal(CREATOR, CREATOR), KEY, 4096, 0o1000 | mode, NOW);
  table.commit(id);
  table.set(principal(CREATOR, CREATOR), id, { uid: OWNER, gid: OWNER, mode }, NOW);
  return { table, id };
}

function codeOf(run: () => unknown): string {
  try {
    run();
    return "ok";
  } catch (error) {
    if (error instanceof SystemError) return error.code;
    throw error;
  }
}

Deno.test("permissions: every call for everybody under every mode is EACCES unless the bits of the one class grant it", () => {
  for (let mode = 0; mode <= 0o777; mode++) {
    for (const [what, bits, call] of CALLS) {
      for (const [name, who, person] of PEOPLE) {
        const { table, id } = tableWith(mode);
        const expected = isGranted(who, mode, bits) ? "ok" : "EACCES";
        assertEquals(codeOf(() => call(table, person, id)), expected, `${what} by ${name}, mode 0${mode.toString(8)}`);
      }
    }
  }
});

Deno.test("permissions: changing is for owner and creator whatever the mode says, and EPERM for all others", () => {
  for (const mode of [0, 0o777]) {
    for (const [what, command] of CONTROLS) {
      for (const [name, who, person] of PEOPLE) {
        const { table, id } = tableWith(mode);
        const request = { id, command, ownership: { uid: OWNER, gid: OWNER, mode } };
        const expected = who === "owner" || who === "root" ? "ok" : "EPERM";
        assertEquals(codeOf(() => shmctl(table, person, request, NOW)), expected, `${what} by ${name}`);
      }
    }
  }
});

Deno.test("permissions: an owner whom his own bits forbid is not helped by the group's or the others'", () => {
  const object = { uid: OWNER, gid: OWNER, cuid: CREATOR, cgid: CREATOR, mode: 0o077 };
  assertEquals(mayAccess(object, principal(OWNER, OWNER), 0o400), false);
  assertEquals(mayAccess(object, principal(CREATOR, OWNER), 0o004), false);
  assertEquals(mayAccess(object, principal(31, OWNER), 0o400), true);
  assertEquals(mayControl(object, principal(OWNER, OWNER)), true);
});

Deno.test("permissions: who has given a segment away still controls it, as its creator", () => {
  const { table, id } = tableWith(0);
  const creator = principal(CREATOR, CREATOR);
  table.set(creator, id, { uid: OWNER, gid: OWNER, mode: 0o600 }, NOW);
  assertEquals(table.stat(creator, id).uid, OWNER);
  table.remove(creator, id);
  assertEquals(codeOf(() => table.stat(creator, id)), "EINVAL");
});

Deno.test("permissions: with a memory lock limit of 0 not even the owner may lock, and he may unlock", () => {
  const owner = principal(OWNER, OWNER);
  const table = tableOf([{ size: 65_536, blockSize: 4096 }], { memlock: 0 });
  const { id } = table.shmget(owner, KEY, 4096, 0o1600, NOW);
  table.commit(id);
  assertEquals(codeOf(() => table.lock(owner, id)), "EPERM");
  assertEquals(codeOf(() => table.unlock(owner, id)), "ok");
  assertEquals(codeOf(() => table.lock(principal(0, 0), id)), "ok");
});
