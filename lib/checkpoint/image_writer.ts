/**
 * One image of a draft.
 *
 *   - A full image begins as a hole of its size. Zeros are not written into it, so it takes each byte once at most.
 *   - An incremental image begins as the file of the checkpoint before, under a second name. With the first byte that is
 *     written it becomes a file of its own: a file that a complete checkpoint has is never written to.
 */
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { invariant } from "../base/assert.ts";
import { CheckpointError } from "../base/errors.ts";
import { copyRange, dataRanges, reflink, writeAt } from "../sys/files.ts";
import { CHECKED_SIZE, CHECKSUM_SIZE } from "./checksum.ts";
import { codeOf, fileError, onFile } from "./file_error.ts";
import type { ImageRecord, Method } from "./manifest.ts";
import { runsToWrite } from "./zeros.ts";

/** Only its owner may look into an image: a server's memory is no more open than that. */
const IMAGE_MODE = 0o600;
const STEP_SIZE = CHECKED_SIZE;

/** What an image has before anything is written. */
export interface ImageStart {
  /** Bytes. */
  readonly size: number;
  /** CHECKSUM_SIZE bytes per MiB of what it begins as; the writer's own from now on. */
  readonly checksums: Uint8Array;
}

/** What the manifest says of a finished image. */
export type ImageOutcome = Pick<ImageRecord, "changedSize" | "method" | "checksums">;

/** See the head of this file. */
export class ImageWriter {
  readonly #path: string;
  readonly #size: number;
  readonly #checksums: Uint8Array;
  #method: Method;
  /** The file to write to; none while it is the one of the checkpoint before. */
  #file: Promise<FileHandle> | undefined;
  #changedSize = 0;
  /** Why a write failed: then nobody knows what is in the image. */
  #failure: { readonly error: unknown } | undefined;
  readonly #writing = new Set<Promise<void>>();

  private constructor(path: string, { size, checksums }: ImageStart, method: Method, file?: Promise<FileHandle>) {
    this.#path = path;
    this.#size = size;
    this.#checksums = checksums;
    this.#method = method;
    this.#file = file;
  }

  /** Makes an image of zeros at `path`. @throws SystemError: ENOSPC, EACCES and others. */
  static async full(path: string, start: ImageStart): Promise<ImageWriter> {
    const file = await onFile("create", path, () => open(path, "wx+", IMAGE_MODE));
    try {
      await onFile("create", path, () => file.truncate(start.size));
    } catch (error) {
      await file.close();
      throw error;
    }
    return new ImageWriter(path, start, "full", Promise.resolve(file));
  }

  /**
   * Makes an image at `path` that begins as `base`, the one of the checkpoint before.
   *
   * @throws CheckpointError when `base` has another size; SystemError: ENOENT, ENOSPC and others.
   */
  static async incremental(path: string, start: ImageStart, base: string): Promise<ImageWriter> {
    const { isFile, size } = await onFile("look at", base, () => Deno.lstat(base));
    if (!isFile || size !== start.size) {
      throw new CheckpointError(`${base} has ${size} bytes instead of ${start.size}: nothing can be built on it`);
    }
    const writer = new ImageWriter(path, start, "hardlink");
    try {
      await Deno.link(base, path);
    } catch (error) {
      if (codeOf(error) === undefined) throw error;
      await writer.#own(base); // a file system without hard links, or a file that has as many as it can
    }
    return writer;
  }

  /** Writes `bytes` at `offset`; they must not change before the promise resolves. @throws SystemError: ENOSPC, EIO. */
  write(offset: number, bytes: Uint8Array): Promise<void> {
    invariant(offset >= 0 && offset + bytes.length <= this.#size, `no bytes at ${offset} of ${this.#path}`);
    const writing = this.#write(offset, bytes).finally(() => this.#writing.delete(writing));
    this.#writing.add(writing);
    return writing;
  }

  async #write(offset: number, bytes: Uint8Array): Promise<void> {
    try {
      const file = await (this.#file ?? this.#own(this.#path));
      const runs = this.#method === "full" ? runsToWrite(offset, bytes) : [{ offset, bytes }];
      for (const run of runs) {
        await writeAll(file, run.offset, run.bytes);
        this.#changedSize += run.bytes.length;
      }
    } catch (error) {
      this.#failure ??= { error: fileError("write", this.#path, error) };
      throw this.#failure.error;
    }
  }

  /** Sets the checksum of a MiB, counted from 0: {@linkcode CHECKSUM_SIZE} bytes. */
  setChecksum(mebibyte: number, checksum: Uint8Array): void {
    invariant(checksum.length === CHECKSUM_SIZE, "a checksum has another size");
    this.#checksums.set(checksum, mebibyte * CHECKSUM_SIZE);
  }

  /** Brings everything to the disk, and closes the file. @throws SystemError: ENOSPC, EIO, of an earlier write as well. */
  async finish(): Promise<ImageOutcome> {
    await Promise.allSettled(this.#writing);
    if (this.#failure !== undefined) throw this.#failure.error;
    const file = await this.#file;
    if (file !== undefined) await onFile("write", this.#path, () => file.sync());
    await this.close();
    const changedSize = Math.min(this.#changedSize, this.#size); // a byte may have been written twice
    return { changedSize, method: this.#method, checksums: this.#checksums };
  }

  /** Closes the file once nothing is being written any more. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#writing);
    const file = await this.#file?.catch(() => undefined);
    this.#file = undefined;
    await file?.close();
  }

  /** Makes the image a file of its own with the bytes of `base`; once, whoever asks. */
  #own(base: string): Promise<FileHandle> {
    return this.#file ??= onFile("copy", base, async () => {
      const fresh = `${this.#path}.own`;
      const file = await open(fresh, "wx+", IMAGE_MODE);
      try {
        this.#method = await copyImage(base, file, this.#size);
        await Deno.rename(fresh, this.#path);
        return file;
      } catch (error) {
        await file.close();
        await Deno.remove(fresh);
        throw error;
      }
    });
  }
}

/** Fills `into`, an empty file, with the `size` bytes of the file at `path`; holes stay holes. */
async function copyImage(path: string, into: FileHandle, size: number): Promise<Method> {
  const from = await open(path, "r");
  try {
    if (reflink(from.fd, into.fd)) return "reflink";
    await into.truncate(size);
    for (const range of dataRanges(from.fd, size)) {
      const copiedEnd = await copyRange(from.fd, into.fd, range);
      const buffer = copiedEnd < range.end ? new Uint8Array(STEP_SIZE) : new Uint8Array(0);
      for (let offset = copiedEnd; offset < range.end;) {
        const { bytesRead } = await from.read(buffer, 0, Math.min(buffer.length, range.end - offset), offset);
        if (bytesRead === 0) throw new CheckpointError(`${path} became shorter while it was copied`);
        for (const run of runsToWrite(offset, buffer.subarray(0, bytesRead))) {
          await writeAll(into, run.offset, run.bytes);
        }
        offset += bytesRead;
      }
    }
    return "copy";
  } finally {
    await from.close();
  }
}

async function writeAll(file: FileHandle, offset: number, bytes: Uint8Array): Promise<void> {
  for (let done = await writeAt(file.fd, bytes, offset); done < bytes.length;) {
    done += (await file.write(bytes, done, bytes.length - done, offset + done)).bytesWritten;
  }
}
