/**
 * A checkpoint's space as one file: the bytes alone, or the first ancestor's text.
 *
 *   - The text has a line per byte: its address in decimal, a colon, a blank, the byte as it is, a line feed. A byte that is a
 *     line feed itself is no exception: after the blank there is always one byte, then a line feed.
 *   - A file is written beside its place, synced and renamed: it is there in whole or not at all.
 */
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { onFile } from "./file_error.ts";
import { SpaceReader } from "./space_reader.ts";
import type { SpacePart } from "./space_reader.ts";
import type { Checkpoint } from "./store.ts";
import type { VerifyOptions } from "./verify.ts";

/** What an export is made of. */
export type ExportForm = "raw" | "text";

/** Takes the bytes of an export in their order; they are overwritten once its promise has resolved. */
export type Sink = (bytes: Uint8Array<ArrayBuffer>) => void | Promise<void>;

const EXPORT_MODE = 0o600;
const TEXT_SIZE = 256 * 1024;
const LINE_SIZE_MAX = 24;
const [ZERO, NINE, COLON, BLANK, LINE_FEED] = [0x30, 0x39, 0x3a, 0x20, 0x0a] as const;

/** Gives the whole space to `sink`. @throws as SpaceReader.extents; the signal's reason; what the sink throws. */
export async function exportTo(
  checkpoint: Checkpoint,
  form: ExportForm,
  sink: Sink,
  { onProgress, signal }: VerifyOptions = {},
): Promise<void> {
  await using space = await SpaceReader.open(checkpoint);
  const text = new TextLines();
  for await (const part of space.parts()) {
    signal?.throwIfAborted();
    if (form === "raw") await sink(part.bytes);
    else for (const lines of text.of(part)) await sink(lines);
    onProgress?.(part.address + part.bytes.length, space.size);
  }
}

/** Writes the whole space to a file, a sparse one if it is raw. @throws SystemError: ENOSPC and others; as {@linkcode exportTo}. */
export async function exportToFile(
  checkpoint: Checkpoint,
  form: ExportForm,
  path: string,
  options: VerifyOptions = {},
): Promise<void> {
  const temporary = `${path}.${Deno.pid}.tmp`;
  await onFile("write", path, async () => {
    const file = await open(temporary, "w", EXPORT_MODE);
    try {
      if (form === "raw") await writeSparse(checkpoint, file, options);
      else await exportTo(checkpoint, form, (bytes) => writeAll(file, bytes, null), options);
      await file.sync();
      await Deno.rename(temporary, path);
    } catch (error) {
      await Deno.remove(temporary);
      throw error;
    } finally {
      await file.close();
    }
  });
}

/** The first ancestor's name for a checkpoint: `YYYY-MM-DD HH:MM:SS.txt`, in local time; `timeMs` since 1970. */
export function textFileName(timeMs: number): string {
  const time = new Date(timeMs);
  const two = (value: number): string => `${value}`.padStart(2, "0");
  const day = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join("-");
  return `${day} ${[time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(":")}.txt`;
}

async function writeSparse(
  checkpoint: Checkpoint,
  file: FileHandle,
  { onProgress, signal }: VerifyOptions,
): Promise<void> {
  await using space = await SpaceReader.open(checkpoint);
  await file.truncate(space.size);
  for await (const { address, bytes } of space.extents()) {
    signal?.throwIfAborted();
    await writeAll(file, bytes, address);
    onProgress?.(address + bytes.length, space.size);
  }
}

/** Writes at `position`, or after what was written last where it is null. */
async function writeAll(file: FileHandle, bytes: Uint8Array, position: number | null): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const at = position === null ? null : position + done;
    done += (await file.write(bytes, done, bytes.length - done, at)).bytesWritten;
  }
}

/** Makes lines of bytes that follow each other from address 0 on, counting in decimal digits as it goes. */
class TextLines {
  readonly #lines = new Uint8Array(TEXT_SIZE);
  #digits: number[] = [ZERO];

  /** The lines of a part, a buffer at a time; each is overwritten by the next. */
  *of({ bytes }: SpacePart): Generator<Uint8Array<ArrayBuffer>> {
    const lines = this.#lines;
    let end = 0;
    for (const byte of bytes) {
      for (const digit of this.#digits) lines[end++] = digit;
      lines[end++] = COLON;
      lines[end++] = BLANK;
      lines[end++] = byte;
      lines[end++] = LINE_FEED;
      this.#count();
      if (end <= lines.length - LINE_SIZE_MAX) continue;
      yield lines.subarray(0, end);
      end = 0;
    }
    if (end > 0) yield lines.subarray(0, end);
  }

  #count(): void {
    const digits = this.#digits;
    let at = digits.length - 1;
    for (; at >= 0 && digits[at] === NINE; at--) digits[at] = ZERO;
    if (at >= 0) digits[at] = (digits[at] as number) + 1;
    else this.#digits = [ZERO + 1, ...digits];
  }
}
