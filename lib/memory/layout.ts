/**
 * What lies where in a region's shared memory. Pure arithmetic; docs/ARCHITECTURE.md draws it.
 *
 *   - User data starts at offset 0 and is `size` bytes long: key-only programs rely on it.
 *   - The footer starts at the next page: one page of words, then three arrays of one 32-bit word per block.
 *   - The last 16 bytes of the segment say where the footer starts, so that a region can be recognised without knowing
 *     its size (the way a ZIP file is read from its end).
 *   - All words are little-endian, as the host has them; only words of this host are ever read.
 */
import { UsageError } from "../base/errors.ts";

/** "DSMREGN1", little-endian. */
export const FOOTER_MAGIC = 0x31_4e_47_45_52_4d_53_44n;
/** Grows when anything in this file moves. */
export const LAYOUT_VERSION = 2;
/** Footer and arrays start on such boundaries. */
export const PAGE_SIZE = 4096;
/** A region has at most this many blocks. */
export const BLOCK_COUNT_MAX = 2 ** 24;
/** SEMOPM on Linux: a single semop can take that many guards, so a region has no more. */
export const GUARD_COUNT_MAX = 500;
/** How many suspect blocks are remembered by number. */
export const SUSPECTS_MAX = 64;
/** Bytes of a region's cookie. */
export const COOKIE_SIZE = 16;
/** Bytes of the locator at the very end. */
export const LOCATOR_SIZE = 16;

/** A region's state, as the footer has it. */
export const RegionState = { serving: 1, closing: 2, gone: 3 } as const;

/** Index of each 32-bit word in the footer's first page. Words 0-1 are the magic, 4-5 the size, 8-11 the cookie. */
export const FooterWord = {
  magic: 0,
  layoutVersion: 2,
  state: 3,
  size: 4,
  blockSize: 6,
  guardCount: 7,
  cookie: 8,
  startCount: 12,
  /** One more than the first block that ever belonged to a segment, 0 while none has; see owned_extent.ts. */
  ownedFirst: 13,
  incarnation: 14,
  epoch: 15,
  livenessId: 16,
  serverPid: 17,
  suspectCount: 18,
  guardSetId: 19,
  /** The last epoch whose cut every server has made: who carries no epoch waits while it is not the epoch itself. */
  released: 20,
  /** The epoch being copied by the logger, 0 when none is: writers save the blocks of that epoch first. */
  copying: 21,
  /** Where they save them to: the segment's id. */
  shadowId: 22,
  /** An epoch that became no checkpoint: its picture here was lost. */
  voidEpoch: 23,
  loggerPid: 24,
  /** The block after the last one that ever did. */
  ownedEnd: 25,
  suspects: 32,
} as const;

/** Where everything is, in bytes from the start of the segment. */
export interface RegionLayout {
  /** Bytes of user data. */
  readonly size: number;
  /** Bytes per block. */
  readonly blockSize: number;
  /** Blocks. */
  readonly blockCount: number;
  /** Semaphores in the guard set. */
  readonly guardCount: number;
  /** Start of the footer. */
  readonly footerOffset: number;
  /** Start of the blocks' versions. */
  readonly versionsOffset: number;
  /** Start of the epochs the blocks were last saved for. */
  readonly savedOffset: number;
  /** Start of the holder words. */
  readonly holdersOffset: number;
  /** Bytes of the whole segment. */
  readonly totalSize: number;
}

const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;

/**
 * The layout of a region of `size` bytes in blocks of `blockSize`.
 *
 * @throws UsageError when the size is not a positive multiple of the block size, or makes more than 2^24 blocks.
 */
export function regionLayout(size: number, blockSize: number): RegionLayout {
  const isCount = (value: number): boolean => Number.isSafeInteger(value) && value > 0;
  if (!isCount(blockSize) || blockSize > 2 ** 30) {
    throw new UsageError(`the block size must be from 1 byte to 1GiB, not ${blockSize}`);
  }
  if (!isCount(size) || size % blockSize !== 0) {
    throw new UsageError(`the size must be a multiple of the block size (${blockSize} bytes), not ${size}`);
  }
  const blockCount = size / blockSize;
  if (blockCount > BLOCK_COUNT_MAX) {
    throw new UsageError(
      `${size} bytes in blocks of ${blockSize} are ${blockCount} blocks, more than ${BLOCK_COUNT_MAX}`,
    );
  }
  const footerOffset = roundUp(size, PAGE_SIZE);
  const arraySize = roundUp(blockCount * 4, PAGE_SIZE);
  const versionsOffset = footerOffset + PAGE_SIZE;
  const savedOffset = versionsOffset + arraySize;
  const holdersOffset = savedOffset + arraySize;
  return {
    size,
    blockSize,
    blockCount,
    guardCount: Math.min(blockCount, GUARD_COUNT_MAX),
    footerOffset,
    versionsOffset,
    savedOffset,
    holdersOffset,
    totalSize: holdersOffset + roundUp(blockCount * 4 + LOCATOR_SIZE, PAGE_SIZE),
  };
}

/** Why some bytes are not a region of ours, or the layout they have. */
export type Recognised = { readonly layout: RegionLayout } | { readonly foreign: string };

/** Reads a segment's locator and footer, trusting nothing in them. */
export function recognise(bytes: Uint8Array<ArrayBuffer>): Recognised {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 2 * PAGE_SIZE || view.getBigUint64(bytes.length - 8, true) !== FOOTER_MAGIC) {
    return { foreign: "it has no dsm footer" };
  }
  const footerOffset = Number(view.getBigUint64(bytes.length - LOCATOR_SIZE, true));
  if (footerOffset % PAGE_SIZE !== 0 || footerOffset > bytes.length - PAGE_SIZE) {
    return { foreign: "its footer is damaged" };
  }
  const word = (index: number): number => view.getUint32(footerOffset + index * 4, true);
  if (view.getBigUint64(footerOffset, true) !== FOOTER_MAGIC) return { foreign: "its footer is damaged" };
  if (word(FooterWord.layoutVersion) !== LAYOUT_VERSION) {
    return { foreign: `its layout is version ${word(FooterWord.layoutVersion)}, this dsm knows ${LAYOUT_VERSION}` };
  }
  const size = Number(view.getBigUint64(footerOffset + FooterWord.size * 4, true));
  try {
    const layout = regionLayout(size, word(FooterWord.blockSize));
    const fits = layout.footerOffset === footerOffset && layout.totalSize === bytes.length;
    return fits ? { layout } : { foreign: "its footer does not fit its size" };
  } catch {
    return { foreign: "its footer is damaged" };
  }
}
