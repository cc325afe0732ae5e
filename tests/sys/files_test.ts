/** lib/sys/files.ts: holes, shared extents, and reading and writing past the page cache, on whatever file systems this machine has. */
import { assert, assertEquals } from "@std/assert";
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import {
  dataRanges,
  DIRECT_ALIGNMENT,
  directBytes,
  readAt,
  reflink,
  setDirect,
  syncDirectory,
  writeAt,
} from "../../lib/sys/files.ts";
import { TempDir } from "../support/processes.ts";

const MIB = 1024 * 1024;

/** A file of 8 MiB with data in its MiBs 1 and 5. */
async function sparse(path: string): Promise<FileHandle> {
  const file = await open(path, "wx+");
  await file.truncate(8 * MIB);
  for (const index of [1, 5]) await file.write(new Uint8Array(MIB).fill(index), 0, MIB, index * MIB);
  return file;
}

Deno.test("data ranges leave out holes, cover all data and end with the file", async () => {
  await using dir = new TempDir();
  const file = await sparse(dir.file("sparse"));
  try {
    const ranges = [...dataRanges(file.fd, 8 * MIB)];
    // a file system may say more than there is, never less
    for (const index of [1, 5]) {
      assert(ranges.some(({ start, end }) => start <= index * MIB && end >= (index + 1) * MIB), `MiB ${index}`);
    }
    assert(ranges.every(({ start, end }, at) => start < end && end <= 8 * MIB && start >= (ranges[at - 1]?.end ?? 0)));
    assertEquals([...dataRanges(file.fd, 5 * MIB)].at(-1)?.end, 2 * MIB, "nothing beyond the size that was given");
    assertEquals([...dataRanges(-1, 10)], [{ start: 0, end: 10 }], "what cannot be asked is data");
    await file.truncate(0);
    await file.truncate(MIB);
    assertEquals([...dataRanges(file.fd, MIB)], []);
    assertEquals([...dataRanges(file.fd, 0)], []);
  } finally {
    await file.close();
  }
});

Deno.test("past the page cache bytes go and come as through it", async () => {
  await using dir = new TempDir();
  const file = await open(dir.file("direct"), "wx+");
  try {
    const bytes = directBytes(3 * DIRECT_ALIGNMENT);
    for (let i = 0; i < bytes.length; i++) bytes[i] = i % 251;
    setDirect(file.fd, true); // not every file system does it
    assertEquals(await writeAt(file.fd, bytes, DIRECT_ALIGNMENT), bytes.length);
    const back = directBytes(8 * DIRECT_ALIGNMENT);
    assertEquals(await readAt(file.fd, back, DIRECT_ALIGNMENT), bytes.length, "up to the end of the file");
    assertEquals(back.subarray(0, bytes.length), bytes);
    assert(setDirect(file.fd, false));
    assertEquals(await readAt(file.fd, back.subarray(0, 10), DIRECT_ALIGNMENT + 5), 10);
    assertEquals([...back.subarray(0, 10)], [5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
    assertEquals([setDirect(-1, true), await readAt(-1, back, 0), await writeAt(-1, back, 0)], [false, 0, 0]);
  } finally {
    await file.close();
  }
});

Deno.test("a reflink has the same bytes and goes its own way, or says that it is none", async () => {
  await using dir = new TempDir();
  const from = await sparse(dir.file("from"));
  const into = await open(dir.file("into"), "wx+");
  try {
    const isShared = reflink(from.fd, into.fd);
    assertEquals((await into.stat()).size, isShared ? 8 * MIB : 0);
    assertEquals(reflink(from.fd, -1), false);
  } finally {
    await Promise.all([from.close(), into.close()]);
  }
});

Deno.test("a directory is synced; one that is not there is an error", async () => {
  await using dir = new TempDir();
  await syncDirectory(dir.path);
  const error = await syncDirectory(dir.file("none")).catch((each) => each);
  assert(error instanceof Deno.errors.NotFound);
});
