/** The file that keeps epochs from being begun twice. */
import { assertEquals, assertRejects } from "@std/assert";
import { readEpoch, writeEpoch } from "../../../lib/checkpoint/epoch_file.ts";
import { CheckpointError, SystemError } from "../../../lib/base/errors.ts";
import { TempDir } from "../../support/machine.ts";

Deno.test("what was written last is read back, and nothing else stays in the directory", async () => {
  await using dir = new TempDir();
  const directory = dir.file("new");
  assertEquals(await readEpoch(directory), { incarnation: 0, epoch: 0 });
  for (const epoch of [1, 2, 4_294_967_295]) {
    await writeEpoch(directory, { incarnation: 7, epoch });
    assertEquals(await readEpoch(directory), { incarnation: 7, epoch });
  }
  assertEquals([...Deno.readDirSync(directory)].map(({ name }) => name), [".epoch"]);
});

Deno.test("a file that names no epoch is an error, and so is a directory that cannot be one", async () => {
  await using dir = new TempDir();
  for (const text of ["", "{}", '{"incarnation":1}', '{"incarnation":1,"epoch":-1}', "7"]) {
    await Deno.writeTextFile(dir.file(".epoch"), text);
    await assertRejects(() => readEpoch(dir.path), CheckpointError, "remove it");
  }
  const file = dir.file("file");
  await Deno.writeTextFile(file, "");
  const { code } = await assertRejects(() => writeEpoch(file, { incarnation: 1, epoch: 1 }), SystemError);
  assertEquals(code, "EEXIST");
});
