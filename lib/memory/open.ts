/**
 * How a server comes to its region, and leaves it.
 *
 *   - Fresh: there is no segment under the key. It is made, and its footer's magic is written last of all.
 *   - Taken over: there is one with a valid footer, of the size asked for, whose server is dead. The bytes stay as they
 *     are, and no semaphore is reset: SEM_UNDO has already given back what the dead process held, and a holder that
 *     lives still holds.
 *   - Refused: anything else. A segment that is not ours is never written to.
 *
 * Who serves a region holds its *liveness token* (liveness.ts): of two servers started at once one gets it.
 */
import { SystemError } from "../base/errors.ts";
import { Deadline, pause } from "../base/clock.ts";
import { formatSize } from "../base/units.ts";
import { availableMemory, isAlive, ownPid, semaphoreOperationsMax, sharedMemoryMax } from "../sys/host.ts";
import { createSet, findSet, removeSet, semaphoreState, setSize } from "../sys/semaphores.ts";
import {
  createSegment,
  findSegment,
  IPC_PRIVATE,
  removeSegment,
  segmentStatus,
  SharedMemory,
  SHM_DEST,
} from "../sys/shared_memory.ts";
import {
  FOOTER_MAGIC,
  FooterWord,
  LAYOUT_VERSION,
  LOCATOR_SIZE,
  recognise,
  regionLayout,
  RegionState,
} from "./layout.ts";
import type { RegionLayout } from "./layout.ts";
import { giveToken, isTokenHeld, LOGGER_TOKEN, SERVER_TOKEN, takeToken, TOKEN_COUNT } from "./liveness.ts";
import { Region } from "./region.ts";

/** What a server asks for. */
export interface RegionRequest {
  /** Key of the segment; 0 for a private one. */
  readonly shmkey: number;
  /** Key of the guard set; 0 for a private one. */
  readonly semkey: number;
  /** Bytes of user data. */
  readonly size: number;
  /** Bytes per block. */
  readonly blockSize: number;
  /** What fresh bytes are. */
  readonly fill: number;
  /** Permission bits of segment and set. */
  readonly mode: number;
}

/** How a server came to its region. */
export type StartKind = "fresh" | "taken-over";

/** A region and how it was come by. */
export interface OpenedRegion {
  /** The region, with the liveness token held by this process. */
  readonly region: Region;
  /** How. */
  readonly start: StartKind;
}

/** How long another server may take between making a segment and writing its footer. */
const CREATION_MS_MAX = 2_000;
/** How long a stopping server waits for all guards. */
const CLOSING_MS_MAX = 5_000;

function requireRoom(layout: RegionLayout): void {
  const available = availableMemory();
  if (available !== undefined && layout.totalSize > available) {
    throw new SystemError(
      "shmget",
      "ENOMEM",
      `cannot offer ${formatSize(layout.size)}: this host has ${formatSize(available)} of memory available ` +
        `(MemAvailable in /proc/meminfo); choose a smaller --size`,
    );
  }
  const limit = sharedMemoryMax();
  if (limit !== undefined && layout.totalSize > limit) {
    throw new SystemError(
      "shmget",
      "ENOSPC",
      `cannot offer ${formatSize(layout.size)}: this host allows ${formatSize(limit)} of System V shared memory ` +
        `altogether; raise kernel.shmall or choose a smaller --size`,
    );
  }
  if (layout.guardCount > semaphoreOperationsMax()) {
    throw new SystemError(
      "semop",
      "E2BIG",
      `this host lets one semop do ${semaphoreOperationsMax()} operations, a region needs ${layout.guardCount}; ` +
        `raise the third number of kernel.sem`,
    );
  }
}

