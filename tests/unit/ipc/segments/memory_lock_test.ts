/** SHM_LOCK: who is charged for what, and until when. */
import { assertEquals, assertThrows } from "@std/assert";
import { SystemError } from "../../../../lib/base/errors.ts";
import { IPC_CREAT, IPC_PRIVATE } from "../../../../lib/ipc/common/flags.ts";
import { SHM_LOCKED } from "../../../../lib/ipc/segments/flags.ts";
import { PAGE_SIZE } from "../../../../lib/ipc/segments/limits.ts";
import type { Principal } from "../../../../lib/ipc/common/permissions.ts";
import type { SegmentTable } from "../../../../lib/ipc/segments/segment_table.ts";
import { principal, tableOf } from "./tables.ts";

const ROOT = principal(0, 0);
const ALICE = principal(1, 1);

/** A table in which a user may lock three pages, and segments of `sizes` that are ALICE's. */
function tableWith(...sizes: number[]): { table: SegmentTable; ids: number[] } {
  const table = tableOf([{ size: 64 * PAGE_SIZE, blockSize: PAGE_SIZE }], { memlock: 4 * PAGE_SIZE - 1 });
  const ids = sizes.map((size) => {
    const { id } = table.shmget(ALICE, IPC_PRIVATE, size, IPC_CREAT | 0o600, 1);
    table.commit(id);
    return id;
  });
  return { table, ids };
}

function assertTooMuch(table: SegmentTable, who: Principal, id: number): void {
  assertEquals(assertThrows(() => table.lock(who, id), SystemError).code, "ENOMEM");
}

Deno.test("SHM_LOCK: whole pages are charged, and ENOMEM is beyond the whole pages of the limit", () => {
  const { table, ids: [small = -1, large = -1, more = -1] } = tableWith(1, PAGE_SIZE + 1, 1);
  table.lock(ALICE, small);
  table.lock(ALICE, large);
  assertTooMuch(table, ALICE, more);
  assertEquals([small, large, more].map((id) => table.stat(ALICE, id).mode & SHM_LOCKED), [SHM_LOCKED, SHM_LOCKED, 0]);
});

Deno.test("SHM_LOCK: a charge ends with the lock, whoever undoes it, and with the segment", () => {
  const { table, ids: [first = -1, second = -1] } = tableWith(3 * PAGE_SIZE, 3 * PAGE_SIZE);
  table.lock(ALICE, first);
  assertTooMuch(table, ALICE, second);
  table.unlock(ROOT, first);
  table.lock(ALICE, second);
  assertTooMuch(table, ALICE, first);
  table.remove(ALICE, second);
  table.lock(ALICE, first);
});

Deno.test("SHM_LOCK: locking twice charges once, and the charge stays with who locked first", () => {
  const { table, ids: [first = -1, second = -1] } = tableWith(2 * PAGE_SIZE, 2 * PAGE_SIZE);
  table.lock(ALICE, first);
  table.lock(ALICE, first);
  table.lock(ROOT, first);
  assertTooMuch(table, ALICE, second);
});

Deno.test("SHM_LOCK: uid 0 is never refused, and nobody else is charged for it", () => {
  const { table, ids: [first = -1, second = -1, third = -1] } = tableWith(3 * PAGE_SIZE, 4 * PAGE_SIZE, PAGE_SIZE);
  table.lock(ROOT, first);
  table.lock(ROOT, second);
  table.lock(ALICE, third);
});
