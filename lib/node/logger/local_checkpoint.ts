/**
 * One server's part in a checkpoint, as its local logger carries it out for the master that prepared it.
 *
 *   - The master's steps come in one order; one that comes out of turn is refused and changes nothing.
 *   - It ends with `end`, whoever calls it and however far it is; the picture is void unless it was copied to its end.
 *   - Once `end` has resolved nothing of it touches the region any more.
 */
import { SystemError } from "../../base/errors.ts";
import { ChangeScanner } from "../../checkpoint/change_scanner.ts";
import type { Changes, ScanLimits } from "../../checkpoint/change_scanner.ts";
import type { Hasher } from "../../checkpoint/checksum.ts";
import { Picture } from "../../memory/picture.ts";
import type { Region } from "../../memory/region.ts";
import { GATHER_SIZE_MAX } from "../../wire/messages.ts";
import type { KnownPicture, KnownPictures } from "./known_pictures.ts";

/** How much one `gather` does, so that other requests get their turn in between. */
const SCAN_LIMITS: ScanLimits = { sizeMax: GATHER_SIZE_MAX, timeMsMax: 10 };

/** How far it is: the footer armed, moved, every server moved, all bytes given. */
type Phase = "prepared" | "cut" | "released" | "gathered";

/** What the master asks for after `prepare`. */
export type Step = "cut" | "release" | "gather" | "confirm";

/** Where each step leads; "" where it is out of turn. */
const NEXT: Record<Phase, Record<Step, Phase | "">> = {
  prepared: { cut: "cut", release: "", gather: "", confirm: "" },
  cut: { cut: "cut", release: "released", gather: "", confirm: "" },
  released: { cut: "", release: "released", gather: "released", confirm: "" },
  gathered: { cut: "", release: "", gather: "gathered", confirm: "gathered" },
};

/** The changes since a picture that was known, or since all was zero. */
export interface GatheredChanges extends Changes {
  /** The epoch of that picture; 0: all was zero. */
  readonly since: number;
}

/** See the head of this file. */
export class LocalCheckpoint {
  /** The epoch it is of. */
  readonly epoch: number;
  readonly #region: Region;
  readonly #picture: Picture;
  readonly #known: KnownPictures;
  readonly #hasher: Hasher;
  readonly #ending = new AbortController();
  #phase: Phase = "prepared";
  #scanner: ChangeScanner | undefined;
  #before: KnownPicture | undefined;
  #scanning: Promise<unknown> = Promise.resolve();

  /** Arms the region for the cut of `epoch`. @throws SystemError: ESTALE, ENOSPC, ENOMEM, EPERM. */
  constructor(region: Region, epoch: number, known: KnownPictures, hasher: Hasher) {
    this.epoch = epoch;
    this.#region = region;
    this.#known = known;
    this.#hasher = hasher;
    this.#picture = Picture.prepare(region, epoch);
  }

  /** Why its picture is void; empty while it stands. */
  whyVoid(): string {
    return this.#picture.whyVoid();
  }

  #enter(step: Step, epoch: number): void {
    const next = NEXT[this.#phase][step];
    if (epoch !== this.epoch || next === "") {
      throw new SystemError(
        step,
        "EINVAL",
        `${step} of epoch ${epoch} is out of turn: checkpoint ${this.epoch} is ${this.#phase} here`,
      );
    }
    this.#phase = next;
  }

  #requireStanding(step: Step): void {
    const why = this.whyVoid();
    if (why !== "") throw new SystemError(step, "ECANCELED", `checkpoint ${this.epoch} is void here: ${why}`);
  }

  /** Moves the footer to the epoch, if nobody has yet. @throws SystemError EINVAL when it is out of turn. */
  cut(epoch: number): void {
    this.#enter("cut", epoch);
    this.#picture.cut();
  }

  /** Lets those go on who carry no epoch: every server has made the cut. @throws SystemError EINVAL. */
  release(epoch: number): void {
    this.#enter("release", epoch);
    this.#picture.release();
  }

  /**
   * Copies and compares the next part of the picture.
   *
   * @param since the epoch to compare with; only the first call's counts. The bytes returned last until the next call.
   * @throws SystemError: EINVAL (out of turn), ECANCELED (void, or ended meanwhile), EIDRM.
   */
  async gather(epoch: number, since: number): Promise<GatheredChanges> {
    this.#enter("gather", epoch);
    this.#requireStanding("gather");
    const before = this.#before ??= this.#known.find(this.#region.incarnationHeld, since);
    const scanner = this.#scanner ??= new ChangeScanner(this.#picture, before.table, this.#hasher);
    const scan = scanner.scan(SCAN_LIMITS, this.#ending.signal);
    this.#scanning = scan.catch(() => {});
    const changes = await scan;
    if (scanner.isComplete && this.#phase === "released") {
      this.#phase = "gathered";
      const { incarnation } = before;
      this.#known.remember({ incarnation, epoch, table: scanner.table }, before);
    }
    return { ...changes, since: before.epoch };
  }

  /** Sees that the picture is whole and stands. @throws SystemError: EINVAL (out of turn), ECANCELED (void). */
  confirm(epoch: number): void {
    this.#enter("confirm", epoch);
    this.#requireStanding("confirm");
  }

  /** Ends it; resolves when nothing of it touches the region any more. The second time does nothing. */
  async end(): Promise<void> {
    this.#ending.abort(new SystemError("gather", "ECANCELED", `checkpoint ${this.epoch} was abandoned here`));
    await this.#scanning;
    this.#picture.end();
  }
}
