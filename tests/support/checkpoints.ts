/** Checkpoints of a test's own: from bytes to a directory, as a logger would write it. */
import { fail } from "@std/assert";
import { CHECKED_SIZE, Hasher } from "../../lib/checkpoint/checksum.ts";
import { Draft } from "../../lib/checkpoint/draft.ts";
import type { DraftRequest, DraftServer } from "../../lib/checkpoint/draft.ts";
import type { Checkpoint } from "../../lib/checkpoint/store.ts";
import { EMPTY_TABLE } from "../../lib/ipc/segments/segment_rows.ts";
import type { TableRows } from "../../lib/ipc/segments/segment_rows.ts";
import type { Random } from "../../lib/base/random.ts";

/** One server's memory. */
export type Memory = Uint8Array<ArrayBuffer>;

/** What a test's checkpoint is to be. */
export interface Picture {
  readonly epoch: number;
  readonly timeMs?: number;
  readonly incarnation?: number;
  /** Of each server, in their order. */
  readonly memories: readonly Memory[];
  /** Names of the servers. Default: 10.0.0.1:9734 and so on. */
  readonly names?: readonly string[];
  readonly signal?: AbortSignal;
  /** Default: there never was a segment. */
  readonly table?: TableRows;
}

/** When the checkpoint of epoch 0 is taken, unless a test says otherwise; each epoch is 100 s later. */
export const START_MS: number = Date.UTC(2026, 0, 31, 23, 59, 59, 123);
const EPOCH_MS = 100_000;
const BLOCK_SIZE = 4096;

/** The servers of a picture. */
export function serversOf({ memories, names }: Picture): DraftServer[] {
  let base = 0;
  return memories.map(({ length: size }, index) => {
    const server = {
      name: names?.[index] ?? `10.0.0.${index + 1}:9734`,
      base,
      size,
      blockSize: size % BLOCK_SIZE === 0 ? BLOCK_SIZE : 2,
      cookie: `${index}`.padStart(32, "c0de"),
      startCount: 1,
    };
    base += size;
    return server;
  });
}

/** What a draft of a picture is asked for. */
export function requestOf(picture: Picture): DraftRequest {
  const { epoch, timeMs = START_MS + epoch * EPOCH_MS, incarnation = 7, signal, table = EMPTY_TABLE } = picture;
  return { incarnation, epoch, timeMs, table, servers: serversOf(picture), ...signal ? { signal } : {} };
}

/** Writes a checkpoint with full images. */
export async function writeFull(directory: string, picture: Picture): Promise<Checkpoint> {
  const request = requestOf(picture);
  await using draft = await Draft.begin(directory, request);
  for (const [server, memory] of picture.memories.entries()) {
    await draft.startImage(server, false);
    await draft.write(server, 0, memory);
    await setChecksums(draft, server, memory);
  }
  return await draft.complete(request.servers);
}

/** Writes a checkpoint with what has changed since `previous`, whose memories were `before`. */
export async function writeIncremental(
  directory: string,
  picture: Picture,
  previous: Checkpoint,
  before: readonly Memory[],
): Promise<Checkpoint> {
  const request = requestOf(picture);
  await using draft = await Draft.begin(directory, { ...request, previous });
  for (const [server, memory] of picture.memories.entries()) {
    await draft.startImage(server, true);
    const old = before[server] ?? fail("no memory to compare with");
    for (let offset = 0; offset < memory.length; offset += BLOCK_SIZE) {
      const bytes = memory.subarray(offset, offset + BLOCK_SIZE);
      if (bytes.every((byte, index) => byte === old[offset + index])) continue;
      await draft.write(server, offset, bytes);
      await setChecksums(draft, server, memory, Math.floor(offset / CHECKED_SIZE));
    }
  }
  return await draft.complete(request.servers);
}

/** Sets the checksums of one MiB of a server's memory, or of all. */
export async function setChecksums(draft: Draft, server: number, memory: Memory, only?: number): Promise<void> {
  const hasher = await Hasher.create();
  for (let mebibyte = only ?? 0; mebibyte * CHECKED_SIZE < memory.length; mebibyte++) {
    const start = mebibyte * CHECKED_SIZE;
    draft.setChecksum(server, mebibyte, hasher.digest(memory.subarray(start, start + CHECKED_SIZE)));
    if (only !== undefined) return;
  }
}

/** Memory of that size with random bytes in some of its blocks and zeros in the others. */
export function sparseMemory(random: Random, size: number, dataOneIn = 4): Memory {
  const memory = new Uint8Array(size);
  for (let offset = 0; offset < size; offset += BLOCK_SIZE) {
    if (random.isOneIn(dataOneIn)) memory.set(random.bytes(Math.min(BLOCK_SIZE, size - offset)), offset);
  }
  return memory;
}

/** All memories, one after the other. */
export function spaceOf(memories: readonly Memory[]): Memory {
  const space = new Uint8Array(memories.reduce((sum, { length }) => sum + length, 0));
  let base = 0;
  for (const memory of memories) {
    space.set(memory, base);
    base += memory.length;
  }
  return space;
}

/** Flips one bit of a file, where it lies. */
export async function flipBit(path: string, bit: number): Promise<void> {
  using file = await Deno.open(path, { read: true, write: true });
  const byte = new Uint8Array(1);
  await file.seek(bit >> 3, Deno.SeekMode.Start);
  await file.read(byte);
  byte[0] = (byte[0] as number) ^ (1 << (bit & 7));
  await file.seek(bit >> 3, Deno.SeekMode.Start);
  await file.write(byte);
}

/** The bytes of all files of a checkpoint. */
export async function filesOf({ path }: Checkpoint): Promise<Map<string, Uint8Array>> {
  const names = await Array.fromAsync(Deno.readDir(path), ({ name }) => name);
  return new Map(
    await Promise.all(
      names.sort().map(async (name) => {
        return [name, await Deno.readFile(`${path}/${name}`)] as const;
      }),
    ),
  );
}
