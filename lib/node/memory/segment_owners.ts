/**
 * Who may touch which bytes of this server's region by their offsets.
 *
 *   - The config server tells whose they are (`owners`): all when it meets this server, then what is new or changed, before
 *     a new segment is zeroed. So nobody without rights writes into one between its zeroing and its first use.
 *   - uid 0 and the user this server runs as may do everything, and are not looked up: they could have the memory from the
 *     kernel anyway.
 *   - A region that was taken over, or restored from a checkpoint, holds bytes of segments that nobody has told this server
 *     of. Until the config server has, others' requests wait; after it, what belonged to a segment before and belongs to
 *     none now is nobody's.
 *   - A standalone server's region is all its segments', which are reached in the simple dialect: by offset it is nobody's.
 *   - More than OWNED_RANGES_MAX ranges, of which most must be what removed segments have left, are forgotten, and told
 *     again without those.
 */
import { nowMs } from "../../base/clock.ts";
import { PERMISSION_BITS } from "../../ipc/common/flags.ts";
import { READ, WRITE } from "../../ipc/common/permissions.ts";
import type { Principal } from "../../ipc/common/permissions.ts";
import { NOBODYS, RangeOwners } from "../../ipc/segments/range_owners.ts";
import type { OwnedRange } from "../../ipc/segments/range_owners.ts";
import { FooterWord } from "../../memory/layout.ts";
import { growOwnedExtent, ownedExtent } from "../../memory/owned_extent.ts";
import type { Region } from "../../memory/region.ts";
import type { Fields } from "../../wire/messages.ts";
import { fromOwnerRow } from "../common/owner_rows.ts";
import { NOBODY_UID } from "../common/peer_uid.ts";
import { groupsOf } from "../common/user_groups.ts";
import type { Conversation } from "./conversation.ts";
import { Operation } from "./memory_requests.ts";

/** Four times as many ranges as there can be segments. */
export const OWNED_RANGES_MAX = 131_072;
/** How long a server that has to be told is waited for; less than a client waits by default, so that it hears why. */
export const TOLD_MS_MAX = 8_000;

/** Why a request has to wait, or is refused when it has waited long enough. */
export const NOT_TOLD: Fields<"error"> = {
  code: "EAGAIN",
  message:
    "the config server has not told this server yet whose segments are whose; see whether it runs (dsm status), and try again",
};

/** The rights each operation takes. */
const WANTED: Readonly<Record<Operation, number>> = {
  [Operation.read]: READ,
  [Operation.write]: WRITE,
  [Operation.fill]: WRITE,
  [Operation.fetchAdd]: READ | WRITE,
  [Operation.compareExchange]: READ | WRITE,
  [Operation.wait]: READ,
  [Operation.classicRead]: READ,
  [Operation.classicWrite]: WRITE,
};

/** See the head of this file. */
export class SegmentOwners {
  readonly #region: Region;
  readonly #owners = new RangeOwners();
  /** Since when it has to be told; undefined while it knows. */
  #untoldSinceMs: number | undefined;

  /** @param region of which nobody has told this process anything yet. @param isStandalone nobody ever will. */
  constructor(region: Region, isStandalone: boolean) {
    this.#region = region;
    if (isStandalone) growOwnedExtent(region, { base: 0, size: region.layout.size });
    this.#forget();
    if (isStandalone) this.#untoldSinceMs = undefined;
  }

  /** What ever belonged to a segment is nobody's, until it is told anew whose. */
  #forget(): void {
    const extent = ownedExtent(this.#region);
    this.#owners.clear();
    if (extent) this.#owners.put({ ...extent, ...NOBODYS });
    this.#untoldSinceMs = extent && nowMs();
  }

  /** Whether requests that need to know are to wait. */
  get isAwaited(): boolean {
    return this.#untoldSinceMs !== undefined && nowMs() - this.#untoldSinceMs < TOLD_MS_MAX;
  }

  /** Takes note of what the config server tells; it may tell nothing. @returns why it does not. */
  tell({ startCount, isLast, rows }: Fields<"owners">): Fields<"error"> | undefined {
    if (rows.length === 0 && !isLast) return undefined;
    if (startCount !== this.#region.word(FooterWord.startCount)) {
      return { code: "ESTALE", message: "this server has been started again since; tell it all" };
    }
    const ranges = rows.map(fromOwnerRow);
    if (!ranges.every((range) => range !== undefined && this.#region.contains(range.base, range.size))) {
      return { code: "EINVAL", message: "a row of owners that is no range of this region" };
    }
    for (const range of ranges as OwnedRange[]) {
      growOwnedExtent(this.#region, range);
      if (range.size > 0) this.#owners.put(range);
    }
    if (this.#owners.count > OWNED_RANGES_MAX) {
      this.#forget();
      return {
        code: "ESTALE",
        message: `more than ${OWNED_RANGES_MAX} ranges: this server has forgotten them; tell it all`,
      };
    }
    if (isLast) this.#untoldSinceMs = undefined;
    return undefined;
  }

  /** Why a conversation may not do that to `size` bytes from `offset`; undefined when it may. */
  refusalOf(talk: Conversation, operation: Operation, offset: number, size: number): Fields<"error"> | undefined {
    if (talk.isPrivileged) return undefined;
    const range = this.#owners.forbidding(principalOf(talk), offset, size, WANTED[operation]);
    if (!range) return undefined;
    return this.#untoldSinceMs === undefined ? forbidden(talk, range, offset, size) : NOT_TOLD;
  }
}

function principalOf(talk: Conversation): Principal {
  if (!talk.who) {
    const uid = talk.uid < 0 ? NOBODY_UID : talk.uid;
    talk.who = { uid, ...groupsOf(uid), pid: 0 };
  }
  return talk.who;
}

function forbidden({ uid }: Conversation, range: OwnedRange, offset: number, size: number): Fields<"error"> {
  const last = range.base + range.size - 1;
  const where = `${size} bytes at ${offset}, asked for by uid ${uid}: ${range.base} to ${last} of this region`;
  if (range.mode === 0 && range.uid === 0 && range.cuid === 0) {
    return {
      code: "EACCES",
      message: `${where} are for uid 0: they belonged to a segment that is gone, or are just being zeroed`,
    };
  }
  const mode = (range.mode & PERMISSION_BITS).toString(8).padStart(4, "0");
  return {
    code: "EACCES",
    message: `${where} belong to a segment of uid ${range.uid} and gid ${range.gid} with mode ${mode} (dsm ipcs -m); ` +
      "its owner may change that",
  };
}
