/**
 * Bytes that say which segment they were written for, so that a byte of one segment in another's place is seen: in a
 * checkpoint every eight bytes of a segment are zeros, or its own mark.
 */
import type { Checkpoint } from "../../lib/checkpoint/store.ts";
import { spaceOf } from "./loggers.ts";

const WORD = 0x5e6_3e27;

/** `size` bytes, a multiple of 8, of segment `id`. */
export function markOf(id: number, size: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(size / 4);
  for (let at = 0; at < words.length; at += 2) words.set([id, WORD], at);
  return new Uint8Array(words.buffer);
}

/** What in the segments of a checkpoint was never written into them: a sentence each. */
export async function foreignIn(checkpoint: Checkpoint): Promise<string[]> {
  const space = await spaceOf(checkpoint);
  return checkpoint.manifest.table.segments.flatMap(({ id, base, size }) => {
    const words = new Uint32Array(space.slice(base, base + size).buffer);
    for (let at = 0; at < words.length; at += 2) {
      const [own, mark] = [words[at], words[at + 1]];
      const isOwn = own === id && mark === WORD;
      if (!isOwn && (own !== 0 || mark !== 0)) return [`segment ${id} has ${own} and ${mark} at ${4 * at}`];
    }
    return [];
  });
}

/** How many segments of a checkpoint have bytes of their own. */
export async function markedIn(checkpoint: Checkpoint): Promise<number> {
  const space = await spaceOf(checkpoint);
  return checkpoint.manifest.table.segments.filter(({ base, size }) => {
    return space.subarray(base, base + size).some((byte) => byte !== 0);
  }).length;
}
