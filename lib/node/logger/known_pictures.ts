/**
 * The pictures of its region that a local logger can compare with: one checksum per grain of each.
 *
 * Two are enough, whatever becomes of a checkpoint: the newest that was gathered to its end, and the one it was compared
 * with. If the newest turns out complete, the next is compared with it; if not, with the other, which was complete.
 */
import type { Hasher } from "../../checkpoint/checksum.ts";
import { GrainTable } from "../../checkpoint/grain_table.ts";

/** A picture, named by the life of the cluster and the epoch it belongs to. */
export interface KnownPicture {
  /** The life of the cluster. */
  readonly incarnation: number;
  /** The epoch; 0 stands for the region before anybody wrote to it. */
  readonly epoch: number;
  /** What it was like. */
  readonly table: GrainTable;
}

/** See the head of this file. */
export class KnownPictures {
  readonly #size: number;
  readonly #hasher: Hasher;
  #known: readonly KnownPicture[] = [];

  /** @param size bytes of the region. */
  constructor(size: number, hasher: Hasher) {
    this.#size = size;
    this.#hasher = hasher;
  }

  /** The picture of that epoch, or that of a region that is all zero, with epoch 0, when it is not known. */
  find(incarnation: number, epoch: number): KnownPicture {
    const found = this.#known.find((each) => each.incarnation === incarnation && each.epoch === epoch);
    return found ?? { incarnation, epoch: 0, table: new GrainTable(this.#size, this.#hasher) };
  }

  /** Remembers a picture that was gathered to its end, and the one it was compared with. */
  remember(newest: KnownPicture, before: KnownPicture): void {
    this.#known = [newest, before];
  }
}