function initialise(memory: SharedMemory, layout: RegionLayout, request: RegionRequest): Region {
  if (request.fill !== 0) memory.bytes.fill(request.fill, 0, layout.size);
  const guardSet = createSet(request.semkey, layout.guardCount, request.mode);
  if (guardSet === undefined) {
    throw new SystemError(
      "semget",
      "EEXIST",
      `semaphore key ${request.semkey} is taken by a set that belongs to no region of ours; choose another key, or, ` +
        `if nobody uses it, remove it: ipcrm -S ${request.semkey}`,
    );
  }
  let liveness: number | undefined;
  try {
    liveness = createSet(IPC_PRIVATE, TOKEN_COUNT, request.mode);
    if (liveness === undefined || takeToken(liveness, SERVER_TOKEN) !== "taken") {
      throw new SystemError("semget", "EIDRM", "the new liveness set is gone; somebody removed it: try again");
    }
    const view = new DataView(memory.bytes.buffer);
    const at = (word: number): number => layout.footerOffset + word * 4;
    view.setUint32(at(FooterWord.layoutVersion), LAYOUT_VERSION, true);
    view.setUint32(at(FooterWord.state), RegionState.serving, true);
    view.setBigUint64(at(FooterWord.size), BigInt(layout.size), true);
    view.setUint32(at(FooterWord.blockSize), layout.blockSize, true);
    view.setUint32(at(FooterWord.guardCount), layout.guardCount, true);
    crypto.getRandomValues(memory.bytes.subarray(at(FooterWord.cookie), at(FooterWord.cookie) + 16));
    view.setUint32(at(FooterWord.startCount), 1, true);
    view.setUint32(at(FooterWord.epoch), 1, true);
    view.setUint32(at(FooterWord.released), 1, true);
    view.setUint32(at(FooterWord.livenessId), liveness, true);
    view.setUint32(at(FooterWord.serverPid), ownPid(), true);
    view.setUint32(at(FooterWord.guardSetId), guardSet, true);
    view.setBigUint64(layout.totalSize - LOCATOR_SIZE, BigInt(layout.footerOffset), true);
    view.setBigUint64(layout.footerOffset, FOOTER_MAGIC, true);
    view.setBigUint64(layout.totalSize - 8, FOOTER_MAGIC, true);
    return new Region(memory, layout, guardSet);
  } catch (error) {
    removeSet(guardSet);
    if (liveness !== undefined) removeSet(liveness);
    throw error;
  }
}

async function recogniseOnceMade(memory: SharedMemory, key: number): Promise<RegionLayout> {
  const deadline = new Deadline(CREATION_MS_MAX);
  for (;;) {
    const found = recognise(memory.bytes);
    if ("layout" in found) return found.layout;
    const creator = segmentStatus(memory.id).creatorPid;
    // a server that is at it right now writes its footer within moments
    if (deadline.passed || creator === ownPid() || !isAlive(creator)) {
      throw new SystemError(
        "shmget",
        "EEXIST",
        `shared memory key ${key} is not a dsm region: ${found.foreign}; choose another key, or, if nobody needs it, ` +
          `remove it on this host: ipcrm -M ${key}`,
      );
    }
    await pause(5);
  }
}

function requireSameShape(layout: RegionLayout, request: RegionRequest): void {
  if (layout.size === request.size && layout.blockSize === request.blockSize) return;
  const shape = (size: number, blockSize: number): string =>
    `--size ${formatSize(size)} --block-size ${formatSize(blockSize)}`;
  throw new SystemError(
    "shmget",
    "EINVAL",
    `shared memory key ${request.shmkey} holds a dsm region of another size: start with ` +
      `${
        shape(layout.size, layout.blockSize)
      } to take it over, or remove it with its bytes: ipcrm -M ${request.shmkey}`,
  );
}

/** The region's own set, while there is one: who holds a guard in it must go on holding it. Else the one under the key. */
function joinGuards(layout: RegionLayout, ownSet: number, request: RegionRequest): number {
  const hasOwn = setSize(ownSet) === layout.guardCount;
  const find = (): number | undefined => {
    if (request.semkey === IPC_PRIVATE) return hasOwn ? ownSet : undefined;
    return findSet(request.semkey);
  };
  const existing = find();
  if (existing === undefined && hasOwn) {
    throw new SystemError(
      "semget",
      "EINVAL",
      `the region with key ${request.shmkey} has its guards under another key than ${request.semkey}; give that key ` +
        `(ipcs -s shows it as semid ${ownSet})`,
    );
  }
  const id = existing ?? createSet(request.semkey, layout.guardCount, request.mode) ?? find();
  if (id !== undefined && setSize(id) === layout.guardCount && (id === ownSet || !hasOwn)) return id;
  throw new SystemError(
    "semget",
    "EEXIST",
    `semaphore key ${request.semkey} has not the ${layout.guardCount} semaphores of this region; give the region's own ` +
      `key, or, if nobody uses that set, remove it: ipcrm -S ${request.semkey}`,
  );
}

