/**
 * One image of a draft.
 *
 *   - A full image begins as a hole of its size. Zeros are not written into it.
 *   - An incremental image begins as the file of the checkpoint before, under a second name. With the first byte that is
 *     written it becomes a file of its own, by sharing what it has with the old one, else as a copy into which the changes
 *     are woven: a file that a complete checkpoint has is never written to.
 *   - What is written comes in ascending order.
 */
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { invariant } from "../base/assert.ts";
import { CheckpointError } from "../base/errors.ts";
import { reflink } from "../sys/files.ts";
import { CHECKSUM_SIZE } from "./checksum.ts";
import { codeOf, fileError, onFile } from "./file_error.ts";
import { ImageStream, writeAll } from "./image_stream.ts";
import type { ImageRecord, Method } from "./manifest.ts";

/** Only its owner may look into an image: a server's memory is no more open than that. */
const IMAGE_MODE = 0o600;

/** What an image has before anything is written. */
export interface ImageStart {
  /** Bytes. */
  readonly size: number;
  /** CHECKSUM_SIZE bytes per MiB of what it begins as; the writer's own from now on. */
  readonly checksums: Uint8Array;
}

/** What the manifest says of a finished image. */
export type ImageOutcome = Pick<ImageRecord, "changedSize" | "method" | "checksums">;

/** Where the bytes go: into a file that has all others already, or into one that is written from its start to its end. */
interface Target {
  readonly file: FileHandle;
  readonly stream: ImageStream | undefined;
}

/** See the head of this file. */
export class ImageWriter {
  readonly #path: string;
  readonly #size: number;
  readonly #checksums: Uint8Array;
  #method: Method;
  /** None while the image is the file of the checkpoint before. */
  #target: Target | undefined;
  /** Bytes handed in to be written. */
  #putSize = 0;
  /** Where the latest of them ended. */
  #putEnd = 0;
  /** Why a write failed: then nobody knows what is in the image. */
  #failure: { readonly error: unknown } | undefined;
  /** Writes are carried out one after the other. */
  #writing: Promise<void> = Promise.resolve();

  private constructor(path: string, { size, checksums }: ImageStart, method: Method, target?: Target) {
    this.#path = path;
    this.#size = size;
    this.#checksums = checksums;
    this.#method = method;
    this.#target = target;
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
    return new ImageWriter(path, start, "full", { file, stream: new ImageStream(file, start.size) });
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

  /**
   * Writes `bytes` at `offset`, which is not before the end of what was written earlier. Resolves when they may change again.
   *
   * @throws SystemError: ENOSPC, EIO, of an earlier write as well; what is refused later `finish` throws.
   */
  write(offset: number, bytes: Uint8Array): Promise<void> {
    invariant(offset >= 0 && offset + bytes.length <= this.#size, `no bytes at ${offset} of ${this.#path}`);
    invariant(offset >= this.#putEnd, `an image is written in ascending order: ${this.#path}`);
    this.#putEnd = offset + bytes.length;
    this.#putSize += bytes.length;
    const written = this.#writing.then(() => this.#write(offset, bytes));
    this.#writing = written.catch(() => {});
    return written;
  }

  async #write(offset: number, bytes: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure.error;
    try {
      const { file, stream } = this.#target ?? await this.#own(this.#path);
      await (stream ? stream.put(offset, bytes) : writeAll(file, offset, bytes));
    } catch (error) {
      throw this.#fail(error);
    }
  }

  #fail(error: unknown): unknown {
    this.#failure ??= { error: fileError("write", this.#path, error) };
    return this.#failure.error;
  }

  /** Sets the checksum of a MiB, counted from 0: {@linkcode CHECKSUM_SIZE} bytes. */
  setChecksum(mebibyte: number, checksum: Uint8Array): void {
    invariant(checksum.length === CHECKSUM_SIZE, "a checksum has another size");
    this.#checksums.set(checksum, mebibyte * CHECKSUM_SIZE);
  }

  /** Brings everything to the disk, and closes the file. @throws SystemError: ENOSPC, EIO, of an earlier write as well. */
  async finish(): Promise<ImageOutcome> {
    await this.#writing;
    if (this.#failure !== undefined) throw this.#failure.error;
    const target = this.#target;
    try {
      await target?.stream?.end();
      await target?.file.sync();
    } catch (error) {
      throw this.#fail(error);
    }
    await this.close();
    // zeros that a full image is spared were not written
    const changedSize = this.#method === "full" ? target?.stream?.writtenSize ?? 0 : this.#putSize;
    return { changedSize, method: this.#method, checksums: this.#checksums };
  }

  /** Closes the file once nothing is being written any more. */
  async close(): Promise<void> {
    await this.#writing;
    const target = this.#target;
    this.#target = undefined;
    await target?.stream?.close();
    await target?.file.close();
  }

  /** Makes the image a file of its own with the bytes of `base`. */
  #own(base: string): Promise<Target> {
    return onFile("copy", base, async () => {
      const fresh = `${this.#path}.own`;
      const file = await open(fresh, "wx+", IMAGE_MODE);
      let stream: ImageStream | undefined;
      try {
        stream = await startCopy(base, file, this.#size);
        this.#method = stream ? "copy" : "reflink";
        await Deno.rename(fresh, this.#path);
        return this.#target = { file, stream };
      } catch (error) {
        await stream?.close();
        await file.close();
        await Deno.remove(fresh);
        throw error;
      }
    });
  }
}

/** Makes `into`, an empty file, share the bytes of the file at `path`; else returns what fills it with them. */
async function startCopy(path: string, into: FileHandle, size: number): Promise<ImageStream | undefined> {
  const from = await open(path, "r");
  if (!reflink(from.fd, into.fd)) return new ImageStream(into, size, { file: from, path });
  await from.close();
  return undefined;
}
