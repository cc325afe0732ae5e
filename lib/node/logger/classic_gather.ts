/**
 * The whole memory of a server, raw, as the first ancestor's global logger asks for it.
 *
 *   - A block of up to PIECE_SIZE bytes is sent as it was at one moment, under its guard; the whole is of no moment.
 *   - The next piece is copied when the peer has taken the one before: memory for one piece, however slow the peer.
 */
import type { GuardPlan } from "../../memory/guards.ts";
import type { Region } from "../../memory/region.ts";
import type { Link } from "../../net/transport.ts";
import { makeRoom } from "../common/native_reply.ts";

/** Bytes copied under one take of guards. */
const PIECE_SIZE = 512 * 1024;
/** How long one wait for guards lasts before it is looked at whether it is still wanted. */
const SLICE_MS = 500;

/** One answer on its way. */
export class ClassicGather {
  readonly #region: Region;
  readonly #plan: GuardPlan;
  #sentSize = 0;
  #isOver = false;

  /** @param region stays attached until `end`. */
  constructor(region: Region) {
    this.#region = region;
    this.#plan = region.guards.plan();
  }

  /**
   * Sends on as far as the peer takes it. When a guard is held by somebody it pauses the link, waits, and resumes it.
   *
   * @returns true once everything is sent; "lost" when the guards are gone.
   */
  sendOn(link: Link): boolean | "lost" {
    const { size } = this.#region.layout;
    while (this.#sentSize < size && !link.isBlocked) {
      this.#planPiece();
      const taken = this.#region.guards.tryTake(this.#plan);
      if (taken === "gone") return "lost";
      if (taken === "again") {
        link.pause();
        this.#sendWhenFree(link);
        return false;
      }
      this.#sendHeld(link);
    }
    return this.#sentSize === size;
  }

  /** The bytes of the next piece: whole blocks, or a part of one that is larger than a piece. */
  get #pieceSize(): number {
    const { size, blockSize } = this.#region.layout;
    const most = blockSize > PIECE_SIZE ? PIECE_SIZE : PIECE_SIZE - PIECE_SIZE % blockSize;
    return Math.min(most, size - this.#sentSize);
  }

  #planPiece(): void {
    this.#plan.clear();
    this.#region.planRange(this.#plan, this.#sentSize, this.#pieceSize);
  }

  #sendHeld(link: Link): void {
    const size = this.#pieceSize;
    makeRoom(link, size);
    this.#region.readHeld(this.#sentSize, size, link.output.bytes, link.output.size, link.output.view);
    this.#region.guards.give(this.#plan);
    link.output.size += size;
    this.#sentSize += size;
    link.flush();
  }

  async #sendWhenFree(link: Link): Promise<void> {
    const { guards } = this.#region;
    while (!await guards.takeInBackground(this.#plan, SLICE_MS)) if (this.#isOver) return;
    if (this.#isOver) guards.give(this.#plan);
    else {
      this.#sendHeld(link);
      link.resume();
    }
  }

  /** Ends it: the region is not touched any more. */
  end(): void {
    this.#isOver = true;
  }
}
