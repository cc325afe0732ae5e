/**
 * Reading one image of a checkpoint. It is taken as it lies there: whether it is as it was written is verify.ts's affair.
 *
 * Holes are skipped where the file system tells of them; what it calls data is always read.
 */
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { CheckpointError } from "../base/errors.ts";
import { dataRanges } from "../sys/files.ts";
import type { FileRange } from "../sys/files.ts";
import { CHECKED_SIZE } from "./checksum.ts";
import { onFile } from "./file_error.ts";
import type { ImageRecord } from "./manifest.ts";
import { usedSizeOf } from "./zeros.ts";

/** Bytes of an image that may be other than zero. */
export interface Extent {
  /** Offset in the image of the first one. */
  readonly offset: number;
  /** At most {@linkcode CHECKED_SIZE} of them; overwritten by the next extent. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** An image that is open: `await using image = await ImageReader.open(…)`. */
export class ImageReader implements AsyncDisposable {
  /** What the manifest says of it. */
  readonly record: ImageRecord;
  /** The file. */
  readonly path: string;
  readonly #file: FileHandle;

  private constructor(path: string, record: ImageRecord, file: FileHandle) {
    this.path = path;
    this.record = record;
    this.#file = file;
  }

  /** Opens the image of `record` in a checkpoint's directory. @throws SystemError: ENOENT, EACCES and others. */
  static async open(directory: string, record: ImageRecord): Promise<ImageReader> {
    const path = `${directory}/${record.file}`;
    return new ImageReader(path, record, await onFile("read", path, () => open(path, "r")));
  }

  /** Fills `into` with the bytes from `offset` on. @throws CheckpointError when the file ends before; SystemError EIO. */
  async read(offset: number, into: Uint8Array<ArrayBuffer>): Promise<void> {
    for (let done = 0; done < into.length;) {
      const { bytesRead } = await onFile("read", this.path, () => {
        return this.#file.read(into, done, into.length - done, offset + done);
      });
      if (bytesRead === 0) {
        throw new CheckpointError(`${this.path} ends at ${offset + done} instead of ${this.record.size}`);
      }
      done += bytesRead;
    }
  }

  /** The ranges that are not holes, in ascending order. */
  dataRanges(): FileRange[] {
    return [...dataRanges(this.#file.fd, this.record.size)];
  }

  /** All bytes that may be other than zero, in ascending order. @throws as {@linkcode ImageReader.read}. */
  async *extents(): AsyncGenerator<Extent> {
    const buffer = new Uint8Array(CHECKED_SIZE);
    for (const { start, end } of this.dataRanges()) {
      for (let offset = start; offset < end; offset += buffer.length) {
        const bytes = buffer.subarray(0, Math.min(buffer.length, end - offset));
        await this.read(offset, bytes);
        yield { offset, bytes };
      }
    }
  }

  /** How many bytes there are up to the last one that is not zero. @throws as {@linkcode ImageReader.read}. */
  async usedSize(): Promise<number> {
    const buffer = new Uint8Array(CHECKED_SIZE);
    for (const { start, end } of this.dataRanges().reverse()) {
      for (let last = end; last > start;) {
        const offset = Math.max(start, last - buffer.length);
        const bytes = buffer.subarray(0, last - offset);
        await this.read(offset, bytes);
        const used = usedSizeOf(bytes);
        if (used > 0) return offset + used;
        last = offset;
      }
    }
    return 0;
  }

  /** Closes the file. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#file.close();
  }
}
