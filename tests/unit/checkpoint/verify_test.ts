/** Damage of every kind is found, and named by server and byte range; only what is sound is restored. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { CheckpointError, SystemError } from "../../../lib/base/errors.ts";
import { soundCheckpoint, soundImage } from "../../../lib/checkpoint/choose.ts";
import { describe, verify } from "../../../lib/checkpoint/verify.ts";
import type { Finding } from "../../../lib/checkpoint/verify.ts";
import { flipBit, sparseMemory, writeFull } from "../../support/checkpoints.ts";
import { TempDir } from "../../support/machine.ts";
import { seededTest } from "../../support/seeded.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const FLIPS = 1_000;

seededTest("1,000 random single-bit flips in any file are found, where they are", async (random) => {
  await using dir = new TempDir();
  const sizes = [64 * KIB, MIB + 4 * KIB, 20, 128 * KIB];
  const { path } = await writeFull(dir.path, { epoch: 1, memories: sizes.map((size) => sparseMemory(random, size)) });
  const files = ["manifest.json", ...sizes.map((_, index) => `server-${index}.img`)];
  for (let times = 0; times < FLIPS; times++) {
    const file = random.pick(files);
    const { size } = await Deno.stat(`${path}/${file}`);
    const bit = random.below(8 * size);
    await flipBit(`${path}/${file}`, bit);
    const findings = await verify(path);
    assertEquals(findings.map((each) => each.file), [file], `bit ${bit} of ${file}`);
    const { start, end } = findings[0] as Finding;
    assert(start <= bit >> 3 && bit >> 3 < end && end - start <= MIB, `bit ${bit} of ${file}: ${start} to ${end}`);
    await flipBit(`${path}/${file}`, bit);
  }
  assertEquals(await verify(path), []);
});

seededTest("a missing, cut, grown, replaced or swapped image is found, and which server's it is", async (random) => {
  await using dir = new TempDir();
  const memories = [random.bytes(2 * MIB + 100), random.bytes(2 * MIB + 100), new Uint8Array(MIB)];
  const { path } = await writeFull(dir.path, { epoch: 1, memories });
  const [first, second, third] = memories.map((_, index) => `${path}/server-${index}.img`) as [string, string, string];
  const [bytes, others, zeros] = memories as [Uint8Array, Uint8Array, Uint8Array];
  const found = async (): Promise<string[]> => (await verify(path)).map(describe);
  const damages: [() => Promise<void>, RegExp[]][] = [
    [() => Deno.remove(first), [/server-0\.img \(server 10\.0\.0\.1:9734\), bytes 0 to 2097252: it is not there/]],
    [() => Deno.truncate(first, 2 * MIB + 50), [/bytes 2097202 to 2097252: it ends at 2097202 instead of 2097252/]],
    [() => Deno.truncate(first, 0), [/bytes 0 to 2097252: it ends at 0/]],
    [() => Deno.writeFile(first, new Uint8Array(1), { append: true }), [/2097252 to 2097253: it goes on to 2097253/]],
    [async () => {
      await Deno.remove(first);
      await Deno.mkdir(first);
    }, [/it is not a file/]],
    [async () => {
      await Deno.remove(first);
      await Deno.symlink(second, first);
    }, [/it is not a file/]],
    [async () => {
      await Deno.writeFile(first, others);
      await Deno.writeFile(second, bytes);
    }, [/server-0.*bytes 0 to 2097252: its bytes are not/, /server-1.*bytes 0 to 2097252: its bytes are not/]],
    // a hole where there was data, and data where there was a hole
    [async () => {
      await Deno.truncate(first, MIB);
      await Deno.truncate(first, bytes.length);
    }, [/bytes 1048576 to 2097252: its bytes are not/]],
    [() => Deno.writeFile(third, new Uint8Array(MIB).fill(1, 4096, 4097)), [/server-2.*bytes 0 to 1048576/]],
  ];
  for (const [damage, expected] of damages) {
    await damage();
    const sentences = await found();
    assertEquals(sentences.length, expected.length, sentences.join("\n"));
    for (const [index, pattern] of expected.entries()) assertMatch(sentences[index] ?? "", pattern);
    for (const [file, content] of [[first, bytes], [second, others], [third, zeros]] as const) {
      await Deno.remove(file, { recursive: true }).catch(() => {});
      await Deno.writeFile(file, content);
    }
    assertEquals(await found(), []);
  }
});

Deno.test("a manifest that is missing or no JSON is a finding; a directory that is missing is an error", async () => {
  await using dir = new TempDir();
  const { path } = await writeFull(dir.path, { epoch: 1, memories: [new Uint8Array(4096)] });
  await Deno.writeTextFile(`${path}/manifest.json`, "{}");
  assertMatch((await verify(path)).map(describe).join(), /^manifest\.json, bytes 0 to 2: .*which is no manifest/);
  await Deno.remove(`${path}/manifest.json`);
  assertMatch((await verify(path)).map(describe).join(), /^manifest\.json, bytes 0 to 0: .*it is not there$/);
  await assertRejects(() => verify(dir.file("none")), SystemError, "ENOENT");
});

Deno.test("verifying tells how far it is, and ends when it is told to", async () => {
  await using dir = new TempDir();
  const { path } = await writeFull(dir.path, {
    epoch: 1,
    memories: [new Uint8Array(2 * MIB).fill(1), new Uint8Array(20)],
  });
  const told: [number, number][] = [];
  await verify(path, { onProgress: (done, total) => told.push([done, total]) });
  const total = 2 * MIB + 20;
  assertEquals(told, [[MIB, total], [2 * MIB, total], [total, total]]);
  const ending = AbortSignal.abort(new Error("stopped"));
  await assertRejects(() => verify(path, { signal: ending }), Error, "stopped");
});

Deno.test("what is damaged is refused; an older one is taken only when that is wanted, and it is said", async () => {
  await using dir = new TempDir();
  const memories = [new Uint8Array(8192).fill(1), new Uint8Array(4096).fill(2)];
  const checkpoints = [];
  for (const epoch of [1, 2, 3]) checkpoints.push(await writeFull(dir.path, { epoch, memories }));
  const [oldest, middle, newest] = checkpoints.map(({ name }) => name) as [string, string, string];
  assertEquals((await soundCheckpoint(dir.path, "latest")).name, newest);
  await flipBit(dir.file(`${newest}/manifest.json`), 77);
  await flipBit(dir.file(`${middle}/server-1.img`), 8 * 17);

  const refused: string[] = [];
  const options = { onRefused: (reason: string) => void refused.push(reason) };
  const error = await assertRejects(() => soundCheckpoint(dir.path, "latest", options), CheckpointError);
  assertMatch(error.message, new RegExp(`${newest} is damaged: .*manifest\\.json.*--previous`));
  const other = await assertRejects(() => soundCheckpoint(dir.path, middle), CheckpointError);
  assertMatch(other.message, /server-1\.img \(server 10\.0\.0\.2:9734\), bytes 0 to 4096/);
  assertEquals(refused, []);

  const found = await soundCheckpoint(dir.path, "latest", { ...options, mayFallBack: true });
  assertEquals([found.name, refused.length], [oldest, 2]);
  assertMatch(refused[0] ?? "", new RegExp(newest));
  await flipBit(dir.file(`${oldest}/server-0.img`), 0);
  const none = await assertRejects(() => soundCheckpoint(dir.path, "latest", { mayFallBack: true }), CheckpointError);
  assertMatch(none.message, /no checkpoint in .* is sound/);
});

Deno.test("a server finds its own image, by name or by number, and only a sound one", async () => {
  await using dir = new TempDir();
  const memories = [new Uint8Array(8192).fill(1), new Uint8Array(4096).fill(2)];
  const { path } = await writeFull(dir.path, { epoch: 1, memories });
  assertEquals((await soundImage(dir.path, "latest", "10.0.0.2:9734")).record.file, "server-1.img");
  assertEquals((await soundImage(dir.path, "latest", "elsewhere:1", 0)).record.file, "server-0.img");
  const error = await assertRejects(() => soundImage(dir.path, "latest", "elsewhere:1"), CheckpointError);
  assertMatch(error.message, /no image of elsewhere:1; give one of 0 10\.0\.0\.1:9734, 1 10\.0\.0\.2:9734 by --image/);
  await assertRejects(() => soundImage(dir.path, "latest", "10.0.0.1:9734", 2), CheckpointError, "no image 2");
  await flipBit(`${path}/server-0.img`, 0);
  await assertRejects(() => soundImage(dir.path, "latest", "10.0.0.1:9734"), CheckpointError, "bytes 0 to 8192");
  await soundImage(dir.path, "latest", "10.0.0.2:9734");
});
