/**
 * Regions that nobody serves any more: what servers that were killed, or stopped with --keep, have left in this kernel.
 *
 *   - A region is recognised by its footer, and abandoned while nobody holds its server's token. Anything else under a key
 *     is left alone.
 *   - A footer is somebody's word. The sets it names go with it only when they have the sizes of a region's, and the user
 *     who made them is the one who made the segment: nobody has root remove what is another's.
 *   - An *orphan* is stricter: its logger's token is free, too, and it goes only while nobody at all is attached. To look
 *     for orphans attaches what could be one, for reading and for a moment; who takes its token keeps servers off.
 */
import { SystemError } from "../base/errors.ts";
import { removeSet, setStatus } from "../sys/semaphores.ts";
import {
  findSegment,
  IPC_PRIVATE,
  removeSegment,
  segmentStatus,
  SharedMemory,
  SHM_DEST,
} from "../sys/shared_memory.ts";
import { hostSegments } from "../sys/sysvipc.ts";
import type { HostSegment } from "../sys/sysvipc.ts";
import { FooterWord, PAGE_SIZE, recognise } from "./layout.ts";
import { giveToken, isTokenHeld, LOGGER_TOKEN, SERVER_TOKEN, takeToken, TOKEN_COUNT } from "./liveness.ts";
import { Region } from "./region.ts";

/** A region without a server and without a logger. */
export interface Orphan {
  /** The segment's id. */
  readonly id: number;
  /** The segment's key. */
  readonly key: number;
  /** Bytes of user data. */
  readonly size: number;
  /** What tells this memory from any other. */
  readonly cookie: string;
  /** The process that served it last. */
  readonly serverPid: number;
  /** How many programs are attached. */
  readonly nattch: number;
}

/** A block's worth of data, the footer, and an array of words per block three times. */
const SEGMENT_SIZE_MIN = 5 * PAGE_SIZE;

/**
 * Removes the region under `key` if it is one of ours and nobody serves it: what a server that was killed has left.
 *
 * @returns whether there was one to remove. Anything else under the key is left alone.
 */
export function removeAbandoned(key: number): boolean {
  const id = key === IPC_PRIVATE ? undefined : findSegment(key);
  using memory = id === undefined ? undefined : SharedMemory.attachIfThere(id);
  const region = memory && regionIn(memory);
  if (!region || takeToken(region.word(FooterWord.livenessId), SERVER_TOKEN) === "held") return false;
  return removeWithSets(region);
}

/**
 * The orphans among the segments of this host that `isWanted`; those that may not be read are left out.
 *
 * @throws SystemError ENOSYS where the kernel does not list its segments.
 */
export function findOrphans(isWanted: (segment: HostSegment) => boolean): Orphan[] {
  return hostSegments().filter((segment) => couldBeRegion(segment) && isWanted(segment)).flatMap((segment) => {
    using memory = attachIfAllowed(segment.id);
    const region = memory && regionIn(memory);
    if (!region || isInHands(region)) return [];
    const { id, key, nattch } = segment;
    const { layout: { size }, cookie } = region;
    return [{ id, key, size, cookie, serverPid: region.word(FooterWord.serverPid), nattch }];
  });
}

/**
 * Removes an orphan with its guards.
 *
 * @returns false when it is gone, in somebody's hands by now, or attached by a program that lives; nothing was changed then.
 * @throws SystemError EPERM: it is another user's.
 */
export function removeOrphan({ id, cookie }: Orphan): boolean {
  using memory = SharedMemory.attachIfThere(id);
  const region = memory && regionIn(memory);
  if (!region || region.cookie !== cookie) return false;
  requireControl(id);
  const liveness = region.word(FooterWord.livenessId);
  if (takeToken(liveness, SERVER_TOKEN) === "held") return false;
  const isFree = takeToken(liveness, LOGGER_TOKEN) !== "held";
  if (isFree && segmentStatus(id).attachCount === 1) return removeWithSets(region);
  if (isFree) giveToken(liveness, LOGGER_TOKEN);
  giveToken(liveness, SERVER_TOKEN);
  return false;
}

/** Before anything is written: a region whose segment stays must not say that it is gone. */
function requireControl(id: number): void {
  const { uid, cuid } = segmentStatus(id);
  if ([0, uid, cuid].includes(Deno.uid() ?? 0)) return;
  throw new SystemError("shmctl", "EPERM", `cannot remove shared memory id ${id}: EPERM; it belongs to user ${uid}`);
}

function couldBeRegion({ size, mode }: HostSegment): boolean {
  return size >= SEGMENT_SIZE_MIN && size % PAGE_SIZE === 0 && (mode & SHM_DEST) === 0;
}

function attachIfAllowed(id: number): SharedMemory | undefined {
  try {
    return SharedMemory.attachIfThere(id, "r");
  } catch (error) {
    if (error instanceof SystemError && error.code === "EACCES") return undefined;
    throw error;
  }
}

function regionIn(memory: SharedMemory): Region | undefined {
  const found = recognise(memory.bytes);
  return "layout" in found ? new Region(memory, found.layout, -1) : undefined;
}

function isInHands(region: Region): boolean {
  const liveness = region.word(FooterWord.livenessId);
  return isTokenHeld(liveness, SERVER_TOKEN) || isTokenHeld(liveness, LOGGER_TOKEN);
}

/** The caller holds the server's token, or there is none. The segment goes last, the token before it. */
function removeWithSets(region: Region): boolean {
  const { id } = region.memory;
  const { cuid } = segmentStatus(id);
  const removeOwn = (setId: number, count: number): void => {
    const set = setStatus(setId);
    if (set?.count === count && set.cuid === cuid) removeSet(setId);
  };
  removeOwn(region.word(FooterWord.guardSetId), region.layout.guardCount);
  region.setState("gone");
  removeOwn(region.word(FooterWord.livenessId), TOKEN_COUNT);
  return removeSegment(id);
}
