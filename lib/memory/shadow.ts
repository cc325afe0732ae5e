/**
 * The shadow of a region: where the bytes of blocks written after a cut wait, as they were at it, for the logger.
 *
 *   - A segment of its own, as large as the user data, of which only the pages that are saved get memory; made anew for
 *     every epoch, so that nothing of one is taken for another's.
 *   - It is marked for removal as soon as it is made: Linux lets others attach it by its id as long as somebody has it, and
 *     when the last of them is gone, killed or not, so is it.
 */
import {
  createSegment,
  IPC_PRIVATE,
  removeSegment,
  segmentStatus,
  SharedMemory,
  shareLike,
} from "../sys/shared_memory.ts";
import { SystemError } from "../base/errors.ts";
import { invariant } from "../base/assert.ts";

/** The shadow of one region and epoch, mapped into this process. */
export class Shadow {
  /** The segment's id. */
  readonly id: number;
  /** The saved bytes, each where it is in the region. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #memory: SharedMemory;

  private constructor(memory: SharedMemory) {
    this.id = memory.id;
    this.bytes = memory.bytes;
    this.#memory = memory;
  }

  /**
   * Makes one for `size` bytes of the region in segment `regionId`, for everybody who may write there.
   *
   * @throws SystemError: ENOSPC, ENOMEM, EPERM.
   */
  static create(regionId: number, size: number): Shadow {
    const region = segmentStatus(regionId);
    const id = createSegment(IPC_PRIVATE, size, region.mode & 0o777);
    invariant(id !== undefined, "a private segment is always a new one");
    try {
      const shadow = new Shadow(SharedMemory.attach(id));
      if (segmentStatus(id).uid !== region.uid) shareLike(id, region);
      return shadow;
    } finally {
      removeSegment(id);
    }
  }

  /** Attaches the one with that id. @returns undefined when it is gone, or not for this process. */
  static attach(id: number, size: number): Shadow | undefined {
    try {
      const memory = SharedMemory.attach(id);
      if (memory.bytes.length === size) return new Shadow(memory);
      memory.detach();
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
    }
    return undefined;
  }

  /** Gives its memory back although others may still have it attached: nobody saves to it any more. */
  discard(): void {
    this.#memory.discard();
  }

  /** Unmaps it; its bytes may not be touched afterwards. */
  detach(): void {
    this.#memory.detach();
  }
}