async function takeOver(memory: SharedMemory, request: RegionRequest): Promise<Region | "removed"> {
  const layout = await recogniseOnceMade(memory, request.shmkey);
  const footer = new Region(memory, layout, -1);
  const liveness = footer.word(FooterWord.livenessId);
  const token = takeToken(liveness, SERVER_TOKEN);
  if (token === "held") {
    const pid = semaphoreState(liveness, SERVER_TOKEN)?.lastPid ?? footer.word(FooterWord.serverPid);
    throw new SystemError(
      "shmget",
      "EBUSY",
      `already running (pid ${pid}): a server has the region with key ${request.shmkey}; stop it, or choose another key`,
    );
  }
  if (token === "gone") replaceLiveness(footer, liveness, request);
  if (footer.word(FooterWord.state) === RegionState.gone) {
    // its server was killed between its last two steps of stopping in order: finish them
    removeSet(footer.word(FooterWord.livenessId));
    removeSegment(memory.id);
    return "removed";
  }
  try {
    requireSameShape(layout, request);
    const ownSet = footer.word(FooterWord.guardSetId);
    const region = new Region(memory, layout, joinGuards(layout, ownSet, request));
    region.setWord(FooterWord.startCount, region.word(FooterWord.startCount) + 1);
    region.setWord(FooterWord.serverPid, ownPid());
    region.setWord(FooterWord.guardSetId, region.guards.id);
    reclaimFromLogger(region);
    region.setState("serving");
    return region;
  } catch (error) {
    giveToken(footer.word(FooterWord.livenessId), SERVER_TOKEN);
    throw error;
  }
}

function replaceLiveness(footer: Region, old: number, request: RegionRequest): void {
  const fresh = createSet(IPC_PRIVATE, TOKEN_COUNT, request.mode);
  if (fresh === undefined) return;
  takeToken(fresh, SERVER_TOKEN);
  if (footer.replaceWord(FooterWord.livenessId, old, fresh)) return;
  removeSet(fresh);
  throw new SystemError("semget", "EBUSY", `another server is taking over the region with key ${request.shmkey}`);
}

/**
 * Makes the region, or takes over the one a dead server left.
 *
 * @throws UsageError for an impossible size; SystemError: EEXIST (a segment or set that is not ours), EINVAL (a region of
 * another size), EBUSY (its server is running), EACCES, ENOMEM, ENOSPC. Nothing is left behind then.
 */
export async function openRegion(request: RegionRequest): Promise<OpenedRegion> {
  const layout = regionLayout(request.size, request.blockSize);
  requireRoom(layout);
  for (;;) {
    const fresh = createSegment(request.shmkey, layout.totalSize, request.mode);
    if (fresh !== undefined) return { region: openFresh(fresh, layout, request), start: "fresh" };
    const existing = findSegment(request.shmkey);
    if (existing === undefined) continue;
    const memory = SharedMemory.attachIfThere(existing);
    if (!memory) continue;
    let region: Region | "removed" = "removed";
    try {
      region = await takeOver(memory, request);
    } finally {
      if (region === "removed") memory.detach();
    }
    if (region !== "removed") return { region, start: "taken-over" };
  }
}

function openFresh(id: number, layout: RegionLayout, request: RegionRequest): Region {
  try {
    const memory = SharedMemory.attach(id);
    try {
      return initialise(memory, layout, request);
    } catch (error) {
      memory.detach();
      throw error;
    }
  } catch (error) {
    removeSegment(id);
    throw error;
  }
}

/** Why a region can no longer be served, or undefined while it can. */
export function whyLost(region: Region): string | undefined {
  if (!isSegmentThere(region)) return "its shared memory was removed (ipcrm -m or -M)";
  return setSize(region.guards.id) === undefined ? "its semaphore set was removed (ipcrm -s or -S)" : undefined;
}

