/** The config server's copy of its table at a cut: of which moment it is, and when there is none. */
import { assertEquals, assertThrows } from "@std/assert";
import { SystemError } from "../../../lib/base/errors.ts";
import { IPC_CREAT } from "../../../lib/ipc/common/flags.ts";
import { TablePicture } from "../../../lib/node/config/table_picture.ts";
import { meetEpoch } from "../../../lib/wire/epoch.ts";
import type { EpochWord } from "../../../lib/wire/epoch.ts";
import { principal, tableOf } from "../ipc/segments/tables.ts";

const ADA = principal(1000, 100);

Deno.test("the copy is of the moment before the epoch is raised, and the latest one is kept", () => {
  const word: EpochWord = { incarnation: 9, epoch: 1 };
  const table = tableOf([{ size: 65_536, blockSize: 4096 }]);
  const picture = new TablePicture(word, () => table);
  const make = (key: number): number => {
    const { id } = table.shmget(ADA, key, 1, IPC_CREAT | 0o600, 1);
    table.commit(id);
    return id;
  };
  const keysAt = (epoch: number): number[] => picture.at(epoch).segments.map(({ key }) => key);
  make(1);
  table.shmget(ADA, 2, 1, IPC_CREAT | 0o600, 1); // it is only just being zeroed
  meetEpoch(word, 9, 2);
  table.commit(1);
  const marked = make(3);
  assertEquals(keysAt(2), [1]);
  table.shmat(ADA, "s", marked, 0, 1);
  table.remove(ADA, marked);
  meetEpoch(word, 9, 2); // known already
  assertEquals(keysAt(2), [1]);
  meetEpoch(word, 9, 5);
  assertEquals(keysAt(5), [1, 2]);
  for (const epoch of [1, 2, 4, 6]) {
    assertEquals(assertThrows(() => picture.at(epoch), SystemError, "no copy of its table").code, "ESTALE");
  }
});

Deno.test("who hears of a life for the first time has made no cut in it", () => {
  const word: EpochWord = { incarnation: 0, epoch: 0 };
  const picture = new TablePicture(word, () => tableOf([]));
  meetEpoch(word, 9, 4);
  assertThrows(() => picture.at(4), SystemError);
  meetEpoch(word, 9, 5);
  assertEquals(picture.at(5).segments, []);
  meetEpoch(word, 10, 5);
  assertThrows(() => picture.at(5), SystemError);
});
