/**
 * A segment as the program has it attached: its bytes, by offsets within it.
 *
 * Every range is checked against the segment's size before anything is asked of a server, and writing against what it was
 * attached for. An attachment that has ended touches nothing any more; neither does one whose memory is lost: a server
 * that comes back with other memory is not asked, and every operation is refused with EIDRM from then on.
 */
import { SystemError } from "../../base/errors.ts";
import type { Attached } from "../../ipc/segments/calls.ts";
import { refusal } from "../../ipc/common/refusal.ts";
import type { RequestOptions } from "../../net/request.ts";
import type { Cluster } from "./cluster.ts";

/** What a segment is known by that has just been attached. */
export interface AttachedSegment extends Attached {
  /** The memory it lies on: cookies by `host:port` of their servers. */
  readonly memory: ReadonlyMap<string, string>;
}

/** What an attachment needs of a cluster. */
export type ByteSpace = Pick<Cluster, "read" | "write" | "fill" | "fetchAdd" | "compareExchange">;

/** See the head of this file; made by `Cluster.shmat`. */
export class SegmentAttachment implements AsyncDisposable {
  /** The segment's id. */
  readonly id: number;
  /** What the config server knows this attachment by. */
  readonly number: number;
  /** Address of the segment's first byte in the space. */
  readonly base: number;
  /** Bytes, as asked for. */
  readonly size: number;
  /** Whether they may be written. */
  readonly isWritable: boolean;
  readonly #space: ByteSpace;
  readonly #detach: (attachment: SegmentAttachment) => Promise<void>;
  /** What every request says: which memory is meant. */
  readonly #meant: Pick<RequestOptions, "memory">;
  #isAttached = true;
  /** What the first request was told that found the memory lost. */
  #lost: SystemError | undefined;

  /** Use `Cluster.shmat`. */
  constructor(
    id: number,
    { attachment, base, size, isWritable, memory }: AttachedSegment,
    space: ByteSpace,
    detach: (attachment: SegmentAttachment) => Promise<void>,
  ) {
    this.id = id;
    this.number = attachment;
    this.base = base;
    this.size = size;
    this.isWritable = isWritable;
    this.#meant = { memory };
    this.#space = space;
    this.#detach = detach;
  }

  /** Whether it still is. */
  get isAttached(): boolean {
    return this.#isAttached;
  }

  /** For the calls: it has ended. */
  lose(): void {
    this.#isAttached = false;
  }

  /**
   * Reads `size` bytes from `offset`.
   *
   * @throws SystemError EINVAL: beyond the segment, or not attached any more; EIDRM: its memory is lost; as `Cluster.read`.
   */
  async read(offset: number, size: number, options?: RequestOptions): Promise<Uint8Array<ArrayBuffer>> {
    const address = this.#address("read", offset, size);
    return await this.#onItsMemory("read", options, (meant) => this.#space.read(address, size, meant));
  }

  /** Writes `bytes` at `offset`. @throws as `read`; SystemError EACCES: attached for reading only. */
  async write(offset: number, bytes: Uint8Array, options?: RequestOptions): Promise<void> {
    const address = this.#writable("write", offset, bytes.length);
    await this.#onItsMemory("write", options, (meant) => this.#space.write(address, bytes, meant));
  }

  /** Sets `size` bytes from `offset` to `byte`. @throws as `write`. */
  async fill(offset: number, size: number, byte: number, options?: RequestOptions): Promise<void> {
    const address = this.#writable("fill", offset, size);
    await this.#onItsMemory("fill", options, (meant) => this.#space.fill(address, size, byte, meant));
  }

  /**
   * Adds to a little-endian word: 32 bits for a number, 64 for a bigint. @returns the word before, unsigned.
   *
   * @throws as `write`; as `Cluster.fetchAdd`.
   */
  fetchAdd(offset: number, operand: number, options?: RequestOptions): Promise<number>;
  /** The same with 64 bits. */
  fetchAdd(offset: number, operand: bigint, options?: RequestOptions): Promise<bigint>;
  async fetchAdd(offset: number, operand: number | bigint, options?: RequestOptions): Promise<number | bigint> {
    const address = this.#writable("fetchAdd", offset, typeof operand === "bigint" ? 8 : 4);
    return await this.#onItsMemory("fetchAdd", options, (meant) => {
      return this.#space.fetchAdd(address, operand as number, meant);
    });
  }

  /**
   * Makes a little-endian word `replacement` if it is `expected`: 32 bits for numbers, 64 for bigints. @returns the word
   * before, unsigned.
   *
   * @throws as `write`; as `Cluster.compareExchange`.
   */
  compareExchange(offset: number, expected: number, replacement: number, options?: RequestOptions): Promise<number>;
  /** The same with 64 bits. */
  compareExchange(offset: number, expected: bigint, replacement: bigint, options?: RequestOptions): Promise<bigint>;
  async compareExchange(
    offset: number,
    expected: number | bigint,
    replacement: number | bigint,
    options?: RequestOptions,
  ): Promise<number | bigint> {
    const address = this.#writable("compareExchange", offset, typeof expected === "bigint" ? 8 : 4);
    return await this.#onItsMemory("compareExchange", options, (meant) => {
      return this.#space.compareExchange(address, expected as number, replacement as number, meant);
    });
  }

  /** Makes a request of the memory the segment lies on; remembers when that is gone. */
  async #onItsMemory<Result>(
    call: string,
    options: RequestOptions | undefined,
    request: (options: RequestOptions) => Promise<Result>,
  ): Promise<Result> {
    try {
      if (this.#lost) throw this.#lost;
      return await request(options ? { ...options, ...this.#meant } : this.#meant);
    } catch (error) {
      if (!(error instanceof SystemError) || error.code !== "EIDRM") throw error;
      this.#lost = error;
      throw new SystemError(call, "EIDRM", `segment ${this.id}: ${error.message}`, error);
    }
  }

  #writable(call: string, offset: number, size: number): number {
    if (this.isWritable) return this.#address(call, offset, size);
    throw refusal(call, "EACCES", `${call} in segment ${this.id}`, "it was attached with SHM_RDONLY");
  }

  #address(call: string, offset: number, size: number): number {
    const what = `${call} ${size} bytes at ${offset} of segment ${this.id}`;
    if (!this.#isAttached) throw refusal(call, "EINVAL", what, "it is not attached any more; attach it again");
    const isInside = [offset, size].every((each) => Number.isSafeInteger(each) && each >= 0) &&
      offset + size <= this.size;
    if (isInside) return this.base + offset;
    throw refusal(call, "EINVAL", what, `it has ${this.size}`);
  }

  /** Detaches it; of one that has ended already, with its memory or otherwise, it does nothing. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isAttached) return;
    try {
      await this.#detach(this);
    } catch (error) {
      // the config server has dropped the segment, and the attachment with it
      if (!(error instanceof SystemError) || error.code !== "EINVAL") throw error;
    }
  }
}
