/**
 * Reading a checkpoint as what it is a picture of: the whole space, by addresses.
 *
 * It is taken as it lies there; who must know that it is sound verifies it first.
 */
import { ZEROS } from "./zeros.ts";
import { ImageReader } from "./image_reader.ts";
import { spaceSize } from "./manifest.ts";
import type { Checkpoint } from "./store.ts";

/** Bytes of the space. */
export interface SpacePart {
  /** Address of the first one. */
  readonly address: number;
  /** At most a MiB of them; overwritten by the next part. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** A checkpoint whose images are open: `await using space = await SpaceReader.open(checkpoint)`. */
export class SpaceReader implements AsyncDisposable {
  /** Bytes of the space. */
  readonly size: number;
  readonly #images: readonly ImageReader[];

  private constructor(size: number, images: readonly ImageReader[]) {
    this.size = size;
    this.#images = images;
  }

  /** Opens all images. @throws SystemError: ENOENT, EACCES, EMFILE and others. */
  static async open({ path, manifest }: Checkpoint): Promise<SpaceReader> {
    await using opened = new AsyncDisposableStack();
    const images: ImageReader[] = [];
    for (const record of manifest.servers) images.push(opened.use(await ImageReader.open(path, record)));
    opened.move();
    return new SpaceReader(spaceSize(manifest), images);
  }

  /**
   * All bytes that may be other than zero, in ascending order.
   *
   * @throws CheckpointError when a file is shorter than it was; SystemError EIO.
   */
  async *extents(): AsyncGenerator<SpacePart> {
    for (const image of this.#images) {
      for await (const { offset, bytes } of image.extents()) yield { address: image.record.base + offset, bytes };
    }
  }

  /** Every byte, in ascending order. @throws as {@linkcode SpaceReader.extents}. */
  async *parts(): AsyncGenerator<SpacePart> {
    let next = 0;
    for await (const { address, bytes } of this.extents()) {
      yield* zeros(next, address);
      yield { address, bytes };
      next = address + bytes.length;
    }
    yield* zeros(next, this.size);
  }

  /** How many bytes there are up to the last one that is not zero. @throws as {@linkcode SpaceReader.extents}. */
  async usedSize(): Promise<number> {
    for (const image of this.#images.toReversed()) {
      const used = await image.usedSize();
      if (used > 0) return image.record.base + used;
    }
    return 0;
  }

  /**
   * Fills `into` with the bytes from `address` on; beyond the space there are zeros.
   *
   * @throws as {@linkcode SpaceReader.extents}.
   */
  async read(address: number, into: Uint8Array<ArrayBuffer>): Promise<void> {
    const end = address + into.length;
    into.fill(0, Math.min(into.length, Math.max(0, this.size - address)));
    for (const image of this.#images) {
      const { base, size } = image.record;
      const [first, last] = [Math.max(address, base), Math.min(end, base + size)];
      if (first < last) await image.read(first - base, into.subarray(first - address, last - address));
    }
  }

  /** Closes all images. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#images.map((image) => image[Symbol.asyncDispose]()));
  }
}

function* zeros(start: number, end: number): Generator<SpacePart> {
  for (let address = start; address < end; address += ZEROS.length) {
    yield { address, bytes: ZEROS.subarray(0, Math.min(ZEROS.length, end - address)) };
  }
}
