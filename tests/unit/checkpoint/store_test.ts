/** A directory of checkpoints: order, names, damaged ones, and what pruning leaves. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { CheckpointError, UsageError } from "../../../lib/base/errors.ts";
import { checkpointName, parseCheckpointName } from "../../../lib/checkpoint/names.ts";
import {
  checkpointsFrom,
  findCheckpoint,
  isComplete,
  listCheckpoints,
  pruneCheckpoints,
} from "../../../lib/checkpoint/store.ts";
import { verify } from "../../../lib/checkpoint/verify.ts";
import { flipBit, START_MS, writeFull, writeIncremental } from "../../support/checkpoints.ts";
import { TempDir } from "../../support/machine.ts";

const memories = [new Uint8Array(4096).fill(1)];

Deno.test("names: UTC to the second and the epoch, and back", () => {
  const timeMs = Date.UTC(2026, 10, 21, 9, 8, 7, 654);
  assertEquals(checkpointName({ timeMs, epoch: 12 }), "2026-11-21T09-08-07Z-12");
  assertEquals(parseCheckpointName("2026-11-21T09-08-07Z-12"), { timeMs: timeMs - 654, epoch: 12 });
  for (const none of ["", "latest", "2026-11-21T09:08:07Z-12", "2026-13-21T09-08-07Z-12", "2026-11-21T09-08-07Z"]) {
    assertEquals(parseCheckpointName(none), undefined, none);
  }
});

Deno.test("the newest comes first: by incarnation, then epoch, then time; damaged ones by the time in their name", async () => {
  await using dir = new TempDir();
  const write = async (incarnation: number, epoch: number, seconds: number): Promise<string> => {
    return (await writeFull(dir.path, { incarnation, epoch, timeMs: START_MS + seconds * 1000, memories })).name;
  };
  const a = await write(1, 9, 0);
  const damaged = await write(1, 10, 5);
  const c = await write(2, 1, 10);
  const d = await write(2, 2, 4); // a clock that was set back
  const e = await write(2, 2, 6);
  await Deno.remove(dir.file(`${damaged}/manifest.json`));
  await Deno.mkdir(dir.file("lost+found")); // nothing of ours
  await Deno.mkdir(dir.file("renamed"));
  await Deno.writeTextFile(dir.file("renamed/manifest.json"), "");
  await Deno.mkdir(dir.file(".tmp-1-2-host-x"));
  await Deno.writeTextFile(dir.file("2026.txt"), "");
  const listed = await listCheckpoints(dir.path);
  assertEquals(listed.map(({ name }) => name), [e, damaged, d, c, a, "renamed"]);
  const reasons = listed.filter((each) => !isComplete(each)).map((each) => "reason" in each ? each.reason : "");
  for (const reason of reasons) assertMatch(reason, /manifest\.json: ./);
  assertEquals((await findCheckpoint(dir.path, "latest")).name, e);
  assertEquals((await checkpointsFrom(dir.path, c)).map(({ name }) => name), [c, a, "renamed"]);
});

Deno.test("a newest one that is damaged is not passed over in silence", async () => {
  await using dir = new TempDir();
  await writeFull(dir.path, { epoch: 1, memories });
  const { name } = await writeFull(dir.path, { epoch: 2, memories });
  await flipBit(dir.file(`${name}/manifest.json`), 8 * 20);
  const error = await assertRejects(() => findCheckpoint(dir.path, "latest"), CheckpointError);
  assertMatch(error.message, new RegExp(`${name} is damaged: .*its own checksum does not fit`));
});

Deno.test("what is not there is said, with what to do", async () => {
  await using dir = new TempDir();
  assertEquals(await listCheckpoints(dir.file("none")), []);
  await assertRejects(() => findCheckpoint(dir.file("none"), "latest"), CheckpointError, "none at all; name another");
  await writeFull(dir.path, { epoch: 1, memories });
  await assertRejects(() => findCheckpoint(dir.path, "x"), CheckpointError, "dsm checkpoint list --dir");
  await assertRejects(() => findCheckpoint(dir.path, "../x"), UsageError, "is a path");
});

Deno.test("pruning keeps the newest, never removes the last, and leaves what it keeps whole", async () => {
  await using dir = new TempDir();
  let newest = await writeFull(dir.path, { epoch: 1, memories });
  const names = [newest.name];
  for (const epoch of [2, 3, 4, 5]) {
    newest = await writeIncremental(dir.path, { epoch, memories }, newest, memories);
    names.push(newest.name);
  }
  const damaged = names[3] as string;
  await flipBit(dir.file(`${damaged}/manifest.json`), 1);
  assertEquals((await pruneCheckpoints(dir.path, 2)).map(({ name }) => name), [names[1], names[0]]);
  assertEquals((await listCheckpoints(dir.path)).map(({ name }) => name), [names[4], damaged, names[2]]);
  assertEquals(await verify(newest.path), [], "its image was the same file as the removed ones'");
  assertEquals((await pruneCheckpoints(dir.path, 0)).map(({ name }) => name), [names[2]]);
  assertEquals(await pruneCheckpoints(dir.path, 1), []);
  assert(!(await Array.fromAsync(Deno.readDir(dir.path))).some(({ name }) => name.startsWith(".")));
  assertEquals(await verify(newest.path), []);
});
