/** Requests in flight are found by their ids, however many there are and wherever the ids begin again. */
import { assertEquals } from "@std/assert";
import { PendingTable } from "../../../lib/net/pending_table.ts";
import { Pending } from "../../../lib/net/request.ts";

function pending(id: number): Pending {
  return new Pending("read", id, 0, 0, new Uint8Array(0), undefined, true, 0, () => {}, () => {});
}

Deno.test("pending table: as a map has it, through growth and a slow first request", () => {
  const table = new PendingTable();
  const model = new Map<number, Pending>();
  for (let id = 1; id <= 5_000; id++) {
    const request = pending(id);
    table.add(request);
    model.set(id, request);
    // the first stays, most others go soon: their slots come round again
    if (id > 40 && id % 7 !== 0) {
      table.delete(id - 30);
      model.delete(id - 30);
    }
  }
  assertEquals(table.size, model.size);
  assertEquals(table.all().map(({ id }) => id), [...model.keys()].sort((a, b) => a - b));
  for (let id = 0; id <= 5_001; id++) assertEquals(table.get(id), model.get(id));
});

Deno.test("pending table: ids at the end of their range, and one that is not there", () => {
  const table = new PendingTable();
  for (const id of [0xffff_ffff, 0xffff_fffe, 1, 2]) table.add(pending(id));
  table.delete(3);
  table.delete(0xffff_ffff);
  assertEquals(table.all().map(({ id }) => id), [1, 2, 0xffff_fffe]);
  assertEquals([table.get(0xffff_ffff), table.get(257), table.size], [undefined, undefined, 3]);
});
