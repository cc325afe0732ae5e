/**
 * The bytes of an image on their way to the disk, from its start to its end.
 *
 *   - They go in steps. A step's buffer begins as the same bytes of the base, or as zeros; what is put is laid over them;
 *     what is not zero then is written. So every byte of the file is written once at most, and holes stay holes.
 *   - Reading and writing go past the page cache, where the file system lets them. Through it a GiB costs a copy, a page for
 *     each 4 KiB, and threads of the kernel that bring it to the disk later: on the processor of somebody who has nothing
 *     to do with it, for 100 ms at a time (measured with a plain copy of a file: 112 ms, and 3 ms past the cache).
 *   - While one step is filled, those before it are being written.
 */
import type { FileHandle } from "node:fs/promises";
import { invariant } from "../base/assert.ts";
import { CheckpointError } from "../base/errors.ts";
import { dataRanges, DIRECT_ALIGNMENT, directBytes, readAt, setDirect, writeAt } from "../sys/files.ts";
import type { FileRange } from "../sys/files.ts";
import { CHECKED_SIZE } from "./checksum.ts";
import { runsToWrite } from "./zeros.ts";

/** What is read and written at once. */
const STEP_SIZE = CHECKED_SIZE;
/** Steps that are being written while another is filled. */
const WRITES_MAX = 2;

/** The file that an image begins as. */
interface Base {
  readonly file: FileHandle;
  readonly path: string;
  /** Where it has data, ascending. */
  readonly ranges: readonly FileRange[];
}

/** See the head of this file. One call at a time; after one that failed none but `close`. */
export class ImageStream {
  readonly #file: FileHandle;
  readonly #size: number;
  readonly #base: Base | undefined;
  readonly #free: Uint8Array<ArrayBuffer>[] = [];
  /** The first of the base's ranges that does not end before the step. */
  #range = 0;
  /** The step that is filled, and its bytes once there are some. */
  #step = 0;
  #bytes: Uint8Array<ArrayBuffer> | undefined;
  readonly #writing: Promise<void>[] = [];
  /** Bytes written that are not zeros, as far as whole units of zeros are told from others. */
  writtenSize = 0;

  /** Fills `file`, which is empty, with `size` bytes. @param base what they are where nothing is put; zeros unless given. */
  constructor(file: FileHandle, size: number, base?: { readonly file: FileHandle; readonly path: string }) {
    this.#file = file;
    this.#size = size;
    this.#base = base && { ...base, ranges: [...dataRanges(base.file.fd, size)] };
    setDirect(file.fd, true);
    if (base) setDirect(base.file.fd, true);
  }

  /** Lays `bytes` over what is at `offset`, which is not before any put earlier. Later they may change. */
  async put(offset: number, bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const at = offset + done;
      await this.#goTo(Math.floor(at / STEP_SIZE));
      const from = at % STEP_SIZE;
      const count = Math.min(STEP_SIZE - from, bytes.length - done);
      (this.#bytes ??= await this.#begin()).set(bytes.subarray(done, done + count), from);
      done += count;
    }
  }

  /** Writes all that is left; the file has its size then, and is yet to be synced. */
  async end(): Promise<void> {
    await this.#goTo(Math.ceil(this.#size / STEP_SIZE));
    await Promise.all(this.#writing);
    await this.#file.truncate(this.#size);
  }

  /** Resolves when nothing is being read or written any more, whatever became of it. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#writing);
    await this.#base?.file.close();
  }

  /** Ends all steps before `step`. */
  async #goTo(step: number): Promise<void> {
    invariant(step >= this.#step, "an image is written from its start to its end");
    for (; this.#step < step; this.#step++) {
      if (this.#baseHasData()) this.#bytes ??= await this.#begin();
      if (this.#bytes === undefined) continue;
      const writing = this.#write(this.#step * STEP_SIZE, this.#bytes);
      writing.catch(() => {}); // whoever comes to it hears of it
      this.#writing.push(writing);
      this.#bytes = undefined;
      if (this.#writing.length > WRITES_MAX) await this.#writing.shift();
    }
  }

  #baseHasData(): boolean {
    const start = this.#step * STEP_SIZE;
    const ranges = this.#base?.ranges ?? [];
    while ((ranges[this.#range]?.end ?? Infinity) <= start) this.#range++;
    return (ranges[this.#range]?.start ?? Infinity) < start + STEP_SIZE;
  }

  /** The bytes that the present step begins as. */
  async #begin(): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = this.#free.pop() ?? directBytes(STEP_SIZE);
    const size = Math.min(STEP_SIZE, this.#size - this.#step * STEP_SIZE);
    const isRead = this.#baseHasData();
    bytes.fill(0, isRead ? size : 0);
    if (isRead) await this.#readBase(bytes, size);
    return bytes;
  }

  async #readBase(bytes: Uint8Array<ArrayBuffer>, size: number): Promise<void> {
    const { file, path } = this.#base as Base;
    const offset = this.#step * STEP_SIZE;
    let done = Math.min(size, await readAt(file.fd, bytes, offset));
    if (done < size) setDirect(file.fd, false); // it cannot be done, or not so: the plain way does it or says why not
    while (done < size) {
      const { bytesRead } = await file.read(bytes, done, size - done, offset + done);
      if (bytesRead === 0) throw new CheckpointError(`${path} became shorter while it was copied`);
      done += bytesRead;
    }
  }

  async #write(offset: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const size = Math.min(STEP_SIZE, this.#size - offset);
    for (const run of runsToWrite(offset, bytes.subarray(0, size))) {
      this.writtenSize += run.bytes.length;
      const from = run.offset - offset;
      // the last run may end anywhere; the buffer goes on with zeros, and the file gets its size at the end
      const to = from + Math.ceil(run.bytes.length / DIRECT_ALIGNMENT) * DIRECT_ALIGNMENT;
      await writeAll(this.#file, run.offset, bytes.subarray(from, to));
    }
    this.#free.push(bytes);
  }
}

/** Writes all of `bytes` on another thread, as long as that can be done; then plainly. */
export async function writeAll(file: FileHandle, offset: number, bytes: Uint8Array): Promise<void> {
  let done = await writeAt(file.fd, bytes, offset);
  if (done < bytes.length) setDirect(file.fd, false);
  while (done < bytes.length) {
    done += (await file.write(bytes, done, bytes.length - done, offset + done)).bytesWritten;
  }
}