/** Whether the region's segment is still there for others to find. */
export function isSegmentThere(region: Region): boolean {
  try {
    return (segmentStatus(region.memory.id).mode & SHM_DEST) === 0;
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    return false;
  }
}

/**
 * Ends what a logger that died was at: writers save no more blocks for it, nobody waits for its cut, and the checkpoint is
 * void. (Its token comes back however it died; its shadow goes when the last process detaches it.)
 *
 * @returns whether there was something to end.
 */
export function reclaimFromLogger(region: Region): boolean {
  const epoch = region.epochHeld;
  const copying = region.word(FooterWord.copying) >>> 0;
  if (copying === 0 && !region.isCutUnreleased) return false;
  if (isTokenHeld(region.word(FooterWord.livenessId), LOGGER_TOKEN)) return false;
  region.voidEpoch(Math.max(epoch, copying));
  return true;
}

/** Whether a region's server is alive. */
export function isServerAlive(region: Region): boolean {
  return region.isServing && isTokenHeld(region.word(FooterWord.livenessId), SERVER_TOKEN);
}

/** A region as its logger has it: attached, with the logger's liveness token. */
export interface LoggedRegion extends Disposable {
  /** The region. */
  readonly region: Region;
  /** Whether it is still the server's region, and this process still its logger. */
  readonly isCurrent: boolean;
}

/**
 * Attaches the region that a server on this host told of, as its logger.
 *
 * @throws SystemError: EBUSY (another logger has it), ESTALE (it is not the server's region any more), EACCES.
 */
export function attachForLogger(info: { shmid: number; semid: number; cookie: string }): LoggedRegion {
  const memory = SharedMemory.attach(info.shmid | 0);
  try {
    const found = recognise(memory.bytes);
    const region = "layout" in found ? new Region(memory, found.layout, info.semid | 0) : undefined;
    if (!region || region.cookie !== info.cookie || !region.isServing) {
      throw new SystemError("shmat", "ESTALE", `shared memory id ${info.shmid} is not the server's region`);
    }
    const liveness = region.word(FooterWord.livenessId);
    if (takeToken(liveness, LOGGER_TOKEN) !== "taken") {
      const pid = semaphoreState(liveness, LOGGER_TOKEN)?.lastPid ?? region.word(FooterWord.loggerPid);
      throw new SystemError("shmat", "EBUSY", `already running (pid ${pid}): this server has a logger; stop it first`);
    }
    // a logger that was killed may have left its checkpoint under way; nobody else's can be, with its token in our hands
    region.voidEpoch(Math.max(region.epochHeld, region.word(FooterWord.copying) >>> 0));
    region.setWord(FooterWord.loggerPid, ownPid());
    return {
      region,
      get isCurrent(): boolean {
        return region.isServing && region.word(FooterWord.livenessId) === liveness;
      },
      [Symbol.dispose](): void {
        giveToken(liveness, LOGGER_TOKEN);
        region.detach();
      },
    };
  } catch (error) {
    memory.detach();
    throw error;
  }
}

/** Leaves a region as it is, bytes, guards and all, for whoever opens it next. */
export function leaveRegion(region: Region): void {
  giveToken(region.word(FooterWord.livenessId), SERVER_TOKEN);
  region.detach();
}

/**
 * Stops serving in order: no attached program may begin anything (closing), those at work finish (all guards), then the
 * set, the liveness set and the segment go. Whoever still maps it sees `gone`.
 *
 * @returns false when some guard was not given back within 5 s; the region is gone all the same.
 */
export async function closeRegion(region: Region): Promise<boolean> {
  region.setState("closing");
  const all = region.guards.plan();
  all.addBlocks(0, region.layout.guardCount - 1);
  const quiet = await region.guards.takeInBackground(all, CLOSING_MS_MAX);
  removeSet(region.guards.id);
  // before the token goes: a server that starts now must not take over what is about to be removed
  region.setState("gone");
  removeSet(region.word(FooterWord.livenessId));
  removeSegment(region.memory.id);
  region.detach();
  return quiet;
}
